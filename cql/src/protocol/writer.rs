//! Writes the notations of a body (v5 section 3).

use std::net::{IpAddr, SocketAddr};

use starling_model::Consistency;

use crate::request::{Bound, Value};

/// The message has a part that the protocol can't express: a name, list or body that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is too large for the native protocol")]
pub struct TooLarge(pub &'static str);

/// Appends to a buffer. Remembers the first part that did not fit; [`finish`](Self::finish) tells.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    failed: Option<TooLarge>,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, failed: None }
    }

    /// Whether everything fitted. If not, what was written is of no use.
    pub fn finish(self) -> Result<(), TooLarge> {
        self.failed.map_or(Ok(()), Err)
    }

    /// Notes that a part does not fit.
    pub fn fail(&mut self, what: &'static str) {
        self.failed.get_or_insert(TooLarge(what));
    }

    /// `[byte]`.
    pub fn byte(&mut self, value: u8) {
        self.out.push(value);
    }

    /// `[short]`.
    pub fn short(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// A length as `[short]`.
    pub fn short_count(&mut self, count: usize, what: &'static str) {
        match u16::try_from(count) {
            Ok(count) => self.short(count),
            Err(_) => self.fail(what),
        }
    }

    /// `[int]`.
    pub fn int(&mut self, value: i32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// A length as `[int]`.
    pub fn count(&mut self, count: usize, what: &'static str) {
        match i32::try_from(count) {
            Ok(count) => self.int(count),
            Err(_) => self.fail(what),
        }
    }

    /// A number as `[int]`; what lies beyond is its largest.
    pub fn number(&mut self, value: u32) {
        self.int(i32::try_from(value).unwrap_or(i32::MAX));
    }

    /// `[long]`.
    pub fn long(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// `[uuid]`.
    pub fn uuid(&mut self, value: u128) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// `[string]`.
    pub fn string(&mut self, text: &str) {
        self.short_count(text.len(), "a string");
        self.out.extend_from_slice(text.as_bytes());
    }

    /// `[string]` for a person to read: cut where the notation ends, at 65,535 bytes.
    pub fn message(&mut self, text: &str) {
        self.string(&text[..text.floor_char_boundary(usize::from(u16::MAX))]);
    }

    /// `[long string]`.
    pub fn long_string(&mut self, text: &str) {
        self.count(text.len(), "a statement");
        self.out.extend_from_slice(text.as_bytes());
    }

    /// `[short bytes]`.
    pub fn short_bytes(&mut self, bytes: &[u8]) {
        self.short_count(bytes.len(), "an id");
        self.out.extend_from_slice(bytes);
    }

    /// `[bytes]`.
    pub fn bytes(&mut self, value: &Value) {
        match value {
            Some(bytes) => {
                self.count(bytes.len(), "a value");
                self.out.extend_from_slice(bytes);
            }
            None => self.int(-1),
        }
    }

    /// `[value]`.
    pub fn value(&mut self, value: &Bound) {
        match value {
            Bound::Value(value) => self.bytes(value),
            Bound::Unset => self.int(-2),
        }
    }

    /// `[inetaddr]`.
    pub fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                self.byte(4);
                self.out.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                self.byte(16);
                self.out.extend_from_slice(&address.octets());
            }
        }
    }

    /// `[inet]`.
    pub fn inet(&mut self, address: SocketAddr) {
        self.address(address.ip());
        self.int(address.port().into());
    }

    /// `[consistency]`.
    pub fn consistency(&mut self, level: Consistency) {
        self.short(level.code());
    }

    /// `[string list]`.
    pub fn string_list<S: AsRef<str>>(&mut self, list: &[S]) {
        self.short_count(list.len(), "a list of strings");
        for text in list {
            self.string(text.as_ref());
        }
    }

    /// `[string map]`.
    pub fn string_map(&mut self, map: &[(String, String)]) {
        self.short_count(map.len(), "a map of strings");
        for (key, value) in map {
            self.string(key);
            self.string(value);
        }
    }

    /// `[string multimap]`.
    pub fn string_multimap(&mut self, map: &[(String, Vec<String>)]) {
        self.short_count(map.len(), "a map of strings");
        for (key, list) in map {
            self.string(key);
            self.string_list(list);
        }
    }

    /// `[bytes map]`.
    pub fn bytes_map(&mut self, map: &[(String, Value)]) {
        self.short_count(map.len(), "a custom payload");
        for (key, value) in map {
            self.string(key);
            self.bytes(value);
        }
    }
}

//! Reads the notations of a body (v5 section 3) with every length checked against what is there.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use starling_model::Consistency;

use super::malformed::Malformed;
use crate::request::{Bound, Value};

/// A body, read from its front. What it returns shares the body's memory.
#[derive(Debug, Clone)]
pub struct Reader {
    input: Bytes,
    at: usize,
}

impl Reader {
    /// A reader at the start of `input`.
    pub fn new(input: Bytes) -> Self {
        Self { input, at: 0 }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.input.len() - self.at
    }

    /// Fails if anything is left.
    pub fn end(&self) -> Result<(), Malformed> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(Malformed::Trailing(left)),
        }
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<Bytes, Malformed> {
        if length > self.remaining() {
            return Err(Malformed::Truncated(what));
        }
        let taken = self.input.slice(self.at..self.at + length);
        self.at += length;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let bytes = self
            .input
            .get(self.at..self.at + N)
            .ok_or(Malformed::Truncated(what))?;
        self.at += N;
        Ok(bytes.try_into().expect("the slice is N long"))
    }

    fn text(&mut self, length: usize) -> Result<String, Malformed> {
        if length > self.remaining() {
            return Err(Malformed::Truncated("a string"));
        }
        let bytes = &self.input[self.at..self.at + length];
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Malformed::NotUtf8)?
            .to_owned();
        self.at += length;
        Ok(text)
    }

    /// `[byte]`.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.fixed::<1>("a byte")?[0])
    }

    /// `[short]`: unsigned 16 bits.
    pub fn short(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.fixed("a short")?))
    }

    /// `[int]`: signed 32 bits.
    pub fn int(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.fixed("an int")?))
    }

    /// `[int]` that counts something, so that it can't be negative.
    pub fn count(&mut self, what: &'static str) -> Result<usize, Malformed> {
        let length = self.int()?;
        usize::try_from(length).map_err(|_| Malformed::Length {
            what,
            length: length.into(),
        })
    }

    /// `[int]` that is not negative.
    pub fn unsigned(&mut self, what: &'static str) -> Result<u32, Malformed> {
        let length = self.int()?;
        u32::try_from(length).map_err(|_| Malformed::Length {
            what,
            length: length.into(),
        })
    }

    /// `[long]`: signed 64 bits.
    pub fn long(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.fixed("a long")?))
    }

    /// `[uuid]`.
    pub fn uuid(&mut self) -> Result<u128, Malformed> {
        Ok(u128::from_be_bytes(self.fixed("a UUID")?))
    }

    /// `[string]`.
    pub fn string(&mut self) -> Result<String, Malformed> {
        let length = self.short()?;
        self.text(length.into())
    }

    /// `[long string]`.
    pub fn long_string(&mut self) -> Result<String, Malformed> {
        let length = self.count("a long string")?;
        self.text(length)
    }

    /// `[short bytes]`.
    pub fn short_bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = self.short()?;
        self.take(length.into(), "short bytes")
    }

    /// `[bytes]`: any negative length is null.
    pub fn bytes(&mut self) -> Result<Value, Malformed> {
        match usize::try_from(self.int()?) {
            Ok(length) => self.take(length, "bytes").map(Some),
            Err(_) => Ok(None),
        }
    }

    /// `[value]`: -1 is null, -2 is not set.
    pub fn value(&mut self) -> Result<Bound, Malformed> {
        let length = self.int()?;
        match (usize::try_from(length), length) {
            (Ok(length), _) => Ok(Bound::Value(Some(self.take(length, "a value")?))),
            (Err(_), -1) => Ok(Bound::Value(None)),
            (Err(_), -2) => Ok(Bound::Unset),
            (Err(_), _) => Err(Malformed::Length {
                what: "a value",
                length: length.into(),
            }),
        }
    }

    /// `[inetaddr]`: an address without a port.
    pub fn address(&mut self) -> Result<IpAddr, Malformed> {
        match self.byte()? {
            4 => Ok(IpAddr::from(self.fixed::<4>("an address")?)),
            16 => Ok(IpAddr::from(self.fixed::<16>("an address")?)),
            length => Err(Malformed::Length {
                what: "an address",
                length: length.into(),
            }),
        }
    }

    /// `[inet]`: an address and a port.
    pub fn inet(&mut self) -> Result<SocketAddr, Malformed> {
        let address = self.address()?;
        let port = self.int()?;
        let port = u16::try_from(port).map_err(|_| Malformed::Length {
            what: "a port",
            length: port.into(),
        })?;
        Ok(SocketAddr::new(address, port))
    }

    /// `[consistency]`.
    pub fn consistency(&mut self) -> Result<Consistency, Malformed> {
        let code = self.short()?;
        Consistency::from_code(code).ok_or(Malformed::Unknown {
            what: "consistency level",
            code: code.into(),
        })
    }

    /// `[string list]`.
    pub fn string_list(&mut self) -> Result<Vec<String>, Malformed> {
        let count = usize::from(self.short()?);
        let mut list = Vec::with_capacity(count.min(self.remaining() / 2));
        for _ in 0..count {
            list.push(self.string()?);
        }
        Ok(list)
    }

    /// `[string map]`, in its order.
    pub fn string_map(&mut self) -> Result<Vec<(String, String)>, Malformed> {
        let count = usize::from(self.short()?);
        let mut map = Vec::with_capacity(count.min(self.remaining() / 4));
        for _ in 0..count {
            map.push((self.string()?, self.string()?));
        }
        Ok(map)
    }

    /// `[string multimap]`, in its order.
    pub fn string_multimap(&mut self) -> Result<Vec<(String, Vec<String>)>, Malformed> {
        let count = usize::from(self.short()?);
        let mut map = Vec::with_capacity(count.min(self.remaining() / 4));
        for _ in 0..count {
            map.push((self.string()?, self.string_list()?));
        }
        Ok(map)
    }

    /// `[bytes map]`, in its order.
    pub fn bytes_map(&mut self) -> Result<Vec<(String, Value)>, Malformed> {
        let count = usize::from(self.short()?);
        let mut map = Vec::with_capacity(count.min(self.remaining() / 6));
        for _ in 0..count {
            map.push((self.string()?, self.bytes()?));
        }
        Ok(map)
    }
}

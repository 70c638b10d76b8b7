//! Making a block.

use super::{AFFIXES, HEADER_BYTES, MAX_ENTRIES, MAX_WIDTH, RESTART_INTERVAL, common_prefix, common_suffix};
use crate::table::codec::Compressor;

/// Bytes of a token, with which keys begin.
const TOKEN_BYTES: usize = 8;

/// Collects sorted entries and makes a block of them. It keeps its memory from block to block.
#[derive(Debug, Default)]
pub struct Builder {
    /// The most bytes that two keys one after the other begin with in common.
    alike: usize,
    keys: Vec<u8>,
    key_ends: Vec<u32>,
    values: Vec<u8>,
    value_ends: Vec<u32>,
    body: Vec<u8>,
}

impl Builder {
    /// Adds an entry; keys are strictly ascending, and `shared` is how many bytes this one and the one before
    /// begin with in common. There is room for it, see [`has_room`](Self::has_room).
    pub fn push(&mut self, key: &[u8], shared: usize, value: &[u8]) {
        if !self.is_empty() {
            self.alike = self.alike.max(shared);
        }
        self.keys.extend_from_slice(key);
        self.key_ends.push(self.keys.len() as u32);
        self.values.extend_from_slice(value);
        self.value_ends.push(self.values.len() as u32);
    }

    /// Bytes of keys and values so far.
    pub fn len(&self) -> usize {
        self.keys.len() + self.values.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.key_ends.is_empty()
    }

    /// Whether a block that should not hold more than `limit` bytes takes an entry of so many.
    pub fn has_room(&self, bytes: usize, limit: usize) -> bool {
        self.is_empty() || (self.len() + bytes <= limit && self.key_ends.len() < MAX_ENTRIES)
    }

    /// Appends what a dictionary can learn from; returns how many bytes that is.
    pub fn put_sample(&self, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        for at in 0..self.key_ends.len() {
            let key = self.key(at);
            // Tokens are never alike.
            out.extend_from_slice(&key[key.len().min(8)..]);
            out.extend_from_slice(&self.values[start(&self.value_ends, at)..self.value_ends[at] as usize]);
        }
        out.len() - before
    }

    fn key(&self, at: usize) -> &[u8] {
        &self.keys[start(&self.key_ends, at)..self.key_ends[at] as usize]
    }

    /// Appends the block to `out`, its checksum left zero, and forgets the entries.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn finish(&mut self, compressor: &mut Compressor, out: &mut Vec<u8>) {
        let count = self.key_ends.len();
        assert!(count > 0, "a block is not empty");
        let shared = common_prefix(self.key(0), self.key(count - 1)).min(usize::from(u16::MAX));
        let width = self.width(shared);
        let (stem, ending) = self.affixes(shared, width);
        let ends = self.build_body(shared, width, (stem, ending));
        let (codec, stored) = compressor.compress(&self.body);

        out.reserve(HEADER_BYTES + shared + 2 + stem + ending + count * (width + 4) + stored.len());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&(self.body.len() as u32).to_le_bytes());
        out.extend_from_slice(&(count as u16).to_le_bytes());
        out.extend_from_slice(&(shared as u16).to_le_bytes());
        out.push(codec as u8);
        let key = self.key(0);
        if stem + ending > 0 {
            out.push(width as u8 | AFFIXES);
            out.extend_from_slice(&key[..shared]);
            out.extend_from_slice(&[stem as u8, ending as u8]);
            out.extend_from_slice(&key[shared + width..][..stem]);
            out.extend_from_slice(&key[key.len() - ending..]);
        } else {
            out.push(width as u8);
            out.extend_from_slice(&key[..shared]);
        }
        for at in 0..count {
            let rest = &self.key(at)[shared..];
            let known = rest.len().min(width);
            out.extend_from_slice(&rest[..known]);
            out.extend_from_slice(&[0; MAX_WIDTH][known..width]);
        }
        for end in ends {
            if self.body.len() > usize::from(u16::MAX) {
                out.extend_from_slice(&end.to_le_bytes());
            } else {
                out.extend_from_slice(&(end as u16).to_le_bytes());
            }
        }
        out.extend_from_slice(stored);
        self.clear();
    }

    /// The width of heads when all keys share so many bytes: just enough to tell all keys apart, because what is in the
    /// body can be compressed. But tokens can't: where they all differ, heads have all of them, so that what is behind
    /// them is more alike.
    fn width(&self, shared: usize) -> usize {
        if self.key_ends.len() == 1 {
            0
        } else if self.alike < TOKEN_BYTES && shared < TOKEN_BYTES {
            TOKEN_BYTES - shared
        } else {
            (self.alike + 1 - shared).min(MAX_WIDTH)
        }
    }

    /// The lengths of stem and ending; zeros if they don't pay, or if heads may be equal.
    fn affixes(&self, shared: usize, width: usize) -> (usize, usize) {
        const LONGEST: usize = u8::MAX as usize;
        let count = self.key_ends.len();
        if count == 1 || self.alike >= shared + width {
            return (0, 0);
        }
        let tail = |at: usize| self.key(at).get(shared + width..).unwrap_or_default();
        let first = tail(0);
        let (mut stem, mut ending, mut shortest) = (LONGEST, LONGEST, first.len());
        for at in 1..count {
            let tail = tail(at);
            shortest = shortest.min(tail.len());
            stem = stem.min(common_prefix(first, tail));
            ending = ending.min(common_suffix(first, tail));
            if stem + ending == 0 {
                return (0, 0);
            }
        }
        stem = stem.min(shortest);
        ending = ending.min(shortest - stem);
        if (stem + ending) * (count - 1) > 2 {
            (stem, ending)
        } else {
            (0, 0)
        }
    }

    /// Fills `body`; returns where each entry ends in it, in memory that was the values' own.
    fn build_body(&mut self, shared: usize, width: usize, (stem, ending): (usize, usize)) -> Vec<u32> {
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        let mut ends = Vec::with_capacity(self.key_ends.len());
        let mut last: &[u8] = &[];
        for at in 0..self.key_ends.len() {
            let rest = &self.key(at)[shared..];
            let (head, tail) = rest.split_at(rest.len().min(width));
            let again =
                if at.is_multiple_of(RESTART_INTERVAL) || !last.starts_with(head) || head.len() < width {
                    0
                } else {
                    common_prefix(&last[width..], tail)
                };
            put_varint(&mut body, rest.len() << 1 | usize::from(again > 0));
            if again > 0 {
                put_varint(&mut body, again);
            }
            body.extend_from_slice(&tail[stem + again..tail.len() - ending]);
            body.extend_from_slice(&self.values[start(&self.value_ends, at)..self.value_ends[at] as usize]);
            ends.push(body.len() as u32);
            last = rest;
        }
        self.body = body;
        ends
    }

    fn clear(&mut self) {
        self.alike = 0;
        self.keys.clear();
        self.key_ends.clear();
        self.values.clear();
        self.value_ends.clear();
    }
}

fn start(ends: &[u32], at: usize) -> usize {
    at.checked_sub(1).map_or(0, |before| ends[before] as usize)
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

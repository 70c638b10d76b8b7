//! Which partitions a table does not hold: Bloom filters.
//!
//! Partitions are taken in order, and every [`PARTITIONS`] of them get a filter of their own, so that a
//! writer needs little memory, and a lookup checks the checksum of a few kilobytes only. The filter's index
//! says which tokens each one is for.
//!
//! ```text
//! filter   1 byte number of probes, then the bits
//! index    for each filter: 8 first token, 8 last token, handle
//! ```
//!
//! Probe i looks at bit `(low + i * high) mod bits`, where `low` and `high` are the halves of the XXH3 of
//! the partition's prefix (Kirsch, Mitzenmacher: "Less hashing, same performance", 2006).

use bytes::Bytes;
use starling_model::Token;

use super::layout::Handle;
use crate::checksum::checksum;

/// Partitions of one filter.
pub const PARTITIONS: usize = 2048;

/// Bytes of an entry of the index.
const ENTRY_BYTES: usize = 16 + Handle::BYTES;

/// What the filter knows of a partition.
pub fn hash(prefix: &[u8]) -> u64 {
    checksum(prefix)
}

/// Collects the partitions of one filter.
#[derive(Debug)]
pub struct Builder {
    bits: u32,
    hashes: Vec<u64>,
    tokens: Option<(Token, Token)>,
}

impl Builder {
    /// A builder of filters with `bits` per partition.
    pub fn new(bits: u32) -> Self {
        Self {
            bits: bits.clamp(1, 64),
            hashes: Vec::new(),
            tokens: None,
        }
    }

    /// Adds a partition, in token order. Whether the filter is full now.
    pub fn add(&mut self, token: Token, prefix: &[u8]) -> bool {
        let first = self.tokens.map_or(token, |(first, _)| first);
        self.tokens = Some((first, token));
        self.hashes.push(hash(prefix));
        self.hashes.len() >= PARTITIONS
    }

    /// The filter of the partitions so far, with its first and last token; `None` if there are none.
    /// The builder is empty afterwards.
    pub fn finish(&mut self) -> Option<(Token, Token, Vec<u8>)> {
        let (first, last) = self.tokens.take()?;
        let bytes = (self.hashes.len() * self.bits as usize).div_ceil(8);
        // ln 2 probes per bit are best.
        let probes = (self.bits * 7 / 10).clamp(1, 16) as u8;
        let mut out = vec![0; 1 + bytes];
        out[0] = probes;
        for hash in self.hashes.drain(..) {
            for bit in places(hash, probes, bytes as u64 * 8) {
                out[1 + bit / 8] |= 1 << (bit % 8);
            }
        }
        Some((first, last, out))
    }
}

/// Whether a partition may be in a filter; `None` if the filter is malformed.
pub fn may_contain(filter: &[u8], hash: u64) -> Option<bool> {
    let (probes, bits) = filter.split_first()?;
    if bits.is_empty() {
        return None;
    }
    Some(places(hash, *probes, bits.len() as u64 * 8).all(|bit| bits[bit / 8] & (1 << (bit % 8)) != 0))
}

fn places(hash: u64, probes: u8, bits: u64) -> impl Iterator<Item = usize> {
    let (low, high) = (hash & 0xffff_ffff, (hash >> 32) | 1);
    (0..u64::from(probes)).map(move |probe| ((low + probe * high) % bits) as usize)
}

/// One filter of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The first token it is for.
    pub first: Token,
    /// The last token it is for.
    pub last: Token,
    /// Where it is.
    pub handle: Handle,
}

/// The bytes of the index.
pub fn encode_index(parts: &[Part]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.len() * ENTRY_BYTES);
    for part in parts {
        out.extend_from_slice(&part.first.0.to_le_bytes());
        out.extend_from_slice(&part.last.0.to_le_bytes());
        out.extend_from_slice(&part.handle.encode());
    }
    out
}

/// Reads the index; `None` if it is malformed.
pub fn decode_index(bytes: &Bytes) -> Option<Vec<Part>> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    let mut parts = Vec::with_capacity(entries.len());
    for entry in entries {
        let (first, after) = entry.split_first_chunk()?;
        let (last, handle) = after.split_first_chunk()?;
        parts.push(Part {
            first: Token(i64::from_le_bytes(*first)),
            last: Token(i64::from_le_bytes(*last)),
            handle: Handle::decode(handle)?,
        });
    }
    let ordered = parts.windows(2).all(|pair| pair[0].last <= pair[1].first);
    (rest.is_empty() && ordered).then_some(parts)
}

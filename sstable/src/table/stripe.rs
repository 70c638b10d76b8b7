//! A stripe: some hundred data blocks, one behind the other, with their index and filter.
//!
//! ```text
//! 0    8  checksum of everything after it, at place "offset in the file"
//! 8    8  offset of the first block in the file
//! 16   4  blocks
//! 20   4  bytes of the rests; 0 if no separator has one
//! 24   4  lines of the filter
//! 28   4  probes of the filter
//! 32      for each block, and for the end of the last:
//!           8 first bytes of its separator as a number (big-endian order, filled up with zeros)
//!           4 offset from the first block
//!         [for each separator, and for the end: 4 offset of its rest, then the rests: what the separators
//!           have after 8 bytes]
//!         zeros up to a multiple of 64
//!         lines of the filter, 64 bytes each, of the partitions that begin in the stripe
//! ```
//!
//! A *separator* is greater than every key before its block, not greater than its first key, and as short as
//! possible. Between small partitions it is a piece of a token: tokens are uniform, so the place of a block
//! is computed from its token and corrected by a step or two. Inside of a wide partition, where the tokens are
//! equal, separators have rests, and are searched in halves.

use std::cmp::Ordering;

use super::{
    block::Malformed,
    filter::{self, LINE_BYTES},
};

/// The most blocks of a stripe.
pub const MAX_BLOCKS: usize = 256;

/// The most bytes of its data blocks, but for the last one.
pub const MAX_BYTES: u64 = 1 << 30;

/// The most bytes of its rests, but for the last one.
const MAX_RESTS: usize = 64 << 10;

/// A stripe begins at a multiple of this, and its length is one, so that a line of the filter is a line of
/// the cache.
pub const ALIGNMENT: usize = LINE_BYTES;

const HEADER_BYTES: usize = 32;
const ENTRY_BYTES: usize = 12;

/// How far a computed place may be off before the search goes on in halves.
const MAX_STEPS: usize = 8;

/// A separator: its first bytes as a number, and its rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separator<'a> {
    /// The first 8 bytes, filled up with zeros.
    pub start: u64,
    /// The bytes after those.
    pub rest: &'a [u8],
}

impl<'a> Separator<'a> {
    /// Takes a key, or a piece of one, apart.
    pub fn new(key: &'a [u8]) -> Self {
        Self {
            start: super::block::head(key, 8),
            rest: &key[key.len().min(8)..],
        }
    }

    /// Compares with a whole key. (A key has at least 8 bytes, so the zeros don't matter.)
    #[inline]
    pub fn compare(&self, key: &Separator<'_>) -> Ordering {
        self.start.cmp(&key.start).then_with(|| {
            // Most separators have none, and an empty slice without an address is slow to compare.
            if self.rest.is_empty() {
                0.cmp(&key.rest.len())
            } else {
                self.rest.cmp(key.rest)
            }
        })
    }
}

/// Collects a stripe.
#[derive(Debug, Default)]
pub struct Builder {
    first_offset: u64,
    bytes: u64,
    starts: Vec<(u64, u32)>,
    rest_ends: Vec<u32>,
    rests: Vec<u8>,
    hashes: Vec<u64>,
}

impl Builder {
    /// Whether there is no block.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Whether the stripe takes no more blocks.
    pub fn is_full(&self) -> bool {
        self.starts.len() >= MAX_BLOCKS || self.bytes >= MAX_BYTES || self.rests.len() >= MAX_RESTS
    }

    /// Adds a block that was written at `offset`, right behind the one before it.
    pub fn block(&mut self, separator: &[u8], offset: u64, length: u64, hashes: &[u64]) {
        if self.is_empty() {
            self.first_offset = offset;
        }
        debug_assert_eq!(offset, self.first_offset + self.bytes);
        let separator = Separator::new(separator);
        self.starts.push((separator.start, self.bytes as u32));
        self.rests.extend_from_slice(separator.rest);
        self.rest_ends.push(self.rests.len() as u32);
        self.hashes.extend_from_slice(hashes);
        self.bytes += length;
    }

    /// Appends the stripe to `out`, its checksum left zero, and forgets it.
    pub fn finish(&mut self, filter_bits: u32, out: &mut Vec<u8>) {
        let begin = out.len();
        let lines_at = begin + 24;
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&self.first_offset.to_le_bytes());
        out.extend_from_slice(&(self.starts.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.rests.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&filter::probes(filter_bits).to_le_bytes());
        for (start, offset) in self.starts.iter().copied().chain([(0, self.bytes as u32)]) {
            out.extend_from_slice(&start.to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
        }
        if !self.rests.is_empty() {
            for end in std::iter::once(&0).chain(&self.rest_ends) {
                out.extend_from_slice(&end.to_le_bytes());
            }
            out.extend_from_slice(&self.rests);
        }
        out.resize(begin + (out.len() - begin).next_multiple_of(ALIGNMENT), 0);
        let filter = out.len();
        filter::build(&self.hashes, filter_bits, out);
        let lines = ((out.len() - filter) / LINE_BYTES) as u32;
        out[lines_at..lines_at + 4].copy_from_slice(&lines.to_le_bytes());
        self.starts.clear();
        self.rest_ends.clear();
        self.rests.clear();
        self.hashes.clear();
        self.bytes = 0;
    }
}

/// Where everything is in a stripe.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Offset of the first block in the file.
    pub first_offset: u64,
    /// Blocks, at least 1.
    pub blocks: usize,
    rests: usize,
    filter: usize,
    probes: u32,
}

impl Shape {
    /// Reads the shape of a stripe, and checks that all of it lies in `stripe`.
    pub fn read(stripe: &[u8]) -> Result<Self, Malformed> {
        let header: &[u8; HEADER_BYTES] = stripe.first_chunk().ok_or(Malformed)?;
        let number = |at: usize| {
            let bytes = header[at..].first_chunk().copied().unwrap_or_default();
            u32::from_le_bytes(bytes)
        };
        let blocks = number(16) as usize;
        let (rests, lines) = (number(20) as usize, number(24) as usize);
        let offsets = if rests > 0 { 4 * (blocks + 1) } else { 0 };
        let before_filter = HEADER_BYTES + ENTRY_BYTES * (blocks + 1) + offsets + rests;
        let filter = before_filter.next_multiple_of(ALIGNMENT);
        let whole = filter + lines * LINE_BYTES;
        if blocks == 0 || blocks > MAX_BLOCKS || whole != stripe.len() {
            return Err(Malformed);
        }
        Ok(Self {
            first_offset: u64::from(number(8)) | u64::from(number(12)) << 32,
            blocks,
            rests: if rests > 0 {
                HEADER_BYTES + ENTRY_BYTES * (blocks + 1)
            } else {
                0
            },
            filter,
            probes: number(28),
        })
    }
}

/// A stripe in place.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    stripe: &'a [u8],
    shape: &'a Shape,
}

impl<'a> View<'a> {
    /// A stripe and its shape.
    pub fn new(stripe: &'a [u8], shape: &'a Shape) -> Self {
        Self { stripe, shape }
    }

    /// Blocks, at least 1.
    pub fn blocks(&self) -> usize {
        self.shape.blocks
    }

    /// Whether the partition of this hash may begin here.
    #[inline]
    pub fn may_contain(&self, hash: u64) -> bool {
        filter::may_contain(&self.stripe[self.shape.filter..], self.shape.probes, hash)
    }

    #[inline]
    fn entry(&self, block: usize) -> &'a [u8; ENTRY_BYTES] {
        let from = HEADER_BYTES + ENTRY_BYTES * block;
        self.stripe[from..].first_chunk().unwrap_or(&[0; ENTRY_BYTES])
    }

    /// The first bytes of a block's separator as a number.
    #[inline]
    pub fn start(&self, block: usize) -> u64 {
        u64::from_le_bytes(self.entry(block).first_chunk().copied().unwrap_or_default())
    }

    fn separator(&self, block: usize) -> Result<Separator<'a>, Malformed> {
        let rest = if self.shape.rests == 0 {
            &[][..]
        } else {
            let word = |at: usize| {
                let bytes = self.stripe[self.shape.rests + 4 * at..].first_chunk();
                bytes.map(|bytes| u32::from_le_bytes(*bytes) as usize)
            };
            let rests = &self.stripe[self.shape.rests + 4 * (self.shape.blocks + 1)..self.shape.filter];
            let (from, to) = (word(block).ok_or(Malformed)?, word(block + 1).ok_or(Malformed)?);
            rests.get(from..to).ok_or(Malformed)?
        };
        Ok(Separator {
            start: self.start(block),
            rest,
        })
    }

    /// The file range of a block.
    #[inline]
    pub fn block(&self, block: usize) -> Option<std::ops::Range<u64>> {
        let offset = |block: usize| {
            let bytes = self.entry(block).last_chunk().copied().unwrap_or_default();
            u64::from(u32::from_le_bytes(bytes))
        };
        let (from, to) = (offset(block), offset(block + 1));
        let first = self.shape.first_offset;
        (from < to).then_some(())?;
        Some(first.checked_add(from)?..first.checked_add(to)?)
    }

    /// The last block whose separator is not greater than `key`; the first one if all are. `end` is the
    /// start of the next stripe's separator, to compute a place with.
    pub fn find(&self, key: &Separator<'_>, end: u64) -> Result<usize, Malformed> {
        let count = self.shape.blocks;
        let (mut low, mut high) = (0, count);
        // Invariant: blocks before `low` are not greater, those from `high` on are greater.
        let mut at = interpolate(key.start, self.start(0), end, count);
        for _ in 0..MAX_STEPS {
            if low >= high {
                break;
            }
            if self.is_at_most(at, key)? {
                low = at + 1;
                at += 1;
            } else {
                high = at;
                at = at.saturating_sub(1);
            }
            at = at.clamp(low, (high.max(low + 1)) - 1);
        }
        while low < high {
            let middle = low.midpoint(high);
            if self.is_at_most(middle, key)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.saturating_sub(1))
    }

    #[inline]
    fn is_at_most(&self, block: usize, key: &Separator<'_>) -> Result<bool, Malformed> {
        match self.start(block).cmp(&key.start) {
            Ordering::Less => Ok(true),
            Ordering::Greater => Ok(false),
            Ordering::Equal => Ok(self.separator(block)?.compare(key).is_le()),
        }
    }
}

/// Where among `count` things, spread evenly from `first` to `end`, `wanted` is.
#[inline]
fn interpolate(wanted: u64, first: u64, end: u64, count: usize) -> usize {
    let span = (end.saturating_sub(first) >> 16) + 1;
    let place = (wanted.saturating_sub(first) >> 16).min(span - 1);
    // Neither product overflows: a span has 48 bits, a count of blocks 9.
    ((place * count as u64) / span) as usize
}

//! Looking into a block as it lies in the file.

use std::ops::Range;

use super::{AFFIXES, HEADER_BYTES, MAX_WIDTH, Malformed, head, narrow};
use crate::table::codec::Codec;

/// Where everything is in a block.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// How the body is compressed.
    pub codec: Codec,
    /// Bytes of the body before compression.
    pub body_bytes: usize,
    /// Entries.
    pub count: usize,
    /// Width of a head.
    pub width: usize,
    /// Bytes that all keys begin with.
    prefix: usize,
    /// Bytes of the stem and of the ending.
    affixes: (usize, usize),
    heads: usize,
    ends: usize,
    body: usize,
    wide_ends: bool,
}

impl Shape {
    /// Reads the shape of a block and checks that all of it lies in `block`.
    pub fn read(block: &[u8]) -> Result<Self, Malformed> {
        let (header, _) = block.split_first_chunk::<HEADER_BYTES>().ok_or(Malformed)?;
        let [
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            b0,
            b1,
            b2,
            b3,
            c0,
            c1,
            p0,
            p1,
            codec,
            width,
        ] = *header;
        let body_bytes = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
        let count = usize::from(u16::from_le_bytes([c0, c1]));
        let prefix = usize::from(u16::from_le_bytes([p0, p1]));
        let (affixes, heads) = if width & AFFIXES == 0 {
            ((0, 0), HEADER_BYTES + prefix)
        } else {
            let lengths = block.get(HEADER_BYTES + prefix..).and_then(<[u8]>::first_chunk);
            let [stem, ending] = lengths.ok_or(Malformed)?.map(usize::from);
            ((stem, ending), HEADER_BYTES + prefix + 2 + stem + ending)
        };
        let width = usize::from(width & !AFFIXES);
        let ends = heads + count * width;
        let wide_ends = body_bytes > usize::from(u16::MAX);
        let body = ends + count * if wide_ends { 4 } else { 2 };
        let codec = Codec::from_byte(codec).ok_or(Malformed)?;
        let stored = block.len().checked_sub(body).ok_or(Malformed)?;
        if count == 0 || width > MAX_WIDTH || !codec.can_hold(stored, body_bytes) {
            return Err(Malformed);
        }
        Ok(Self {
            codec,
            body_bytes,
            count,
            width,
            prefix,
            affixes,
            heads,
            ends,
            body,
            wide_ends,
        })
    }
}

/// A block in place.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    block: &'a [u8],
    shape: Shape,
}

impl<'a> View<'a> {
    /// A block and its shape.
    pub fn new(block: &'a [u8], shape: Shape) -> Self {
        Self { block, shape }
    }

    /// Where everything is.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What all keys begin with.
    pub fn prefix(&self) -> &'a [u8] {
        &self.block[HEADER_BYTES..HEADER_BYTES + self.shape.prefix]
    }

    /// What all tails begin with, and what they end with: empty where tails are shared.
    #[inline]
    pub fn affixes(&self) -> (&'a [u8], &'a [u8]) {
        let (stem, ending) = self.shape.affixes;
        self.block[self.shape.heads - stem - ending..self.shape.heads].split_at(stem)
    }

    /// Whether there is a stem or an ending.
    #[inline]
    pub fn has_affixes(&self) -> bool {
        self.shape.affixes != (0, 0)
    }

    /// The body as it is stored.
    pub fn stored(&self) -> &'a [u8] {
        &self.block[self.shape.body..]
    }

    /// Where the stored body begins in the block.
    pub fn body_start(&self) -> usize {
        self.shape.body
    }

    /// The bytes of an entry's head.
    pub fn head_bytes(&self, at: usize) -> &'a [u8] {
        let from = self.shape.heads + at * self.shape.width;
        &self.block[from..from + self.shape.width]
    }

    /// An entry's head as a number.
    #[inline]
    pub fn head(&self, at: usize) -> u64 {
        let from = self.shape.heads + at * self.shape.width;
        match self.block[from..].first_chunk::<8>() {
            Some(chunk) => narrow(u64::from_be_bytes(*chunk), self.shape.width),
            None => head(self.head_bytes(at), self.shape.width),
        }
    }

    /// Where an entry ends in the body.
    #[inline]
    pub fn end(&self, at: usize) -> usize {
        if self.shape.wide_ends {
            let from = self.shape.ends + 4 * at;
            let bytes = self.block[from..].first_chunk().copied().unwrap_or_default();
            u32::from_le_bytes(bytes) as usize
        } else {
            let from = self.shape.ends + 2 * at;
            let bytes = self.block[from..].first_chunk().copied().unwrap_or_default();
            usize::from(u16::from_le_bytes(bytes))
        }
    }

    /// Where an entry begins in the body.
    #[inline]
    pub fn start(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| self.end(before))
    }

    /// The entries that can't be told from `target` without the body: all before them are less, all
    /// behind them are greater.
    pub fn ties(&self, target: &[u8]) -> Range<usize> {
        let prefix = self.prefix();
        let count = self.shape.count;
        let common = prefix.len().min(target.len());
        match target[..common].cmp(&prefix[..common]) {
            std::cmp::Ordering::Less => return 0..0,
            std::cmp::Ordering::Greater => return count..count,
            std::cmp::Ordering::Equal if target.len() < prefix.len() => return 0..0,
            std::cmp::Ordering::Equal => {}
        }
        let wanted = head(&target[prefix.len()..], self.shape.width);
        let (mut low, mut size) = (0, count);
        while size > 0 {
            let half = size / 2;
            let less = self.head(low + half) < wanted;
            low = if less { low + half + 1 } else { low };
            size = if less { size - half - 1 } else { half };
        }
        let mut high = low;
        while high < count && self.head(high) == wanted {
            high += 1;
        }
        low..high
    }
}

//! The directory: where the stripes of a table are, and which one a key leads to.
//!
//! ```text
//! 0    8  checksum of everything after it, at place "offset in the file"
//! 8    4  stripes, at least 1
//! 12   4  bytes of the rests
//! 16      for each stripe: 8 first bytes of its separator, 8 offset in the file, 4 length, 4 end of its rest
//!         the rests: what the separators have after 8 bytes
//! ```
//!
//! A stripe's separator is that of its first block. In memory, buckets of equal width over the tokens say
//! where to look: with uniform tokens about one stripe falls into each. Of a wide partition many stripes fall into
//! one, and are searched in halves.

use bytes::Bytes;

use super::{block::Malformed, layout::Handle, stripe::Separator};

const HEADER_BYTES: usize = 16;
const ENTRY_BYTES: usize = 24;

/// Collects a directory.
#[derive(Debug, Default)]
pub struct Builder {
    entries: Vec<u8>,
    rests: Vec<u8>,
    count: u32,
}

impl Builder {
    /// Adds a stripe.
    pub fn stripe(&mut self, separator: &[u8], handle: Handle) {
        let separator = Separator::new(separator);
        self.rests.extend_from_slice(separator.rest);
        self.entries.extend_from_slice(&separator.start.to_le_bytes());
        self.entries.extend_from_slice(&handle.encode());
        self.entries
            .extend_from_slice(&(self.rests.len() as u32).to_le_bytes());
        self.count += 1;
    }

    /// The directory, its checksum left zero.
    pub fn finish(self) -> Vec<u8> {
        let mut out = vec![0; 8];
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&(self.rests.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.entries);
        out.extend_from_slice(&self.rests);
        out
    }
}

/// A table's directory in memory.
#[derive(Debug)]
pub struct Directory {
    starts: Vec<u64>,
    handles: Vec<Handle>,
    rest_ends: Vec<u32>,
    rests: Bytes,
    /// For each bucket, how many stripes begin in the buckets before it; one more for the end.
    buckets: Vec<u32>,
    shift: u32,
}

impl Directory {
    /// Reads a directory whose checksum is right.
    pub fn read(bytes: &Bytes) -> Result<Self, Malformed> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Malformed)?;
        let [_, _, _, _, _, _, _, _, c0, c1, c2, c3, r0, r1, r2, r3] = *header;
        let count = u32::from_le_bytes([c0, c1, c2, c3]) as usize;
        let rests = u32::from_le_bytes([r0, r1, r2, r3]) as usize;
        let whole = HEADER_BYTES + count * ENTRY_BYTES + rests;
        if count == 0 || bytes.len() != whole {
            return Err(Malformed);
        }
        let (entries, _) = bytes[HEADER_BYTES..whole - rests].as_chunks::<ENTRY_BYTES>();
        let mut starts = Vec::with_capacity(count);
        let mut handles = Vec::with_capacity(count);
        let mut rest_ends = Vec::with_capacity(count);
        for entry in entries {
            let (start, entry) = entry.split_first_chunk().ok_or(Malformed)?;
            let (handle, end) = entry.split_first_chunk::<{ Handle::BYTES }>().ok_or(Malformed)?;
            starts.push(u64::from_le_bytes(*start));
            handles.push(Handle::decode(*handle));
            rest_ends.push(u32::from_le_bytes(end.try_into().map_err(|_| Malformed)?));
        }
        let ordered = starts.is_sorted()
            && rest_ends.is_sorted()
            && rest_ends.last().is_none_or(|end| *end as usize == rests);
        if !ordered {
            return Err(Malformed);
        }
        let (buckets, shift) = buckets(&starts);
        Ok(Self {
            starts,
            handles,
            rest_ends,
            rests: bytes.slice(whole - rests..),
            buckets,
            shift,
        })
    }

    /// How many stripes there are.
    pub fn stripes(&self) -> usize {
        self.handles.len()
    }

    /// Where the stripes are.
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// Where a stripe is.
    pub fn handle(&self, stripe: usize) -> Handle {
        self.handles[stripe]
    }

    /// The first bytes of a stripe's separator as a number; of the one after the last, the largest number.
    pub fn start(&self, stripe: usize) -> u64 {
        self.starts.get(stripe).copied().unwrap_or(u64::MAX)
    }

    /// Whether a stripe begins inside of the partition of `key`, perhaps (a token may have several).
    pub fn is_within(&self, stripe: usize, key: &Separator<'_>) -> bool {
        self.starts[stripe] == key.start
    }

    fn separator(&self, stripe: usize) -> Separator<'_> {
        let end = |stripe: usize| self.rest_ends[stripe] as usize;
        let from = stripe.checked_sub(1).map_or(0, end);
        Separator {
            start: self.starts[stripe],
            rest: &self.rests[from..end(stripe)],
        }
    }

    /// The last stripe whose separator is not greater than `key`; `None` if all are.
    pub fn find(&self, key: &Separator<'_>) -> Option<usize> {
        let first = self.starts.first()?;
        let place = (key.start.checked_sub(*first)? >> self.shift) as usize;
        let place = place.min(self.buckets.len() - 2);
        let (mut low, mut high) = (self.buckets[place] as usize, self.buckets[place + 1] as usize);
        while low < high {
            let middle = low.midpoint(high);
            if self.separator(middle).compare(key).is_le() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }
}

/// About two buckets for each stripe: how many stripes begin before each, and by how many bits a distance
/// from the first start is shifted to give a bucket.
fn buckets(starts: &[u64]) -> (Vec<u32>, u32) {
    let first = starts.first().copied().unwrap_or_default();
    let span = starts.last().copied().unwrap_or_default() - first;
    let wanted = starts.len().next_power_of_two().ilog2() + 1;
    let shift = (u64::BITS - span.leading_zeros()).saturating_sub(wanted);
    let count = (span >> shift) as usize + 1;
    let mut buckets = vec![0; count + 1];
    for start in starts {
        buckets[((start - first) >> shift) as usize + 1] += 1;
    }
    for at in 1..buckets.len() {
        buckets[at] += buckets[at - 1];
    }
    (buckets, shift)
}

//! Which partitions a stripe does not hold: a blocked Bloom filter.
//!
//! All bits of a partition lie in one line of 64 bytes, so that a question costs one cache miss. With 10 bits
//! for each partition about 1 % of the partitions that are not there seem to be. (Putze, Sanders, Singler:
//! "Cache-, Hash- and Space-Efficient Bloom Filters", 2007.)
//!
//! The line is chosen by the upper half of the XXH3 of the partition's prefix; the lower half, multiplied again
//! and again by an odd constant, gives a bit of the line with the upper 9 bits of each product.

use crate::checksum::checksum;

/// Bytes of a line.
pub const LINE_BYTES: usize = 64;

const LINE_BITS: usize = LINE_BYTES * 8;

/// 2^32 divided by the golden ratio, made odd.
const MULTIPLIER: u32 = 0x9e37_79b1;

/// What the filter knows of a partition.
pub fn hash(prefix: &[u8]) -> u64 {
    checksum(prefix)
}

/// How many bits are set for a partition when it has this many of a filter.
pub fn probes(bits_per_partition: u32) -> u32 {
    // ln 2 probes per bit are best where bits are spread evenly; lines are not, which favours fewer.
    (bits_per_partition * 6 / 10).clamp(1, 12)
}

/// Appends the lines of a filter for partitions of these hashes.
pub fn build(hashes: &[u64], bits_per_partition: u32, out: &mut Vec<u8>) {
    let lines = (hashes.len() * bits_per_partition as usize).div_ceil(LINE_BITS);
    let start = out.len();
    out.resize(start + lines * LINE_BYTES, 0);
    let probes = probes(bits_per_partition);
    for &hash in hashes {
        let from = start + line(hash, lines) * LINE_BYTES;
        for bit in bits(hash, probes) {
            out[from + bit / 8] |= 1 << (bit % 8);
        }
    }
}

/// Whether a partition may be in a filter, which is some lines.
#[inline]
pub fn may_contain(lines: &[u8], probes: u32, hash: u64) -> bool {
    let (lines, _) = lines.as_chunks::<LINE_BYTES>();
    let Some(line) = lines.get(line(hash, lines.len())) else {
        return false;
    };
    bits(hash, probes).all(|bit| line[bit / 8] & (1 << (bit % 8)) != 0)
}

fn line(hash: u64, lines: usize) -> usize {
    ((u128::from(hash) * lines as u128) >> 64) as usize
}

fn bits(hash: u64, probes: u32) -> impl Iterator<Item = usize> {
    let mut state = hash as u32;
    (0..probes).map(move |_| {
        state = state.wrapping_mul(MULTIPLIER);
        (state >> 23) as usize
    })
}

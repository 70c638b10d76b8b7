//! Binary fuse filters (Graf, Lemire: "Binary Fuse Filters: Fast and Smaller Than Xor Filters", 2022).
//!
//! A key has three places in a table of bytes, in three segments that lie side by side. The bytes are chosen such that
//! those of each key give its fingerprint, combined by exclusive or: key after key, each at a place that no key left has.

use super::Filter;

/// How often another seed is tried.
const ATTEMPTS: u64 = 64;

/// A filter with fingerprints of eight bits.
pub(super) struct Fuse {
    seed: u64,
    segment: u32,
    /// Places at which the first of the three may be.
    starts: u32,
    bytes: Vec<u8>,
}

impl Filter for Fuse {
    fn build(hashes: &[u64]) -> Option<Self> {
        let count = hashes.len().max(2) as f64;
        // The paper's empirical choices.
        let segment = 1_u32 << (count.ln() / 3.33_f64.ln() + 2.25).floor() as u32;
        let factor = (0.875 + 0.25 * 1e6_f64.ln() / count.ln()).max(1.125);
        let segments = ((count * factor) as u32).div_ceil(segment).max(3) - 2;
        let mut filter = Self {
            seed: 0,
            segment,
            starts: segments * segment,
            bytes: vec![0; ((segments + 2) * segment) as usize],
        };
        (1..=ATTEMPTS).find_map(|seed| {
            filter.seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            filter.fill(hashes)
        })?;
        Some(filter)
    }

    #[inline]
    fn may_contain(&self, hash: u64) -> bool {
        let hash = self.mix(hash);
        let [a, b, c] = self.places(hash);
        fingerprint(hash) == self.bytes[a] ^ self.bytes[b] ^ self.bytes[c]
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl Fuse {
    /// Another hash for each seed.
    #[inline]
    fn mix(&self, hash: u64) -> u64 {
        let mixed = (hash ^ self.seed).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 33)
    }

    #[inline]
    fn places(&self, hash: u64) -> [usize; 3] {
        let first = ((u128::from(hash) * u128::from(self.starts)) >> 64) as u32;
        let mask = self.segment - 1;
        let second = (first + self.segment) ^ ((hash >> 18) as u32 & mask);
        let third = (first + 2 * self.segment) ^ (hash as u32 & mask);
        [first as usize, second as usize, third as usize]
    }

    /// Fills the table; `None` if the keys can't be told apart with this seed.
    fn fill(&mut self, hashes: &[u64]) -> Option<()> {
        let mut counts = vec![0_u32; self.bytes.len()];
        let mut sums = vec![0_u64; self.bytes.len()];
        for hash in hashes {
            let hash = self.mix(*hash);
            for place in self.places(hash) {
                counts[place] += 1;
                sums[place] ^= hash;
            }
        }
        let mut alone: Vec<usize> = (0..counts.len()).filter(|place| counts[*place] == 1).collect();
        let mut order = Vec::with_capacity(hashes.len());
        while let Some(place) = alone.pop() {
            if counts[place] != 1 {
                continue;
            }
            let hash = sums[place];
            order.push((hash, place));
            for other in self.places(hash) {
                counts[other] -= 1;
                sums[other] ^= hash;
                if counts[other] == 1 {
                    alone.push(other);
                }
            }
        }
        if order.len() < hashes.len() {
            return None;
        }
        self.bytes.fill(0);
        for (hash, own) in order.into_iter().rev() {
            let [a, b, c] = self.places(hash);
            self.bytes[own] = 0;
            self.bytes[own] = fingerprint(hash) ^ self.bytes[a] ^ self.bytes[b] ^ self.bytes[c];
        }
        Some(())
    }
}

#[inline]
fn fingerprint(hash: u64) -> u8 {
    (hash ^ (hash >> 32)) as u8
}

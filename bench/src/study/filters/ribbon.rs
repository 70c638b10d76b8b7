//! Ribbon filters (Dillinger, Walzer: "Ribbon filter: practically smaller than Bloom and Xor", 2021).
//!
//! A key is an equation over a window of 64 bits of each of some columns: certain bits of a column, chosen by the key,
//! give one bit of its fingerprint, combined by exclusive or. The equations are solved by elimination as they come.

use super::Filter;

/// Bits of a window.
const WIDTH: usize = 64;

/// So many places for a hundred keys: with fewer, some sets of keys have no solution.
const PERCENT: usize = 110;

/// How often another seed is tried.
const ATTEMPTS: u64 = 64;

/// A filter with fingerprints of so many bits.
pub(super) struct Ribbon<const BITS: usize> {
    seed: u64,
    starts: u64,
    /// For each 64 places a word of each column.
    words: Vec<[u64; BITS]>,
}

impl<const BITS: usize> Filter for Ribbon<BITS> {
    fn build(hashes: &[u64]) -> Option<Self> {
        let places = (hashes.len() * PERCENT / 100 + WIDTH).next_multiple_of(WIDTH);
        (1..=ATTEMPTS).find_map(|seed| {
            let mut filter = Self {
                seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                starts: (places - WIDTH + 1) as u64,
                words: Vec::new(),
            };
            let (rows, results) = filter.eliminate(hashes, places)?;
            filter.words = solve(&rows, &results);
            Some(filter)
        })
    }

    #[inline]
    fn may_contain(&self, hash: u64) -> bool {
        let hash = self.mix(hash);
        let start = self.start(hash);
        let (word, shift) = (start / WIDTH, (start % WIDTH) as u32);
        let row = coefficients(hash);
        // What of the window lies in the next word.
        let (here, there) = (row << shift, row.checked_shr(64 - shift).unwrap_or(0));
        let next = self.words.get(word + 1).unwrap_or(&[0; BITS]);
        let mut found = 0;
        for (bit, (a, b)) in self.words[word].iter().zip(next).enumerate() {
            let ones = ((a & here).count_ones() + (b & there).count_ones()) & 1;
            found |= (ones as u8) << bit;
        }
        found == fingerprint(hash) & low(BITS)
    }

    fn bytes(&self) -> usize {
        self.words.len() * BITS * 8
    }
}

impl<const BITS: usize> Ribbon<BITS> {
    /// Another hash for each seed.
    #[inline]
    fn mix(&self, hash: u64) -> u64 {
        let mixed = (hash ^ self.seed).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 33)
    }

    #[inline]
    fn start(&self, hash: u64) -> usize {
        ((u128::from(hash) * u128::from(self.starts)) >> 64) as usize
    }

    /// Brings the equations into a form in which each begins at a place of its own; `None` if they contradict each
    /// other with this seed.
    fn eliminate(&self, hashes: &[u64], places: usize) -> Option<(Vec<u64>, Vec<u8>)> {
        let mut rows = vec![0_u64; places];
        let mut results = vec![0_u8; places];
        for hash in hashes {
            let hash = self.mix(*hash);
            let mut at = self.start(hash);
            let (mut row, mut result) = (coefficients(hash), fingerprint(hash) & low(BITS));
            while rows[at] != 0 {
                row ^= rows[at];
                result ^= results[at];
                if row == 0 {
                    break;
                }
                let zeros = row.trailing_zeros();
                at += zeros as usize;
                row >>= zeros;
            }
            match (row, result) {
                // The same as others together: right by itself.
                (0, 0) => {}
                (0, _) => return None,
                _ => (rows[at], results[at]) = (row, result),
            }
        }
        Some((rows, results))
    }
}

/// From the last place to the first: each is what its equation leaves open.
fn solve<const BITS: usize>(rows: &[u64], results: &[u8]) -> Vec<[u64; BITS]> {
    let mut words = vec![[0_u64; BITS]; rows.len() / WIDTH];
    // The 64 bits of each column from the present place on.
    let mut windows = [0_u64; BITS];
    for at in (0..rows.len()).rev() {
        for (bit, window) in windows.iter_mut().enumerate() {
            *window <<= 1;
            let wanted = u64::from(results[at] >> bit & 1);
            let others = u64::from((*window & rows[at]).count_ones() & 1);
            *window |= wanted ^ others;
            words[at / WIDTH][bit] |= (*window & 1) << (at % WIDTH);
        }
    }
    words
}

/// Which bits of the window: the first one always.
#[inline]
fn coefficients(hash: u64) -> u64 {
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)) | 1
}

#[inline]
fn fingerprint(hash: u64) -> u8 {
    (hash.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 56) as u8
}

#[inline]
fn low(bits: usize) -> u8 {
    u8::MAX >> (8 - bits)
}

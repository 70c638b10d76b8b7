//! The one checksum of every file: XXH3, 64 bits.
//!
//! Under `cfg(fuzzing)` every checksum is 0, so that a fuzzer gets to the code behind the check.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The checksum of `bytes`.
pub fn checksum(bytes: &[u8]) -> u64 {
    if cfg!(fuzzing) { 0 } else { xxh3_64(bytes) }
}

/// The checksum of `bytes` that belong at `place`: right bytes at a wrong place don't pass either.
pub fn checksum_at(place: u64, bytes: &[u8]) -> u64 {
    if cfg!(fuzzing) {
        0
    } else {
        xxh3_64_with_seed(bytes, place)
    }
}

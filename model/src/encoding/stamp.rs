//! Timestamps of rows: seven bytes, so that they take little room and no loop.
//!
//! ```text
//! 7   microseconds since the Unix epoch, plus 2^55, little-endian
//! 8   if those are all ones: microseconds since the Unix epoch, little-endian
//! ```
//!
//! Seven bytes reach a thousand years to either side. What is further away, which a client may write, takes fifteen.

use crate::time::Timestamp;

/// Bytes of a timestamp that is not far away.
pub(super) const BYTES: usize = 7;

/// What stands there for one that is.
pub(super) const FAR: u64 = (1 << (8 * BYTES)) - 1;

const BIAS: u64 = 1 << (8 * BYTES - 1);

/// Whether seven bytes can't hold it.
pub(super) fn is_far(timestamp: Timestamp) -> bool {
    word(timestamp) >= FAR
}

/// What stands in the seven bytes, if they can hold it.
pub(super) fn word(timestamp: Timestamp) -> u64 {
    (timestamp.0 as u64).wrapping_add(BIAS)
}

/// The timestamp of seven bytes.
pub(super) fn of_word(word: u64) -> Timestamp {
    Timestamp(word.wrapping_sub(BIAS) as i64)
}

//! One write in a log of version 2, which is read and not written any more. The header is that of a
//! `group`.
//!
//! ```text
//! 0   4  length of the body
//! 4   8  checksum of everything after it, at place (number of the segment, length)
//! 12  8  the write's number
//! 20  4  how far behind the log's sync was when the record was written (number - synced, saturating)
//! 24     the body: an encoded mutation
//! ```
//!
//! All numbers are little-endian. The segment's number in the checksum keeps what a recycled file held before from
//! being taken for its content. "Behind" is what tells a torn tail from damage: a later record that knew this one
//! to be synced proves that it was once whole.

use crate::{checksum::checksum_at, log::Lsn};

/// Bytes before the body.
pub(super) const HEADER_BYTES: usize = 24;

/// The largest body: the largest mutation.
pub const MAX_BODY_BYTES: usize = starling_model::mutation::MAX_MUTATION_BYTES;

/// The number, a write that was durable when this one was written, and the body of the record of a segment at the
/// start of `input`; `None` if there is no whole one.
pub(super) fn take(input: &[u8], segment: u64) -> Option<(Lsn, Lsn, &[u8])> {
    take_from(input, segment, MAX_BODY_BYTES)
}

/// The same of anything with such a header.
pub(super) fn take_from(input: &[u8], segment: u64, most: usize) -> Option<(Lsn, Lsn, &[u8])> {
    let lsn = peek(input, most)?;
    let length = u32::from_le_bytes(*input.first_chunk()?) as usize;
    let sum = u64::from_le_bytes(*input.get(4..)?.first_chunk()?);
    let behind = u32::from_le_bytes(*input.get(20..)?.first_chunk()?);
    let end = HEADER_BYTES + length;
    if checksum_at(place(segment, length), input.get(12..end)?) != sum {
        return None;
    }
    // A "behind" that is cut off proves nothing.
    let synced = if behind == u32::MAX {
        0
    } else {
        lsn.0.saturating_sub(behind.into())
    };
    Some((lsn, Lsn(synced), input.get(HEADER_BYTES..end)?))
}

/// The number that the header at the start of `input` claims, if its length is possible. Unchecked.
pub(super) fn peek(input: &[u8], most: usize) -> Option<Lsn> {
    let length = u32::from_le_bytes(*input.first_chunk()?) as usize;
    if length > most || input.len() < HEADER_BYTES + length {
        return None;
    }
    Some(Lsn(u64::from_le_bytes(*input.get(12..)?.first_chunk()?)))
}

/// Where something of a segment belongs, for its checksum.
pub(super) fn place(segment: u64, length: usize) -> u64 {
    segment.rotate_left(32) ^ length as u64
}

//! What lies in a log of an earlier version, which is read and not written any more: in version 2 a record for each
//! write, in version 3 groups. Both have the same header.
//!
//! ```text
//! 0   4  length of the content
//! 4   8  checksum of everything after it, at place (number of the segment, length)
//! 12  8  the number of the write, or of the first one
//! 20  4  how far behind the log's sync was when it was written (number - synced, saturating)
//! 24     the content: an encoded mutation, or writes as in a `group`
//! ```
//!
//! All numbers are little-endian. The segment's number in the checksum keeps what a recycled file held before from
//! being taken for its content; nothing keeps out what a client made to look like it, which is why there is a later version.

use super::{Lsn, group};
use crate::checksum::checksum_at;

/// Bytes before the content.
pub(super) const HEADER_BYTES: usize = 24;

/// The largest body of a write: the largest mutation.
pub const MAX_BODY_BYTES: usize = starling_model::mutation::MAX_MUTATION_BYTES;

/// What the header of a record, or of a group of any version, says. Unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    /// Bytes of the content.
    pub(super) length: usize,
    /// A checksum.
    pub(super) sum: u64,
    /// The number of the first write.
    pub(super) first: Lsn,
    /// A write that was durable when it was written, and with it all before.
    pub(super) synced: Lsn,
}

impl Claim {
    /// That of the header at the start of `input`; `None` if there is no room for one.
    #[inline]
    pub(super) fn peek(input: &[u8]) -> Option<Self> {
        let header = input.first_chunk::<HEADER_BYTES>()?;
        let first = u64::from_le_bytes(*header[12..].first_chunk()?);
        let behind = u32::from_le_bytes(*header[20..].first_chunk()?);
        // A "behind" that is cut off proves nothing.
        let synced = if behind == u32::MAX {
            0
        } else {
            first.saturating_sub(behind.into())
        };
        Some(Self {
            length: u32::from_le_bytes(*header.first_chunk()?) as usize,
            sum: u64::from_le_bytes(*header[4..].first_chunk()?),
            first: Lsn(first),
            synced: Lsn(synced),
        })
    }
}

/// The header of a record of a segment at the start of `input`, and its content; `None` if there is no whole one.
pub(super) fn take_record(input: &[u8], segment: u64) -> Option<(Claim, &[u8])> {
    take(input, segment, MAX_BODY_BYTES)
}

/// The same of a group of version 3.
pub(super) fn take_group(input: &[u8], segment: u64) -> Option<(Claim, &[u8])> {
    take(input, segment, group::MAX_BYTES)
}

fn take(input: &[u8], segment: u64, most: usize) -> Option<(Claim, &[u8])> {
    let claim = Claim::peek(input)?;
    if claim.length > most {
        return None;
    }
    let end = HEADER_BYTES + claim.length;
    let place = segment.rotate_left(32) ^ claim.length as u64;
    if checksum_at(place, input.get(12..end)?) != claim.sum {
        return None;
    }
    Some((claim, input.get(HEADER_BYTES..end)?))
}

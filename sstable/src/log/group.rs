//! Writes that went to the log together.
//!
//! ```text
//! 0   4  length of the content
//! 4   8  checksum of everything after it, at place (number of the segment, length)
//! 12  8  the number of the first write
//! 20  4  how far behind the log's sync was when the group was written (first number - synced, saturating)
//! 24     the content: writes, see `entries`; each has the number after that of the one before
//! ```
//!
//! All numbers are little-endian. The segment's number in the checksum keeps what a recycled file held before from
//! being taken for its content. "Behind" is what tells a torn tail from damage: a later group that knew this one
//! to be synced proves that it was once whole.

use super::record;
use crate::{checksum::checksum_at, log::Lsn};

/// Bytes before the content.
pub(super) const HEADER_BYTES: usize = 24;

/// A group gets no more writes when its content has this much, in bytes. So a sync that a crash tears leaves what
/// came before whole, and a reader has to trust no great length.
pub(super) const FULL_BYTES: usize = 256 << 10;

/// The longest content: one write that is as long as it may be, or a group that has one byte less than it may have
/// and gets another.
pub(super) const MAX_BYTES: usize = record::MAX_BODY_BYTES + FULL_BYTES;

/// A group in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group<'a> {
    /// The number of its first write.
    pub(super) first: Lsn,
    /// A write that was durable when it was written, and with it all before.
    pub(super) synced: Lsn,
    /// Its writes.
    pub(super) content: &'a [u8],
}

/// Begins a group at the end of `out`.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; HEADER_BYTES]);
}

/// Completes a group, which is `bytes`.
pub(super) fn seal(bytes: &mut [u8], first: Lsn, segment: u64, synced: Lsn) {
    let length = bytes.len() - HEADER_BYTES;
    let behind = u32::try_from(first.0.saturating_sub(synced.0)).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    bytes[12..20].copy_from_slice(&first.0.to_le_bytes());
    bytes[20..24].copy_from_slice(&behind.to_le_bytes());
    let sum = checksum_at(record::place(segment, length), &bytes[12..]);
    bytes[4..12].copy_from_slice(&sum.to_le_bytes());
}

/// The group of a segment at the start of `input`; `None` if there is no whole one.
pub(super) fn take(input: &[u8], segment: u64) -> Option<Group<'_>> {
    let (first, synced, content) = record::take_from(input, segment, MAX_BYTES)?;
    Some(Group {
        first,
        synced,
        content,
    })
}

//! Writes that went to the log together.
//!
//! ```text
//! 0   4  length of the content
//! 4   8  checksum of the content, at the segment's place
//! 12  8  the number of the first write
//! 20  4  how far behind the log's sync was when the group was written (first number - synced, saturating)
//! 24  4  check of bytes 0 to 24: the upper half of their checksum at the segment's place
//! 28     the content: writes, see `entries`; each has the number after that of the one before
//! ```
//!
//! All numbers are little-endian. A segment's place is the checksum of its number at the place of its salt. The number
//! keeps what a recycled file held before from being taken for its content. The salt, which no client knows, keeps a value that
//! a client wrote from being taken for a group: values lie in the log as they are, and a recovery looks at every byte for
//! what shows damage. The check of the header is for that look too: a length is not believed before it, so that
//! nothing that lies there makes it read much.
//!
//! "Behind" is what tells a torn tail from damage: a later group that knew this one to be synced proves that it was once
//! whole.

use super::record::{Claim, MAX_BODY_BYTES};
use crate::{checksum::checksum_at, log::Lsn};

/// Bytes before the content.
pub(super) const HEADER_BYTES: usize = 28;

/// Bytes of the header before its check.
const CHECKED_BYTES: usize = 24;

/// A group gets no more writes when its content has this much, in bytes. So a sync that a crash tears leaves what
/// came before whole, and a reader has to trust no great length.
pub(super) const FULL_BYTES: usize = 256 << 10;

/// The longest content: one write that is as long as it may be, or a group that has one byte less than it may have
/// and gets another.
pub(super) const MAX_BYTES: usize = MAX_BODY_BYTES + FULL_BYTES;

/// Where the groups of a segment belong, for their checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u64);

impl Place {
    /// That of the segment of a number and a salt.
    pub(super) fn of(segment: u64, salt: u64) -> Self {
        Self(checksum_at(salt, &segment.to_le_bytes()))
    }

    fn check(self, header: &[u8]) -> u32 {
        (checksum_at(self.0, header) >> 32) as u32
    }
}

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
pub(super) fn seal(bytes: &mut [u8], first: Lsn, place: Place, synced: Lsn) {
    let (header, content) = bytes.split_at_mut(HEADER_BYTES);
    let behind = u32::try_from(first.0.saturating_sub(synced.0)).unwrap_or(u32::MAX);
    header[..4].copy_from_slice(&(content.len() as u32).to_le_bytes());
    header[4..12].copy_from_slice(&checksum_at(place.0, content).to_le_bytes());
    header[12..20].copy_from_slice(&first.0.to_le_bytes());
    header[20..24].copy_from_slice(&behind.to_le_bytes());
    let check = place.check(&header[..CHECKED_BYTES]);
    header[CHECKED_BYTES..].copy_from_slice(&check.to_le_bytes());
}

/// The group of a segment at the start of `input`; `None` if there is no whole one.
pub(super) fn take(input: &[u8], place: Place) -> Option<Group<'_>> {
    let header = input.first_chunk::<HEADER_BYTES>()?;
    let claim = Claim::peek(input)?;
    let (checked, check) = header.split_at(CHECKED_BYTES);
    if place.check(checked).to_le_bytes() != check || claim.length > MAX_BYTES {
        return None;
    }
    let content = input.get(HEADER_BYTES..HEADER_BYTES + claim.length)?;
    if checksum_at(place.0, content) != claim.sum {
        return None;
    }
    Some(Group {
        first: claim.first,
        synced: claim.synced,
        content,
    })
}

//! What can be read of a segment, and what of it is lost.
//!
//! Two things make bytes unreadable. A crash *tears* what was being written when it came: nobody was told that this was
//! durable, so nothing is lost. Anything else is *damage*: a hint is gone that somebody may count on. Both are passed over,
//! and the hints behind them are read.
//!
//! They are told apart so. Only the last group that was written to a segment can be torn, and only if no later sync of the
//! segment went well. Each record says up to which place everything was synced before: what lies before the last such place
//! is damaged. Behind it, it is taken for torn in the segment that was written to when the process ended, or given up when a
//! write failed; in others it is damage.

use std::{iter::once, ops::Range};

use bytes::Bytes;

use super::segment::{self, Format, HEADER_BYTES, Stored};

/// A segment's hints, and what of it can't be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// In the order in which they were kept.
    pub hints: Vec<Stored>,
    /// The places of bytes that were durable once and are not as they were written.
    pub damaged: Vec<Range<u64>>,
    /// The places of bytes whose write did not come to its end.
    pub torn: Vec<Range<u64>>,
}

/// Nothing of a segment can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It can't be told with which salt records are checked.
    #[error("both copies of its header are damaged")]
    Header,
    /// A newer release wrote it.
    #[error("it is of version {0}, which this release does not know")]
    Version(u32),
}

/// Reads a segment. `may_be_torn`: its last write may not have come to its end.
///
/// # Errors
/// Not even its header can be read.
pub fn read(segment: &Bytes, may_be_torn: bool) -> Result<Content, Unreadable> {
    match segment::format(segment) {
        Format::Salted(salt) => Ok(read_salted(salt, segment, may_be_torn)),
        Format::Old => Ok(read_old(segment)),
        Format::Blank if may_be_torn || segment.is_empty() => Ok(Content {
            torn: ranges(once(0..segment.len())),
            ..Content::default()
        }),
        // Its header itself was cut off.
        Format::Damaged if may_be_torn && segment.len() < HEADER_BYTES => Ok(Content {
            torn: ranges(once(0..segment.len())),
            ..Content::default()
        }),
        Format::Blank | Format::Damaged => Err(Unreadable::Header),
        Format::Unknown(version) => Err(Unreadable::Version(version)),
    }
}

fn read_salted(salt: u64, segment: &Bytes, may_be_torn: bool) -> Content {
    let mut hints = Vec::new();
    let mut bad: Vec<Range<usize>> = Vec::new();
    let (mut place, mut synced) = (HEADER_BYTES, 0);
    while place < segment.len() {
        if let Some(record) = segment::record(salt, segment, place) {
            synced = synced.max(record.synced);
            place = usize::try_from(record.hint.end).unwrap_or(usize::MAX);
            hints.push(record.hint);
        } else {
            let next = next_whole(salt, segment, place);
            bad.push(place..next);
            place = next;
        }
    }
    let (torn, damaged): (Vec<_>, Vec<_>) = bad
        .into_iter()
        .partition(|range| may_be_torn && range.start >= synced);
    Content {
        hints,
        damaged: ranges(damaged),
        torn: ranges(torn),
    }
}

/// Where the next whole record behind a bad one begins; the segment's end if there is none.
fn next_whole(salt: u64, segment: &Bytes, bad: usize) -> usize {
    // If only its mutation is damaged, it says how long it is.
    let from = segment::end_of_record(salt, segment, bad).unwrap_or(bad + 1);
    let mut places = from..segment.len();
    places
        .find(|place| segment::record(salt, segment, *place).is_some())
        .unwrap_or(segment.len())
}

/// In version 1 a value that a client wrote can look like a record: nothing is read behind what does not match. Nor can
/// damage be told from a torn end.
fn read_old(segment: &Bytes) -> Content {
    let mut content = Content::default();
    let mut place = 0;
    while let Some(hint) = segment::old_record(segment, place) {
        place = usize::try_from(hint.end).unwrap_or(usize::MAX);
        content.hints.push(hint);
    }
    content.damaged = ranges(once(place..segment.len()));
    content
}

fn ranges(places: impl IntoIterator<Item = Range<usize>>) -> Vec<Range<u64>> {
    let filled = places.into_iter().filter(|range| !range.is_empty());
    filled.map(|range| range.start as u64..range.end as u64).collect()
}

//! The byte layout of a segment of hints. Numbers are big-endian.
//!
//! ```text
//! header   twice: `STRLHINT`, version (4 bytes), zero (4 bytes), salt (8 bytes), XXH3-64 of these 24 bytes (8 bytes)
//! record   length of the mutation, when it was kept, until when it is worth delivering, the place in the file up to
//!          which all was synced before it was written (4 bytes each; times in seconds);
//!          check of these 16 bytes and the record's place (4 bytes); check of the mutation (8 bytes); the mutation
//! ```
//!
//! A check is XXH3-64 with the salt and the record's place in its seed, cut to what there is room for. The salt is drawn
//! for each segment and leaves the node in no message, so no client can write a value that looks like a record: what
//! passes both checks at its place was written there as a record. That makes it safe to look for the next whole record
//! behind damage ([`damage`](super::damage)).
//!
//! Version 1 had no header; a record was the length, when it was kept, XXH3-64 of both and the mutation, the mutation.
//! It is read up to what does not match.

use bytes::Bytes;
use starling_model::{Seconds, TableId};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64, xxh3_64_with_seed};

use crate::message::Hint;

const MAGIC: [u8; 8] = *b"STRLHINT";
const VERSION: u32 = 2;
const COPY_BYTES: usize = 32;
/// Where the first record is.
pub(super) const HEADER_BYTES: usize = 2 * COPY_BYTES;
/// What a record has before its mutation.
pub(super) const RECORD_HEADER_BYTES: usize = 28;
const OLD_RECORD_HEADER_BYTES: usize = 16;

/// When a hint was kept, and until when it is worth delivering by the settings of that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// When it was kept.
    pub at: Seconds,
    /// Until when it is worth delivering.
    pub until: Seconds,
}

/// A hint as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its age.
    pub life: Life,
    /// As `Mutation::encode` wrote it: a slice of the segment.
    pub mutation: Bytes,
    /// Where it ends in its segment.
    pub end: u64,
}

impl Stored {
    /// As it travels.
    pub(super) fn for_peer(&self) -> Hint {
        Hint {
            at: self.life.at,
            mutation: self.mutation.clone(),
        }
    }
}

/// A record that passed its checks.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) hint: Stored,
    /// All before this place was synced before the record was written.
    pub(super) synced: usize,
}

/// How long the record of a mutation is.
pub(super) fn record_bytes(mutation: usize) -> u64 {
    (RECORD_HEADER_BYTES + mutation) as u64
}

/// What a segment begins with.
pub(super) fn header(salt: u64) -> Vec<u8> {
    let mut copy = MAGIC.to_vec();
    copy.extend_from_slice(&VERSION.to_be_bytes());
    copy.extend_from_slice(&[0; 4]);
    copy.extend_from_slice(&salt.to_be_bytes());
    copy.extend_from_slice(&xxh3_64(&copy).to_be_bytes());
    copy.repeat(2)
}

/// Writes a segment's records, in one or more groups that are synced.
pub struct Writer {
    salt: u64,
    /// Where the group begins.
    synced: usize,
    group: Vec<u8>,
}

impl Writer {
    /// A segment that is still empty. Its header goes with the first group.
    pub fn new(salt: u64) -> Self {
        Self {
            salt,
            synced: 0,
            group: header(salt),
        }
    }

    /// Adds a record to the group.
    ///
    /// # Panics
    /// The mutation, or the segment, has 4 GiB.
    pub fn put(&mut self, life: Life, mutation: &[u8]) {
        let length = u32::try_from(mutation.len()).expect("a mutation is shorter than 4 GiB");
        let synced = u32::try_from(self.synced).expect("a segment is shorter than 4 GiB");
        let (start, place) = (self.group.len(), self.bytes());
        for number in [length, life.at.0, life.until.0, synced] {
            self.group.extend_from_slice(&number.to_be_bytes());
        }
        let check = check_of_header(self.salt, place, &self.group[start..]);
        self.group.extend_from_slice(&check.to_be_bytes());
        let check = check_of_mutation(self.salt, place, mutation);
        self.group.extend_from_slice(&check.to_be_bytes());
        self.group.extend_from_slice(mutation);
    }

    /// How long the segment is with the group.
    pub fn bytes(&self) -> usize {
        self.synced + self.group.len()
    }

    /// The group's bytes. What is added from now on belongs to the next, which is written once this one is synced.
    pub fn take_group(&mut self) -> Vec<u8> {
        self.synced = self.bytes();
        std::mem::take(&mut self.group)
    }
}

/// What the beginning of a segment says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The present one, with this salt.
    Salted(u64),
    /// The one without a header.
    Old,
    /// Nothing was written there.
    Blank,
    /// Both copies of the header are damaged.
    Damaged,
    /// It was written by another release.
    Unknown(u32),
}

pub(super) fn format(segment: &[u8]) -> Format {
    let copies = || segment.chunks_exact(COPY_BYTES).take(2);
    let whole = |copy: &&[u8]| copy[..8] == MAGIC && copy[24..] == xxh3_64(&copy[..24]).to_be_bytes();
    if let Some(copy) = copies().find(whole) {
        return match number(copy, 8) {
            Some(VERSION) => {
                let salt = copy[16..24].try_into().expect("these are 8 bytes");
                Format::Salted(u64::from_be_bytes(salt))
            }
            version => Format::Unknown(version.unwrap_or_default()),
        };
    }
    let beginning = &segment[..segment.len().min(HEADER_BYTES)];
    if beginning.iter().all(|byte| *byte == 0) || (!beginning.is_empty() && MAGIC.starts_with(beginning)) {
        return Format::Blank;
    }
    // A bit that flipped leaves most of the magic numbers as they were.
    let resembles = |copy: &[u8]| MAGIC.iter().zip(copy).filter(|(a, b)| a == b).count() >= 4;
    if beginning.chunks(COPY_BYTES).any(resembles) {
        Format::Damaged
    } else {
        Format::Old
    }
}

/// The record at a place, if it is whole.
pub(super) fn record(salt: u64, segment: &Bytes, place: usize) -> Option<Record> {
    let end = end_of_record(salt, segment, place)?;
    let body = place + RECORD_HEADER_BYTES;
    if segment.len() < end {
        return None;
    }
    let check = check_of_mutation(salt, place, &segment[body..end]);
    (segment[body - 8..body] == check.to_be_bytes()).then(|| Record {
        hint: Stored {
            life: Life {
                at: Seconds(number(segment, place + 4).unwrap_or_default()),
                until: Seconds(number(segment, place + 8).unwrap_or_default()),
            },
            mutation: segment.slice(body..end),
            end: end as u64,
        },
        synced: number(segment, place + 12).unwrap_or_default() as usize,
    })
}

/// Where the record at a place ends, if its header is whole.
pub(super) fn end_of_record(salt: u64, segment: &[u8], place: usize) -> Option<usize> {
    let header = segment.get(place..place.checked_add(RECORD_HEADER_BYTES)?)?;
    if header[16..20] != check_of_header(salt, place, &header[..16]).to_be_bytes() {
        return None;
    }
    (place + RECORD_HEADER_BYTES).checked_add(number(header, 0)? as usize)
}

/// The record of version 1 at a place, if it is whole.
pub(super) fn old_record(segment: &Bytes, place: usize) -> Option<Stored> {
    let body = place.checked_add(OLD_RECORD_HEADER_BYTES)?;
    let header = segment.get(place..body)?;
    let end = body.checked_add(number(header, 0)? as usize)?;
    let mutation = segment.get(body..end)?;
    let mut hash = Xxh3Default::new();
    hash.update(&header[..8]);
    hash.update(mutation);
    (header[8..] == hash.digest().to_be_bytes()).then(|| Stored {
        life: Life {
            at: Seconds(number(header, 4).unwrap_or_default()),
            // It was not written down: the present settings say.
            until: Seconds(u32::MAX),
        },
        mutation: segment.slice(body..end),
        end: end as u64,
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn check_of_header(salt: u64, place: usize, header: &[u8]) -> u32 {
    (xxh3_64_with_seed(header, salt.wrapping_add(place as u64)) >> 32) as u32
}

fn check_of_mutation(salt: u64, place: usize, mutation: &[u8]) -> u64 {
    xxh3_64_with_seed(mutation, salt.wrapping_add(place as u64))
}

/// The table of an encoded mutation: its first 16 bytes.
pub(crate) fn table_of(mutation: &[u8]) -> Option<TableId> {
    let bytes = mutation.first_chunk::<16>()?;
    Some(TableId(u128::from_be_bytes(*bytes)))
}

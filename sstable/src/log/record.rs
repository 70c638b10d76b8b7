//! One write in the log.
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
//!
//! A record is made in two steps: [`put`] when the write is taken, [`seal`] when it is known which segment it goes
//! to; that is done by who syncs, beside the writes that come in.

use crate::{checksum::checksum_at, log::Lsn};

/// Bytes before the body.
pub const HEADER_BYTES: usize = 24;

/// The largest body: the largest mutation.
pub const MAX_BODY_BYTES: usize = starling_model::mutation::MAX_MUTATION_BYTES;

/// A record in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The write's number.
    pub lsn: Lsn,
    /// A write that was durable when this one was written, and with it all before.
    pub synced: Lsn,
    /// The encoded mutation.
    pub body: &'a [u8],
}

impl Record<'_> {
    /// Its length with the header, in bytes.
    pub fn len(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// Whether the body is empty; never so for a mutation.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }
}

/// Appends a record that is to be sealed. The body is at most [`MAX_BODY_BYTES`] long.
pub fn put(out: &mut Vec<u8>, lsn: Lsn, body: &[u8]) {
    debug_assert!(body.len() <= MAX_BODY_BYTES);
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    header[12..20].copy_from_slice(&lsn.0.to_le_bytes());
    out.reserve(HEADER_BYTES + body.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
}

/// Completes a record, which is `bytes`, for a segment. One that is sealed already can be sealed anew.
pub fn seal(bytes: &mut [u8], segment: u64, synced: Lsn) {
    let behind = number(bytes).saturating_sub(synced.0);
    let behind = u32::try_from(behind).unwrap_or(u32::MAX);
    bytes[20..24].copy_from_slice(&behind.to_le_bytes());
    let sum = checksum_at(place(segment, bytes.len() - HEADER_BYTES), &bytes[12..]);
    bytes[4..12].copy_from_slice(&sum.to_le_bytes());
}

/// The length with the header of the record at the start of `bytes`, which [`put`] made, and its number.
pub fn extent(bytes: &[u8]) -> (usize, Lsn) {
    let length = bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    (HEADER_BYTES + length as usize, Lsn(number(bytes)))
}

/// The record of a segment at the start of `input`; `None` if there is no whole one.
pub fn take(input: &[u8], segment: u64) -> Option<Record<'_>> {
    let lsn = peek(input)?;
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
    Some(Record {
        lsn,
        synced: Lsn(synced),
        body: input.get(HEADER_BYTES..end)?,
    })
}

/// The number that the record at the start of `input` claims, if its length is possible. Unchecked.
pub fn peek(input: &[u8]) -> Option<Lsn> {
    let length = u32::from_le_bytes(*input.first_chunk()?) as usize;
    if length > MAX_BODY_BYTES || input.len() < HEADER_BYTES + length {
        return None;
    }
    Some(Lsn(u64::from_le_bytes(*input.get(12..)?.first_chunk()?)))
}

fn number(bytes: &[u8]) -> u64 {
    let number = bytes.get(12..).and_then(|bytes| bytes.first_chunk());
    number.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn place(segment: u64, length: usize) -> u64 {
    segment.rotate_left(32) ^ length as u64
}

//! The byte layout of a segment of hints.
//!
//! ```text
//! record   length of the mutation (4 bytes, big-endian), when it was kept (seconds, 4 bytes, big-endian),
//!          XXH3-64 of these 8 bytes and the mutation (8 bytes, big-endian), the mutation
//! ```
//!
//! A record that is cut off, or whose checksum does not match, ends the segment: a crash tears only what
//! was not synced, and nobody was told that this was durable.

use bytes::Bytes;
use starling_model::{Seconds, TableId};
use xxhash_rust::xxh3::Xxh3Default;

const HEADER_BYTES: usize = 16;

/// How long the record of a mutation is.
pub(super) fn record_bytes(mutation: usize) -> u64 {
    (HEADER_BYTES + mutation) as u64
}

/// Appends a record.
pub(super) fn put(out: &mut Vec<u8>, at: Seconds, mutation: &[u8]) {
    let length = u32::try_from(mutation.len()).expect("a mutation is shorter than 4 GiB");
    let start = out.len();
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&at.0.to_be_bytes());
    let sum = checksum(&out[start..], mutation);
    out.extend_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(mutation);
}

/// The records of a segment, up to its end or the first that is damaged.
pub(super) fn records(mut segment: Bytes) -> Vec<(Seconds, Bytes)> {
    let mut records = Vec::new();
    while let Some(record) = take(&mut segment) {
        records.push(record);
    }
    records
}

fn take(segment: &mut Bytes) -> Option<(Seconds, Bytes)> {
    let number = |at: usize| {
        let bytes = segment.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let length = number(0)? as usize;
    let at = Seconds(number(4)?);
    let end = HEADER_BYTES.checked_add(length)?;
    if segment.len() < end {
        return None;
    }
    let sum = checksum(&segment[..8], &segment[HEADER_BYTES..end]);
    if segment[8..HEADER_BYTES] != sum.to_be_bytes() {
        return None;
    }
    let record = segment.split_to(end);
    Some((at, record.slice(HEADER_BYTES..)))
}

fn checksum(header: &[u8], mutation: &[u8]) -> u64 {
    let mut hash = Xxh3Default::new();
    hash.update(header);
    hash.update(mutation);
    hash.digest()
}

/// The table of an encoded mutation: its first 16 bytes.
pub(super) fn table_of(mutation: &[u8]) -> Option<TableId> {
    let bytes = mutation.first_chunk::<16>()?;
    Some(TableId(u128::from_be_bytes(*bytes)))
}

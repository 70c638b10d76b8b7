//! Versions that writes leave in their records, for `--verify`: which write it was, and of which record.
//!
//! The record's part is there for rows that turn up where they don't belong: a version of the run that is another record's
//! is nothing that this one ever had.

/// The low bits of a version are those of its record's number: records below 16 million are told apart for certain.
const RECORD_BITS: u32 = 24;

const RECORD: u64 = (1 << RECORD_BITS) - 1;

/// Of the write with this serial number, below 2^39, to a record. A bigint holds it.
pub fn of(record: u64, serial: u64) -> u64 {
    (serial << RECORD_BITS) | (record & RECORD)
}

/// What loading writes. All writes of the run have greater ones.
pub fn loaded(record: u64) -> u64 {
    of(record, 0)
}

/// Whether a version may be one of a record's.
pub fn is_of(version: i64, record: u64) -> bool {
    (version as u64 & RECORD) == (record & RECORD)
}

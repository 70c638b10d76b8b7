//! The values of entries.
//!
//! ```text
//! partition        flags (1 byte): 1 deletion, 2 may have range tombstones; [deletion]
//! static row, row  a row
//! range tombstone  flags (1 byte): 1 has an end; [end bytes] deletion
//! ```
//!
//! Rows, deletions and bytes are encoded as in `model::encoding`.

use bytes::Bytes;
use starling_model::{
    ClusteringRange, DecodeError, Deletion, RangeTombstone, Row,
    encoding::{Input, Reader, Writer},
};

/// The start of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// The partition was deleted.
    pub deletion: Option<Deletion>,
    /// Range tombstones may follow. Not set: none do.
    pub ranges: bool,
}

/// Appends a partition's head.
pub fn put_head(out: &mut Writer, head: Head) {
    out.byte(u8::from(head.deletion.is_some()) | u8::from(head.ranges) << 1);
    if let Some(deletion) = head.deletion {
        out.deletion(deletion);
    }
}

/// Reads a partition's head.
pub fn head(value: Bytes) -> Result<Head, DecodeError> {
    let mut input = Reader::new(value);
    let flags = input.flags(3)?;
    let deletion = if flags & 1 != 0 {
        Some(input.deletion()?)
    } else {
        None
    };
    input.end()?;
    Ok(Head {
        deletion,
        ranges: flags & 2 != 0,
    })
}

/// Whether a partition's head, as it is encoded, tells nothing that its absence would not.
pub fn says_nothing(head: &[u8]) -> bool {
    head == [0]
}

/// The deletion in a partition's head.
pub fn head_deletion(value: &[u8]) -> Result<Option<Deletion>, DecodeError> {
    let mut input = Input::new(value);
    let flags = input.flags(3)?;
    let deletion = if flags & 1 != 0 {
        Some(input.deletion()?)
    } else {
        None
    };
    input.end()?;
    Ok(deletion)
}

/// The deletion in a range tombstone.
pub fn range_deletion(value: &[u8]) -> Result<Deletion, DecodeError> {
    let mut input = Input::new(value);
    if input.flags(1)? & 1 != 0 {
        input.bytes()?;
    }
    let deletion = input.deletion()?;
    input.end()?;
    Ok(deletion)
}

/// Reads a row.
pub fn row(value: Bytes) -> Result<Row, DecodeError> {
    let mut input = Reader::new(value);
    let row = input.row()?;
    input.end()?;
    Ok(row)
}

/// Appends what is not in the key of a range tombstone.
pub fn put_range(out: &mut Writer, tombstone: &RangeTombstone) {
    out.byte(u8::from(tombstone.range.end.is_some()));
    if let Some(end) = &tombstone.range.end {
        out.bytes(end);
    }
    out.deletion(tombstone.deletion);
}

/// Reads a range tombstone that starts at `start`.
pub fn range(start: &[u8], value: Bytes) -> Result<RangeTombstone, DecodeError> {
    let mut input = Reader::new(value);
    let flags = input.flags(1)?;
    let end = if flags & 1 != 0 {
        Some(input.bytes()?)
    } else {
        None
    };
    let deletion = input.deletion()?;
    input.end()?;
    let range = ClusteringRange {
        start: Bytes::copy_from_slice(start),
        end,
    };
    if range.is_empty() {
        return Err(DecodeError::NotCanonical);
    }
    Ok(RangeTombstone { range, deletion })
}

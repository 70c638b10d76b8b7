//! The byte layout of partitions: on the wire between nodes, in the log, and in tables.
//!
//! ```text
//! varint     unsigned LEB128, at most 10 bytes
//! bytes      varint length, then the bytes
//! timestamp  zigzag varint of microseconds
//! deletion   timestamp, varint seconds
//! expiry     varint second, varint TTL
//!
//! row        flags (1 byte): 1 marker, 2 marker expires, 4 deletion, 8 set, 16 * number of cells, 15 for more
//!            [marker stamp [expiry]] [stamp, varint second of the deletion] [varint number of cells less 15], cells
//! cell       flags (1 byte): 1 tombstone, 2 expires (3: no tombstone, and expires as the one before), 4 has a path,
//!            8 has a stamp, 16 * how much its column is greater than the one before, 15 for more
//!            [varint how much less 15], [path bytes], [stamp], then
//!            tombstone: varint second; else [expiry], value bytes
//! stamp      7 bytes, little-endian: microseconds and 2^55; all ones, and 8 bytes of microseconds, if it is far away
//! range      flags (1 byte): 1 has an end; start bytes [end bytes] deletion
//! partition  flags (1 byte): 1 deletion, 2 static row
//!            [deletion] [row] varint number of ranges, ranges, varint number of rows,
//!            then for each row: clustering bytes, row
//! ```
//!
//! A cell has no stamp if it has the timestamp of the cell before it; the first, if it has the marker's. "As the one
//! before" is the last cell that expires; if there is none, the marker. The column before the first is 0. What can be
//! left out is left out. So a cell means nothing without those before it: [`Cells`] reads them and [`CellWriter`]
//! writes them in a row. Rows without the flag 8 have the layout that the private module `older` describes; it is
//! still read.
//!
//! Decoding checks every length against the input before it allocates, and rejects content that is not
//! in canonical order, so that malformed bytes cost no memory and can't break an invariant.
//!
//! [`Reader`] makes values of bytes; [`MutationView`], [`RowView`] and [`CellView`] look at them where they are.

mod cell_view;
mod input;
mod mutation_view;
mod older;
mod reader;
mod row_layout;
mod row_merge;
mod row_view;
mod stamp;
mod writer;

pub use cell_view::{CellView, CellWriter, Cells};
pub use input::Input;
pub use mutation_view::{MutationView, RowEntry, Rows};
pub use reader::Reader;
pub use row_merge::RowMerger;
pub use row_view::RowView;
pub use writer::Writer;

/// Bytes that are not what the reader expects. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends too early.
    #[error("the input ends too early")]
    Truncated,
    /// A number does not fit its type.
    #[error("a number is out of range")]
    Number,
    /// Flags that this version does not know.
    #[error("unknown flags {0:#04x}")]
    Flags(u8),
    /// Cells, ranges or rows out of order, or covered by a tombstone beside them.
    #[error("the content is not in canonical order")]
    NotCanonical,
    /// A partition key longer than [`crate::key::MAX_PARTITION_KEY_BYTES`].
    #[error("a partition key has {0} bytes")]
    KeyTooLong(usize),
    /// Bytes follow the end.
    #[error("{0} bytes follow the end")]
    Trailing(usize),
}

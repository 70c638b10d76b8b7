//! Values to bytes.

use std::ops::Range;

use bytes::Bytes;

use super::{CellView, CellWriter, DecodeError, RowView, row_layout, stamp};
use crate::{
    cell::Expiry,
    partition::Partition,
    range_tombstone::{RangeTombstone, RangeTombstones},
    row::{Marker, Row},
    time::{Deletion, Timestamp},
};

/// Appends to a growing buffer.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// A writer whose buffer has room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
        }
    }

    /// A writer that forgets what is in `buffer` and uses its memory.
    pub fn over(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { out: buffer }
    }

    /// A writer that goes on behind what is in `buffer`.
    pub fn behind(buffer: Vec<u8>) -> Self {
        Self { out: buffer }
    }

    /// What was written, with the buffer's memory.
    pub fn into_vec(self) -> Vec<u8> {
        self.out
    }

    /// What was written.
    pub fn finish(self) -> Bytes {
        self.out.into()
    }

    /// What was written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.out
    }

    /// Forgets what was written and keeps the memory.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    /// Makes room for so many bytes more.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// Forgets what was written behind the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.out.truncate(length);
    }

    /// Puts other bytes in the place of some that were written.
    pub fn replace(&mut self, range: Range<usize>, bytes: &[u8]) {
        self.out.splice(range, bytes.iter().copied());
    }

    /// Bytes whose number the reader knows.
    #[inline]
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// One byte.
    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// An unsigned number.
    #[inline]
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// A length and the bytes.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.fixed(bytes);
    }

    /// A timestamp.
    pub fn timestamp(&mut self, timestamp: Timestamp) {
        self.varint(((timestamp.0 << 1) ^ (timestamp.0 >> 63)) as u64);
    }

    /// A deletion.
    pub fn deletion(&mut self, deletion: Deletion) {
        self.timestamp(deletion.timestamp);
        self.varint(deletion.at.0.into());
    }

    /// A timestamp of a row.
    pub(super) fn stamp(&mut self, timestamp: Timestamp) {
        if stamp::is_far(timestamp) {
            self.fixed(&stamp::FAR.to_le_bytes()[..stamp::BYTES]);
            self.fixed(&timestamp.0.to_le_bytes());
        } else {
            self.fixed(&stamp::word(timestamp).to_le_bytes()[..stamp::BYTES]);
        }
    }

    pub(super) fn expiry(&mut self, expiry: Expiry) {
        self.varint(expiry.at.0.into());
        self.varint(expiry.ttl.into());
    }

    /// One row, without its clustering.
    pub fn row(&mut self, row: &Row) {
        self.row_head(row.marker, row.deletion, row.cells.len() as u64);
        let mut cells = CellWriter::new(row.marker);
        for cell in &row.cells {
            cells.put(self, &CellView::of(cell));
        }
    }

    /// One row that is encoded already, in the present layout whatever its own is: rows of equal content get equal
    /// bytes.
    #[inline]
    pub fn encoded_row(&mut self, row: &[u8]) -> Result<(), DecodeError> {
        if row.first().is_some_and(|flags| flags & row_layout::PRESENT != 0) {
            self.fixed(row);
            return Ok(());
        }
        self.older_row(row)
    }

    #[cold]
    fn older_row(&mut self, row: &[u8]) -> Result<(), DecodeError> {
        let row = RowView::new(row)?;
        self.row_head(row.marker, row.deletion, row.count as u64);
        let mut cells = CellWriter::new(row.marker);
        for cell in row.cells() {
            cells.put(self, &cell?);
        }
        Ok(())
    }

    /// What stands before the cells of a row, which a [`CellWriter`] writes.
    pub fn row_head(&mut self, marker: Option<Marker>, deletion: Option<Deletion>, cells: u64) {
        let expiry = marker.and_then(|marker| marker.expiry);
        let flags = if marker.is_some() { row_layout::MARKER } else { 0 }
            | if expiry.is_some() { row_layout::EXPIRES } else { 0 }
            | if deletion.is_some() {
                row_layout::DELETION
            } else {
                0
            };
        let few = cells.min(row_layout::MANY.into());
        self.byte(flags | row_layout::PRESENT | (few as u8) << 4);
        if let Some(marker) = marker {
            self.stamp(marker.timestamp);
            if let Some(expiry) = marker.expiry {
                self.expiry(expiry);
            }
        }
        if let Some(deletion) = deletion {
            self.stamp(deletion.timestamp);
            self.varint(deletion.at.0.into());
        }
        if few == row_layout::MANY.into() {
            self.varint(cells - few);
        }
    }

    /// One range tombstone.
    pub fn range_tombstone(&mut self, tombstone: &RangeTombstone) {
        self.byte(u8::from(tombstone.range.end.is_some()));
        self.bytes(&tombstone.range.start);
        if let Some(end) = &tombstone.range.end {
            self.bytes(end);
        }
        self.deletion(tombstone.deletion);
    }

    /// A partition, without its key.
    ///
    /// It must be canonical, which all functions of [`Partition`] see to: else it could not be read back.
    pub fn partition(&mut self, partition: &Partition) {
        debug_assert!(partition.is_canonical(), "not canonical: {partition:?}");
        let mut static_row = Self::default();
        if !partition.static_row.is_empty() {
            static_row.row(&partition.static_row);
        }
        let static_row = Some(static_row.as_slice()).filter(|row| !row.is_empty());
        self.partition_head(
            partition.deletion,
            static_row,
            &partition.ranges,
            partition.rows.len(),
        );
        for (clustering, row) in &partition.rows {
            self.bytes(&clustering.0);
            self.row(row);
        }
    }

    /// What stands before the rows of a partition: `static_row` is encoded, and not there if it is empty; `rows` is
    /// how many follow, each with its clustering before it.
    pub fn partition_head(
        &mut self,
        deletion: Option<Deletion>,
        static_row: Option<&[u8]>,
        ranges: &RangeTombstones,
        rows: usize,
    ) {
        self.byte(u8::from(deletion.is_some()) | u8::from(static_row.is_some()) << 1);
        if let Some(deletion) = deletion {
            self.deletion(deletion);
        }
        if let Some(row) = static_row {
            self.fixed(row);
        }
        self.varint(ranges.len() as u64);
        for tombstone in ranges {
            self.range_tombstone(tombstone);
        }
        self.varint(rows as u64);
    }
}

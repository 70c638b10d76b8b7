//! The byte layout of partitions: on the wire between nodes, in the log, and in tables.
//!
//! ```text
//! varint     unsigned LEB128, at most 10 bytes
//! bytes      varint length, then the bytes
//! timestamp  zigzag varint of microseconds
//! deletion   timestamp, varint seconds
//! expiry     varint second, varint TTL
//!
//! row        flags (1 byte): 1 marker, 2 marker expires, 4 deletion
//!            [marker timestamp [expiry]] [deletion] varint number of cells, cells
//! cell       flags (1 byte): 1 tombstone, 2 expires, 4 has a path
//!            varint column, [path bytes], timestamp, then
//!            tombstone: varint second; else [expiry], value bytes
//! range      flags (1 byte): 1 has an end; start bytes [end bytes] deletion
//! partition  flags (1 byte): 1 deletion, 2 static row
//!            [deletion] [row] varint number of ranges, ranges, varint number of rows,
//!            then for each row: clustering bytes, row
//! ```
//!
//! Decoding checks every length against the input before it allocates, and rejects content that is not
//! in canonical order, so that malformed bytes cost no memory and can't break an invariant.

use bytes::Bytes;

use crate::{
    cell::{Cell, CellValue, Expiry},
    ids::ColumnId,
    key::{Clustering, ClusteringRange},
    partition::Partition,
    range_tombstone::RangeTombstone,
    row::{Marker, Row},
    time::{Deletion, Seconds, Timestamp},
};

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
    /// Bytes follow the end.
    #[error("{0} bytes follow the end")]
    Trailing(usize),
}

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

    /// Bytes whose number the reader knows.
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// An unsigned number.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// A length and the bytes.
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

    fn expiry(&mut self, expiry: Expiry) {
        self.varint(expiry.at.0.into());
        self.varint(expiry.ttl.into());
    }

    /// One cell.
    pub fn cell(&mut self, cell: &Cell) {
        let (tombstone, expiry) = match &cell.value {
            CellValue::Tombstone(_) => (1, None),
            CellValue::Live { expiry, .. } => (0, *expiry),
        };
        self.byte(tombstone | u8::from(expiry.is_some()) << 1 | u8::from(cell.path.is_some()) << 2);
        self.varint(cell.column.0.into());
        if let Some(path) = &cell.path {
            self.bytes(path);
        }
        self.timestamp(cell.timestamp);
        match &cell.value {
            CellValue::Tombstone(at) => self.varint(at.0.into()),
            CellValue::Live { value, expiry } => {
                if let Some(expiry) = expiry {
                    self.expiry(*expiry);
                }
                self.bytes(value);
            }
        }
    }

    /// One row, without its clustering.
    pub fn row(&mut self, row: &Row) {
        let expiry = row.marker.and_then(|marker| marker.expiry);
        self.byte(
            u8::from(row.marker.is_some())
                | u8::from(expiry.is_some()) << 1
                | u8::from(row.deletion.is_some()) << 2,
        );
        if let Some(marker) = row.marker {
            self.timestamp(marker.timestamp);
            if let Some(expiry) = marker.expiry {
                self.expiry(expiry);
            }
        }
        if let Some(deletion) = row.deletion {
            self.deletion(deletion);
        }
        self.varint(row.cells.len() as u64);
        for cell in &row.cells {
            self.cell(cell);
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
    pub fn partition(&mut self, partition: &Partition) {
        let with_static = !partition.static_row.is_empty();
        self.byte(u8::from(partition.deletion.is_some()) | u8::from(with_static) << 1);
        if let Some(deletion) = partition.deletion {
            self.deletion(deletion);
        }
        if with_static {
            self.row(&partition.static_row);
        }
        self.varint(partition.ranges.len() as u64);
        for tombstone in partition.ranges.iter() {
            self.range_tombstone(tombstone);
        }
        self.varint(partition.rows.len() as u64);
        for (clustering, row) in &partition.rows {
            self.bytes(&clustering.0);
            self.row(row);
        }
    }
}

/// Reads from shared bytes; what it returns shares their memory.
#[derive(Debug, Clone)]
pub struct Reader {
    input: Bytes,
}

impl Reader {
    /// Reads `input` from its start.
    pub fn new(input: Bytes) -> Self {
        Self { input }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.input.len()
    }

    /// Fails if anything is left.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.input.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing(self.input.len()))
        }
    }

    /// As many bytes as the caller's array has.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, _) = self
            .input
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated)?;
        let head = *head;
        self.skip(N);
        Ok(head)
    }

    fn skip(&mut self, bytes: usize) {
        self.input = self.input.slice(bytes..);
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.fixed::<1>()?[0])
    }

    /// A byte of flags, of which only `known` may be set.
    pub fn flags(&mut self, known: u8) -> Result<u8, DecodeError> {
        let flags = self.byte()?;
        if flags & !known == 0 {
            Ok(flags)
        } else {
            Err(DecodeError::Flags(flags))
        }
    }

    /// An unsigned number.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for (at, &byte) in self.input.iter().take(10).enumerate() {
            let part = u64::from(byte & 0x7f);
            let shifted = part << (7 * at);
            if shifted >> (7 * at) != part {
                return Err(DecodeError::Number);
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                self.skip(at + 1);
                return Ok(value);
            }
        }
        Err(if self.input.len() < 10 {
            DecodeError::Truncated
        } else {
            DecodeError::Number
        })
    }

    fn number<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        T::try_from(self.varint()?).map_err(|_| DecodeError::Number)
    }

    /// A length and that many bytes.
    pub fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length: usize = self.number()?;
        if length > self.input.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.input.split_to(length))
    }

    /// A count of things that take at least one byte each.
    pub fn count(&mut self) -> Result<usize, DecodeError> {
        let count: usize = self.number()?;
        if count > self.input.len() {
            Err(DecodeError::Truncated)
        } else {
            Ok(count)
        }
    }

    /// A timestamp.
    pub fn timestamp(&mut self) -> Result<Timestamp, DecodeError> {
        let zigzag = self.varint()?;
        Ok(Timestamp((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)))
    }

    /// A deletion.
    pub fn deletion(&mut self) -> Result<Deletion, DecodeError> {
        Ok(Deletion {
            timestamp: self.timestamp()?,
            at: self.seconds()?,
        })
    }

    fn seconds(&mut self) -> Result<Seconds, DecodeError> {
        Ok(Seconds(self.number()?))
    }

    fn expiry(&mut self) -> Result<Expiry, DecodeError> {
        Ok(Expiry {
            at: self.seconds()?,
            ttl: self.number()?,
        })
    }

    /// One cell.
    pub fn cell(&mut self) -> Result<Cell, DecodeError> {
        let flags = self.flags(7)?;
        let column = ColumnId(self.number()?);
        let path = if flags & 4 != 0 { Some(self.bytes()?) } else { None };
        let timestamp = self.timestamp()?;
        let value = if flags & 1 != 0 {
            if flags & 2 != 0 {
                return Err(DecodeError::Flags(flags));
            }
            CellValue::Tombstone(self.seconds()?)
        } else {
            let expiry = if flags & 2 != 0 {
                Some(self.expiry()?)
            } else {
                None
            };
            CellValue::Live {
                value: self.bytes()?,
                expiry,
            }
        };
        Ok(Cell {
            column,
            path,
            timestamp,
            value,
        })
    }

    /// One row, without its clustering.
    pub fn row(&mut self) -> Result<Row, DecodeError> {
        let flags = self.flags(7)?;
        let marker = match flags & 3 {
            0 => None,
            1 => Some(Marker {
                timestamp: self.timestamp()?,
                expiry: None,
            }),
            3 => Some(Marker {
                timestamp: self.timestamp()?,
                expiry: Some(self.expiry()?),
            }),
            _ => return Err(DecodeError::Flags(flags)),
        };
        let deletion = if flags & 4 != 0 {
            Some(self.deletion()?)
        } else {
            None
        };
        let count = self.count()?;
        let mut cells = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            cells.push(self.cell()?);
        }
        let row = Row {
            marker,
            deletion,
            cells,
        };
        if row.is_canonical() {
            Ok(row)
        } else {
            Err(DecodeError::NotCanonical)
        }
    }

    /// One range tombstone.
    pub fn range_tombstone(&mut self) -> Result<RangeTombstone, DecodeError> {
        let flags = self.flags(1)?;
        let start = self.bytes()?;
        let end = if flags & 1 != 0 { Some(self.bytes()?) } else { None };
        let deletion = self.deletion()?;
        Ok(RangeTombstone {
            range: ClusteringRange { start, end },
            deletion,
        })
    }

    /// A partition, without its key.
    pub fn partition(&mut self) -> Result<Partition, DecodeError> {
        let flags = self.flags(3)?;
        let mut partition = Partition::default();
        if flags & 1 != 0 {
            partition.deletion = Some(self.deletion()?);
        }
        if flags & 2 != 0 {
            partition.static_row = self.row()?;
        }
        for _ in 0..self.count()? {
            partition.ranges.add(self.range_tombstone()?);
        }
        let count = self.count()?;
        let mut last: Option<Clustering> = None;
        for _ in 0..count {
            let clustering = Clustering(self.bytes()?);
            if last.as_ref().is_some_and(|last| *last >= clustering) {
                return Err(DecodeError::NotCanonical);
            }
            let row = self.row()?;
            partition.rows.insert(clustering.clone(), row);
            last = Some(clustering);
        }
        Ok(partition)
    }
}

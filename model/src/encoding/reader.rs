//! Bytes to values.

use bytes::{Buf, Bytes};

use super::{DecodeError, Input, RowView};
use crate::{
    key::{Clustering, ClusteringRange},
    partition::Partition,
    range_tombstone::RangeTombstone,
    row::Row,
    time::{Deletion, Seconds, Timestamp},
};

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
        self.input.advance(bytes);
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.input.first().ok_or(DecodeError::Truncated)?;
        self.skip(1);
        Ok(byte)
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
        // Most numbers are lengths, counts and columns: one byte.
        if let Some(&byte @ ..0x80) = self.input.first() {
            self.skip(1);
            return Ok(byte.into());
        }
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

    /// One row, without its clustering.
    pub fn row(&mut self) -> Result<Row, DecodeError> {
        let whole = self.input.clone();
        let mut input = Input::new(&whole);
        let row = RowView::take(&mut input)?.to_row(&whole)?;
        self.skip(whole.len() - input.rest().len());
        Ok(row)
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
            if partition.static_row.is_empty() {
                return Err(DecodeError::NotCanonical);
            }
        }
        for _ in 0..self.count()? {
            let tombstone = self.range_tombstone()?;
            if !partition.ranges.append(tombstone) {
                return Err(DecodeError::NotCanonical);
            }
        }
        let count = self.count()?;
        for _ in 0..count {
            let (clustering, row) = (Clustering(self.bytes()?), self.row()?);
            if partition
                .rows
                .last_key_value()
                .is_some_and(|(last, _)| *last >= clustering)
            {
                return Err(DecodeError::NotCanonical);
            }
            partition.rows.insert(clustering, row);
        }
        // Each row by itself was checked as it was read.
        if partition.covers_nothing() {
            Ok(partition)
        } else {
            Err(DecodeError::NotCanonical)
        }
    }
}

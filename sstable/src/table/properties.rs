//! What is known of a table without reading its data.
//!
//! ```text
//! varints   partitions, rows (static ones included), range tombstones, cells
//! varint    the newest write in it
//! 1 byte    flags: 1 has timestamps, 2 has ages
//! [timestamp smallest, timestamp largest] [varint smallest age, varint largest age]
//! 8, bytes  first partition: token (big-endian), key
//! 8, bytes  last partition
//! ```
//!
//! Numbers are encoded as in `model::encoding`.

use bytes::Bytes;
use starling_model::{
    DecodeError, DecoratedKey, Deletion, Row, Seconds, Timestamp, Token,
    encoding::{Reader, Writer},
};

use crate::{
    log::Lsn,
    memtable::{ages, timestamps},
};

/// Statistics of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// Partitions.
    pub partitions: u64,
    /// Rows, static ones included.
    pub rows: u64,
    /// Range tombstones.
    pub range_tombstones: u64,
    /// Cells, tombstones included.
    pub cells: u64,
    /// The newest write whose data is in it; for tables made by compaction, the newest of its inputs.
    pub last: Lsn,
    /// Smallest and largest timestamp of anything in it.
    pub timestamps: Option<(Timestamp, Timestamp)>,
    /// Smallest and largest second of a deletion or an expiry; `None` if it has neither.
    pub ages: Option<(Seconds, Seconds)>,
    /// The first partition.
    pub first_key: DecoratedKey,
    /// The last partition.
    pub last_key: DecoratedKey,
}

impl Properties {
    /// Those of a table that begins with a partition and holds nothing yet.
    pub(crate) fn new(first: DecoratedKey, last: Lsn) -> Self {
        Self {
            partitions: 0,
            rows: 0,
            range_tombstones: 0,
            cells: 0,
            last,
            timestamps: None,
            ages: None,
            last_key: first.clone(),
            first_key: first,
        }
    }

    /// Counts a row in.
    pub(crate) fn row(&mut self, row: &Row) {
        self.rows += 1;
        self.cells += row.cells.len() as u64;
        for timestamp in timestamps(row) {
            widen(&mut self.timestamps, timestamp);
        }
        for age in ages(row) {
            widen(&mut self.ages, age);
        }
    }

    /// Counts a deletion in.
    pub(crate) fn deletion(&mut self, deletion: Deletion) {
        widen(&mut self.timestamps, deletion.timestamp);
        widen(&mut self.ages, deletion.at);
    }

    /// The bytes of the section.
    pub fn encode(&self) -> Bytes {
        let mut out = Writer::with_capacity(128);
        for number in [
            self.partitions,
            self.rows,
            self.range_tombstones,
            self.cells,
            self.last.0,
        ] {
            out.varint(number);
        }
        out.byte(u8::from(self.timestamps.is_some()) | u8::from(self.ages.is_some()) << 1);
        if let Some((smallest, largest)) = self.timestamps {
            out.timestamp(smallest);
            out.timestamp(largest);
        }
        if let Some((smallest, largest)) = self.ages {
            out.varint(smallest.0.into());
            out.varint(largest.0.into());
        }
        for key in [&self.first_key, &self.last_key] {
            out.fixed(&key.token.0.to_be_bytes());
            out.bytes(&key.key);
        }
        out.finish()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let [partitions, rows, range_tombstones, cells, last] = [
            input.varint()?,
            input.varint()?,
            input.varint()?,
            input.varint()?,
            input.varint()?,
        ];
        let flags = input.flags(3)?;
        let timestamps = if flags & 1 != 0 {
            Some((input.timestamp()?, input.timestamp()?))
        } else {
            None
        };
        let ages = if flags & 2 != 0 {
            Some((age(&mut input)?, age(&mut input)?))
        } else {
            None
        };
        let properties = Self {
            partitions,
            rows,
            range_tombstones,
            cells,
            last: Lsn(last),
            timestamps,
            ages,
            first_key: key(&mut input)?,
            last_key: key(&mut input)?,
        };
        input.end()?;
        Ok(properties)
    }
}

fn age(input: &mut Reader) -> Result<Seconds, DecodeError> {
    u32::try_from(input.varint()?)
        .map(Seconds)
        .map_err(|_| DecodeError::Number)
}

fn key(input: &mut Reader) -> Result<DecoratedKey, DecodeError> {
    Ok(DecoratedKey {
        token: Token(i64::from_be_bytes(input.fixed()?)),
        key: input.bytes()?,
    })
}

fn widen<T: Ord + Copy>(range: &mut Option<(T, T)>, value: T) {
    *range = Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))));
}

//! What is known of a table without reading its data.
//!
//! ```text
//! 8         checksum of everything after it, at place "offset in the file"
//! varints   partitions, rows (static ones included), static rows, heads, partition deletions,
//!           range tombstones, row deletions, cell tombstones, cells (tombstones included),
//!           expiring cells and markers, those that live for ever, bytes of keys and values,
//!           the newest write in it
//! 1 byte    flags: 1 has timestamps, 2 has ages, 4 has clusterings, 8 they have an upper bound, 16 has a row of
//!           1 MiB or more
//! [timestamp smallest, timestamp largest] [varint smallest age, varint largest age]
//! [bytes lower bound [bytes upper bound]]
//! [varints rows of 16 MiB and more, bytes of the largest row]
//! due       varint logarithm of the width of a bin in seconds, varint number of bins,
//!           for each: varint number of the bin, varint count
//! 8, bytes  first partition: token (big-endian), key
//! 8, bytes  last partition
//! ```
//!
//! Numbers are encoded as in `model::encoding`.

mod collector;
mod histogram;

use bytes::Bytes;
use starling_model::{
    ClusteringRange, DecodeError, DecoratedKey, Seconds, Timestamp, Token,
    encoding::{Reader, Writer},
};

pub use collector::Collector;
pub use histogram::Histogram;

use super::layout::CHECKSUM_BYTES;
use crate::log::Lsn;

/// Bounds of clusterings are cut to this many bytes.
const BOUND_BYTES: usize = 64;

/// Between what the clusterings of all rows lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clusterings {
    /// None is less.
    pub lower: Vec<u8>,
    /// None is greater; `None` if there is no such bound.
    pub upper: Option<Vec<u8>>,
}

/// From this many bytes on, in its encoding, the largest row of a table is told: that, and none for smaller ones, is what
/// compactions need to know. So tables without one are as those of builds that told none.
pub const TOLD_ROW_BYTES: u64 = 1 << 20;

/// Rows of this many bytes and more are counted, and people are told of them.
pub const LARGE_ROW_BYTES: u64 = 16 << 20;

/// Rows that are too large to be handled well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LargeRows {
    /// Those of [`LARGE_ROW_BYTES`] and more.
    pub count: u64,
    /// Bytes of the largest row; 0 if it has less than [`TOLD_ROW_BYTES`].
    pub largest: u64,
}

impl LargeRows {
    fn add(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.count += u64::from(bytes >= LARGE_ROW_BYTES);
        if bytes >= TOLD_ROW_BYTES {
            self.largest = self.largest.max(bytes);
        }
    }
}

/// Statistics of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// Partitions.
    pub partitions: u64,
    /// Rows, static ones included.
    pub rows: u64,
    /// Static rows.
    pub static_rows: u64,
    /// Entries of the kind [`Partition`](super::key::Kind::Partition).
    pub heads: u64,
    /// Partitions that were deleted.
    pub partition_deletions: u64,
    /// Range tombstones.
    pub range_tombstones: u64,
    /// Rows that were deleted, or partly.
    pub row_deletions: u64,
    /// Tombstones of cells.
    pub cell_tombstones: u64,
    /// Cells, tombstones included.
    pub cells: u64,
    /// Cells and markers that expire.
    pub expiring: u64,
    /// Cells and markers that don't expire. Tombstones don't count.
    pub immortal: u64,
    /// Bytes of all keys and values, before prefixes were shared and blocks compressed.
    pub raw_bytes: u64,
    /// The newest write whose data is in it; for tables made by compaction, the newest of its inputs.
    pub last: Lsn,
    /// Smallest and largest timestamp of anything in it.
    pub timestamps: Option<(Timestamp, Timestamp)>,
    /// Smallest and largest second of a deletion or an expiry; `None` if it has neither.
    pub ages: Option<(Seconds, Seconds)>,
    /// When deletions were made, and when what expires does.
    pub due: Histogram,
    /// Bounds of the clusterings of all rows but the static ones; `None` if there are no such rows.
    pub clusterings: Option<Clusterings>,
    /// Large rows, static ones included.
    pub large_rows: LargeRows,
    /// The first partition.
    pub first_key: DecoratedKey,
    /// The last partition.
    pub last_key: DecoratedKey,
}

impl Properties {
    /// Whether anything in it can hide something older elsewhere: a deletion of any kind.
    pub fn has_deletions(&self) -> bool {
        self.partition_deletions + self.range_tombstones + self.row_deletions + self.cell_tombstones > 0
    }

    /// Whether it holds rows and nothing else: no partition deletion, no range tombstone, no static row.
    pub fn rows_only(&self) -> bool {
        self.heads + self.static_rows + self.range_tombstones == 0
    }

    /// Cells, markers and deletions of all kinds. The columns of a deletion's own row are not counted.
    pub fn things(&self) -> u64 {
        let deletions =
            self.partition_deletions + self.range_tombstones + self.row_deletions + self.cell_tombstones;
        deletions + self.expiring + self.immortal
    }

    /// Whether nothing in it lives for ever: it holds tombstones and what expires.
    pub fn all_expire(&self) -> bool {
        self.immortal == 0
    }

    /// Whether everything in it was deleted or has expired by a second: nothing outlives it.
    pub fn is_over_by(&self, second: Seconds) -> bool {
        self.all_expire() && self.ages.is_none_or(|(_, newest)| newest < second)
    }

    /// About how many tombstones, and cells and markers that expire, fall due before a second.
    pub fn droppable_before(&self, second: Seconds) -> u64 {
        self.due.before(second)
    }

    /// Whether a row, not a static one, may lie in a slice.
    pub fn may_have_rows_in(&self, slice: &ClusteringRange) -> bool {
        self.clusterings.as_ref().is_some_and(|bounds| {
            let before = bounds
                .upper
                .as_ref()
                .is_some_and(|upper| upper[..] < slice.start[..]);
            let behind = slice.end.as_ref().is_some_and(|end| end[..] <= bounds.lower[..]);
            !before && !behind
        })
    }

    fn numbers(&self) -> [u64; 13] {
        [
            self.partitions,
            self.rows,
            self.static_rows,
            self.heads,
            self.partition_deletions,
            self.range_tombstones,
            self.row_deletions,
            self.cell_tombstones,
            self.cells,
            self.expiring,
            self.immortal,
            self.raw_bytes,
            self.last.0,
        ]
    }

    /// The bytes of the section, its checksum left zero.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(256);
        out.fixed(&[0; CHECKSUM_BYTES]);
        for number in self.numbers() {
            out.varint(number);
        }
        let upper = self.clusterings.as_ref().and_then(|bounds| bounds.upper.as_ref());
        out.byte(
            u8::from(self.timestamps.is_some())
                | u8::from(self.ages.is_some()) << 1
                | u8::from(self.clusterings.is_some()) << 2
                | u8::from(upper.is_some()) << 3
                | u8::from(self.large_rows.largest > 0) << 4,
        );
        if let Some((smallest, largest)) = self.timestamps {
            out.timestamp(smallest);
            out.timestamp(largest);
        }
        if let Some((smallest, largest)) = self.ages {
            out.varint(smallest.0.into());
            out.varint(largest.0.into());
        }
        if let Some(bounds) = &self.clusterings {
            out.bytes(&bounds.lower);
        }
        if let Some(upper) = upper {
            out.bytes(upper);
        }
        if self.large_rows.largest > 0 {
            out.varint(self.large_rows.count);
            out.varint(self.large_rows.largest);
        }
        self.due.encode(&mut out);
        for key in [&self.first_key, &self.last_key] {
            out.fixed(&key.token.0.to_be_bytes());
            out.bytes(&key.key);
        }
        out.finish().to_vec()
    }

    /// Reads what [`encode`](Self::encode) wrote; its checksum was checked.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let _checksum: [u8; CHECKSUM_BYTES] = input.fixed()?;
        let mut numbers = [0; 13];
        for number in &mut numbers {
            *number = input.varint()?;
        }
        let [
            partitions,
            rows,
            static_rows,
            heads,
            partition_deletions,
            range_tombstones,
            ..,
        ] = numbers;
        let [
            ..,
            row_deletions,
            cell_tombstones,
            cells,
            expiring,
            immortal,
            raw_bytes,
            last,
        ] = numbers;
        let flags = input.flags(31)?;
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
        let lower = if flags & 4 != 0 {
            Some(input.bytes()?)
        } else {
            None
        };
        let upper = if flags & 8 != 0 {
            Some(input.bytes()?.to_vec())
        } else {
            None
        };
        let mut large_rows = LargeRows::default();
        if flags & 16 != 0 {
            (large_rows.count, large_rows.largest) = (input.varint()?, input.varint()?);
        }
        let properties = Self {
            partitions,
            rows,
            static_rows,
            heads,
            partition_deletions,
            range_tombstones,
            row_deletions,
            cell_tombstones,
            cells,
            expiring,
            immortal,
            raw_bytes,
            last: Lsn(last),
            timestamps,
            ages,
            clusterings: lower.map(|lower| Clusterings {
                lower: lower.to_vec(),
                upper,
            }),
            large_rows,
            due: Histogram::decode(&mut input)?,
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

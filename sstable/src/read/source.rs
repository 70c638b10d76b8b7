//! Where data is read from: a memtable or a table, and one partition of it.

use std::sync::Arc;

use starling_model::{ClusteringRange, Deletion, Timestamp};

use super::Stream;
use crate::{
    Error,
    log::Lsn,
    memtable::Memtable,
    table::{
        Table, Target, entry,
        key::{self, Kind},
    },
};

/// Something that holds partitions in order.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Writes in memory.
    Memory(&'a Memtable),
    /// A table.
    Table(&'a Arc<Table>),
}

impl<'a> Source<'a> {
    /// A table as a source.
    pub fn table(table: &'a Arc<Table>) -> Self {
        Self::Table(table)
    }

    /// The memtable, if it is one.
    pub fn as_memory(&self) -> Option<&'a Memtable> {
        match self {
            Self::Memory(memtable) => Some(memtable),
            Self::Table(_) => None,
        }
    }

    /// The table, if it is one.
    pub fn as_table(&self) -> Option<&'a Arc<Table>> {
        match self {
            Self::Memory(_) => None,
            Self::Table(table) => Some(table),
        }
    }

    /// A cursor over it, on no entry.
    pub fn stream(&self) -> Stream<'a> {
        match self {
            Self::Memory(memtable) => Stream::Memory(memtable.cursor()),
            Self::Table(table) => Stream::Table(table.cursor()),
        }
    }

    /// A cursor on the first entry of a partition; `None` if it has nothing of it. Tables in which nothing can
    /// matter to these slices, because a deletion covers all of it or no row lies in them, are not looked at.
    ///
    /// Of tables with nothing but rows the partition's beginning is not looked at, which may be far from what is wanted:
    /// the cursor is on the first row at or after `start`, where a read begins that goes forward; for one that goes
    /// backward (`None`) it is on no entry yet.
    pub(super) fn open(
        &self,
        target: &Target,
        slices: &[ClusteringRange],
        start: Option<&[u8]>,
        deletion: Option<Deletion>,
    ) -> Result<Option<Stream<'a>>, Error> {
        if let Self::Table(table) = self {
            let properties = table.properties();
            let is_before =
                |timestamp: Timestamp| deletion.is_some_and(|deletion| timestamp < deletion.timestamp);
            let covered = properties.timestamps.is_none_or(|(_, newest)| is_before(newest));
            let beside =
                properties.rows_only() && !slices.iter().any(|slice| properties.may_have_rows_in(slice));
            if covered || beside || !table.may_contain_target(target)? {
                return Ok(None);
            }
        }
        let mut stream = self.stream();
        match (self, start) {
            (Self::Table(table), None) if table.properties().rows_only() => return Ok(Some(stream)),
            (Self::Table(table), Some(start)) if table.properties().rows_only() => {
                stream.seek(&key::entry(target.prefix(), Kind::Row, start))?;
            }
            _ => {
                stream.seek(target.prefix())?;
            }
        }
        Ok(stream.under(target.prefix()).is_some().then_some(stream))
    }
}

/// What stands before the rows of one partition in one source.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// The newest write to it that may not be in a table.
    pub(super) last: Lsn,
    /// The partition's deletion.
    pub(super) deletion: Option<Deletion>,
    /// The static row, encoded.
    pub(super) static_row: Option<Vec<u8>>,
    /// Whether there are range tombstones.
    pub(super) ranges: bool,
}

impl Head {
    /// Reads a partition's head from a stream that stands on the partition's first entry, and goes behind it.
    pub(super) fn take(stream: &mut Stream<'_>, prefix: &[u8]) -> Result<Self, Error> {
        let mut head = Self {
            last: stream.last_write(),
            ..Self::default()
        };
        if stream.kind(prefix) == Some(Kind::Row) {
            return Ok(head);
        }
        if stream.kind(prefix) == Some(Kind::Partition) {
            let deletion = entry::head_deletion(stream.value());
            head.deletion = deletion.map_err(|error| stream.unreadable(error))?;
            stream.next()?;
        }
        if stream.kind(prefix) == Some(Kind::Static) {
            head.static_row = Some(stream.value().to_vec());
            stream.next()?;
        }
        head.ranges = stream.kind(prefix) == Some(Kind::Range);
        Ok(head)
    }
}

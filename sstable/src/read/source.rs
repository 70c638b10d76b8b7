//! Where data is read from: a memtable or a table, and one partition of it.

use std::sync::Arc;

use starling_model::{ClusteringRange, DecoratedKey, Deletion, Row, Token, TokenRange};

use super::{
    rows::{self, Rows},
    tombstones::Tombstones,
};
use crate::{
    Error,
    log::Lsn,
    memtable::{self, Memtable},
    table::{
        Cursor, Table,
        entry::{self, Head},
        key::{self, Kind},
    },
};

/// Something that holds partitions in order.
#[derive(Debug)]
pub enum Source<'a> {
    /// Writes in memory.
    Memory(&'a Memtable),
    /// A table, and a cursor that walks its partitions.
    Table(Box<Cursor>),
}

impl<'a> Source<'a> {
    /// A table as a source.
    pub fn table(table: &Arc<Table>) -> Self {
        Self::Table(Box::new(table.cursor()))
    }

    /// The first partition after `after` whose token lies in `range`, which does not wrap.
    pub fn next(
        &mut self,
        range: TokenRange,
        after: Option<&DecoratedKey>,
    ) -> Result<Option<DecoratedKey>, Error> {
        let cursor = match self {
            Self::Memory(memtable) => return Ok(memtable.next(range, after)),
            Self::Table(cursor) => cursor,
        };
        let target = match after {
            Some(after) => key::after_partition(&key::prefix(after)),
            // A range excludes its start; no key has the smallest token.
            None => Token(range.start.0.saturating_add(1)).ordered_bytes().to_vec(),
        };
        let properties = cursor.table().properties();
        let outside = after.is_some_and(|after| *after >= properties.last_key)
            || properties.last_key.token <= range.start
            || properties.first_key.token > range.end;
        if outside || !cursor.seek(&target)? {
            return Ok(None);
        }
        let found = cursor.key().and_then(key::parts);
        let found = found.and_then(|parts| key::partition_key(parts.prefix));
        let found = found.ok_or_else(|| cursor.malformed("malformed key"))?;
        Ok((found.token <= range.end).then_some(found))
    }

    /// One partition, if it is there.
    pub fn open(&self, key: &DecoratedKey) -> Result<Option<Part<'a>>, Error> {
        match self {
            Self::Memory(memtable) => Ok(memtable.get(key).map(Part::Memory)),
            Self::Table(cursor) => {
                let prefix = key::prefix(key);
                if !cursor.table().may_contain(key, &prefix)? {
                    return Ok(None);
                }
                TablePart::open((**cursor).clone(), prefix).map(|part| part.map(Part::Table))
            }
        }
    }
}

/// One partition of one source.
#[derive(Debug)]
pub enum Part<'a> {
    /// In memory.
    Memory(memtable::Part<'a>),
    /// In a table.
    Table(TablePart),
}

/// One partition of a table: its head, and the way to the rest.
#[derive(Debug, Clone)]
pub struct TablePart {
    cursor: Cursor,
    prefix: Vec<u8>,
    head: Head,
    static_row: Option<Row>,
}

impl TablePart {
    fn open(mut cursor: Cursor, prefix: Vec<u8>) -> Result<Option<Self>, Error> {
        let start = key::entry(&prefix, Kind::Partition, &[]);
        let is_its = |cursor: &Cursor| cursor.key().is_some_and(|key| key.starts_with(&prefix));
        if !cursor.seek(&start)? || !is_its(&cursor) {
            return Ok(None);
        }
        // A partition without a head has neither a deletion nor range tombstones.
        let mut head = Head::default();
        if cursor.key() == Some(&start[..]) {
            let value = cursor.value().unwrap_or_default();
            head = entry::head(value).map_err(|error| cursor.malformed(error.to_string()))?;
            cursor.next()?;
        }
        let mut static_row = None;
        let at = key::entry(&prefix, Kind::Static, &[]);
        if cursor.key() == Some(&at[..]) {
            let value = cursor.value().unwrap_or_default();
            static_row = Some(entry::row(value).map_err(|error| cursor.malformed(error.to_string()))?);
        }
        Ok(Some(Self {
            cursor,
            prefix,
            head,
            static_row,
        }))
    }
}

impl<'a> Part<'a> {
    /// The newest write to it that may not be in a table; [`Lsn::ZERO`] for tables.
    pub fn last(&self) -> Lsn {
        match self {
            Self::Memory(part) => part.last(),
            Self::Table(_) => Lsn::ZERO,
        }
    }

    /// The partition's deletion.
    pub fn deletion(&self) -> Option<Deletion> {
        match self {
            Self::Memory(part) => part.deletion(),
            Self::Table(part) => part.head.deletion,
        }
    }

    /// The static row; `None` if it is empty.
    pub fn static_row(&self) -> Option<Row> {
        match self {
            Self::Memory(part) => part.static_row().and_then(rows::decoded),
            Self::Table(part) => part.static_row.clone(),
        }
    }

    /// Whether there may be range tombstones.
    pub fn has_ranges(&self) -> bool {
        match self {
            Self::Memory(part) => !part.ranges().is_empty(),
            Self::Table(part) => part.head.ranges,
        }
    }

    /// The rows in a slice; the last one first if `reversed`.
    pub fn rows(&self, slice: &ClusteringRange, reversed: bool) -> Rows<'a> {
        match self {
            Self::Memory(part) => Rows::memory(part.rows(slice), reversed),
            Self::Table(part) => Rows::table(part.cursor.clone(), &part.prefix, slice, reversed),
        }
    }

    /// The range tombstones that reach into a slice, clipped to it; the last one first if `reversed`.
    pub fn tombstones(&self, slice: &ClusteringRange, reversed: bool) -> Tombstones<'a> {
        match self {
            Self::Memory(part) => Tombstones::memory(part.ranges(), slice, reversed),
            Self::Table(part) if part.head.ranges => {
                Tombstones::table(part.cursor.clone(), &part.prefix, slice, reversed)
            }
            Self::Table(_) => Tombstones::none(),
        }
    }
}

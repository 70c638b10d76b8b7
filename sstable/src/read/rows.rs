//! The rows of one partition of one source in a slice.

use bytes::Bytes;
use starling_model::{Clustering, ClusteringRange, Row, encoding::Reader};

use crate::{
    Error, memtable,
    table::{
        Cursor, entry,
        key::{self, Kind},
    },
};

/// A stream of rows, first to last or last to first.
#[derive(Debug)]
pub struct Rows<'a>(Inner<'a>);

#[derive(Debug)]
enum Inner<'a> {
    Memory {
        rows: memtable::part::Rows<'a>,
        reversed: bool,
    },
    Table(Box<TableRows>),
}

#[derive(Debug)]
struct TableRows {
    cursor: Cursor,
    /// The start of the keys of the partition's rows.
    prefix: Vec<u8>,
    slice: ClusteringRange,
    reversed: bool,
    started: bool,
}

impl<'a> Rows<'a> {
    pub(super) fn memory(rows: memtable::part::Rows<'a>, reversed: bool) -> Self {
        Self(Inner::Memory { rows, reversed })
    }

    pub(super) fn table(cursor: Cursor, prefix: &[u8], slice: &ClusteringRange, reversed: bool) -> Self {
        Self(Inner::Table(Box::new(TableRows {
            cursor,
            prefix: key::entry(prefix, Kind::Row, &[]),
            slice: slice.clone(),
            reversed,
            started: false,
        })))
    }

    /// The next row.
    #[allow(clippy::should_implement_trait, reason = "it can fail, and borrows nothing")]
    pub fn next(&mut self) -> Result<Option<(Clustering, Row)>, Error> {
        match &mut self.0 {
            Inner::Memory { rows, reversed } => {
                let next = if *reversed { rows.next_back() } else { rows.next() };
                Ok(next.and_then(|(clustering, row)| {
                    Some((Clustering(Bytes::copy_from_slice(clustering)), decoded(row)?))
                }))
            }
            Inner::Table(rows) => rows.next(),
        }
    }
}

impl TableRows {
    fn next(&mut self) -> Result<Option<(Clustering, Row)>, Error> {
        let found = if self.started {
            if self.reversed {
                self.cursor.prev()?
            } else {
                self.cursor.next()?
            }
        } else {
            self.started = true;
            self.start()?
        };
        if !found {
            return Ok(None);
        }
        let inside = self
            .cursor
            .key()
            .and_then(|key| key.strip_prefix(&self.prefix[..]))
            .filter(|clustering| self.slice.contains(clustering));
        let Some(clustering) = inside.map(Bytes::copy_from_slice) else {
            return Ok(None);
        };
        let value = self.cursor.value().unwrap_or_default();
        let row = entry::row(value).map_err(|error| self.cursor.malformed(error.to_string()))?;
        Ok(Some((Clustering(clustering), row)))
    }

    fn start(&mut self) -> Result<bool, Error> {
        let mut target = self.prefix.clone();
        if !self.reversed {
            target.extend_from_slice(&self.slice.start);
            return self.cursor.seek(&target);
        }
        match &self.slice.end {
            Some(end) => target.extend_from_slice(end),
            None => {
                target.pop();
                target = key::after_kind(&target, Kind::Row);
            }
        }
        self.cursor.seek_before(&target)
    }
}

/// A row of a memtable, which took it only after it was checked.
pub(super) fn decoded(row: &[u8]) -> Option<Row> {
    Reader::new(Bytes::copy_from_slice(row)).row().ok()
}

//! The rows of one partition of one source in a slice.

use std::{collections::btree_map, ops::Bound};

use bytes::Bytes;
use starling_model::{Clustering, ClusteringRange, Partition, Row};

use crate::{
    Error,
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
    Forward(btree_map::Range<'a, Clustering, Row>),
    Backward(std::iter::Rev<btree_map::Range<'a, Clustering, Row>>),
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
    pub(super) fn memory(partition: &'a Partition, slice: &ClusteringRange, reversed: bool) -> Self {
        let start = Clustering(slice.start.clone());
        // An empty range of a map must not end before it starts.
        let end = match &slice.end {
            Some(end) => Bound::Excluded(Clustering(end.clone().max(slice.start.clone()))),
            None => Bound::Unbounded,
        };
        let range = partition.rows.range((Bound::Included(start), end));
        Self(if reversed {
            Inner::Backward(range.rev())
        } else {
            Inner::Forward(range)
        })
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
        let owned = |(clustering, row): (&Clustering, &Row)| (clustering.clone(), row.clone());
        match &mut self.0 {
            Inner::Forward(range) => Ok(range.next().map(owned)),
            Inner::Backward(range) => Ok(range.next().map(owned)),
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

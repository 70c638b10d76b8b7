//! One row, by its whole key: the shortest way to the most frequent answer.
//!
//! Sources are asked from the newest to the oldest, and only as long as they can matter: one whose newest
//! timestamp is older than what covers the row, or than all that is wanted of it, is not looked at. Where one
//! source has the answer, it is returned as it lies there.

use std::sync::Arc;

use bytes::Bytes;
use starling_model::{
    ColumnId, DecodeError, DecoratedKey, Deletion, TableId, Timestamp,
    encoding::{CellWriter, RowMerger, RowView, Writer},
};

use super::states;
use crate::{
    Error,
    log::Lsn,
    memtable::{Facts, Memtable},
    table::{
        Table, Target, entry,
        key::{self, Kind},
    },
};

/// Which row is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Point<'a> {
    /// The table.
    pub table: TableId,
    /// The partition.
    pub key: &'a DecoratedKey,
    /// The row.
    pub clustering: &'a [u8],
    /// The columns that are wanted, in order; `None`: all. Of a row whose marker does not expire, the other cells
    /// are left out, and sources that are older than all of these are not asked for them. (Any other row may
    /// exist by any of its cells, so it comes whole.)
    pub columns: Option<&'a [ColumnId]>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The encoded row, merged and with what covers it applied; `None` if nothing is left or was there. It may
    /// hold tombstones and what has expired.
    pub row: Option<Bytes>,
    /// The newest write, of those that are in memtables, to the partition.
    pub newest: Lsn,
    /// Rows and tombstones that were looked at.
    pub visited: u64,
}

/// Reads rows by their keys. Keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct PointReader {
    target: Target,
    merger: RowMerger,
}

/// A row as one source has it.
enum Held<'a> {
    Memory(&'a [u8]),
    Table(Bytes),
}

impl Held<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Memory(row) => row,
            Self::Table(row) => row,
        }
    }
}

/// What was gathered so far.
#[derive(Default)]
struct Gathered<'a> {
    first: Option<Held<'a>>,
    others: Vec<Held<'a>>,
    cover: Option<Deletion>,
    /// A source with nothing at or after this, and no deletion, adds nothing that is wanted.
    enough: Option<Timestamp>,
    /// A source was left out because of `enough`.
    skipped: bool,
    newest: Lsn,
    visited: u64,
}

impl PointReader {
    /// Reads one row from some memtables and tables, both newest first.
    pub fn get<'a>(
        &mut self,
        point: &Point<'_>,
        memory: impl Iterator<Item = &'a Memtable> + Clone,
        tables: impl Iterator<Item = &'a Arc<Table>> + Clone,
    ) -> Result<Found, Error> {
        match self.try_get(point, memory.clone(), tables.clone())? {
            Some(found) => Ok(found),
            None => {
                let columns = None;
                let all = Point { columns, ..*point };
                Ok(self.try_get(&all, memory, tables)?.unwrap_or_default())
            }
        }
    }

    /// `None` if sources were left out for the wanted columns alone, but the row turned out to need all of them.
    fn try_get<'a>(
        &mut self,
        point: &Point<'_>,
        memory: impl Iterator<Item = &'a Memtable>,
        tables: impl Iterator<Item = &'a Arc<Table>>,
    ) -> Result<Option<Found>, Error> {
        let mut gathered = Gathered::default();
        for memtable in memory {
            // Also for what is covered: the answer must wait until its newest write is durable.
            let Some(part) = memtable.get(point.key) else {
                continue;
            };
            gathered.newest = gathered.newest.max(part.last());
            gathered.cover(part.covering(point.clustering));
            if let Some(row) = part.row(point.clustering) {
                gathered.add(Held::Memory(row), point.columns)?;
            }
        }
        let mut is_set = false;
        for table in tables {
            let properties = table.properties();
            let facts = Facts {
                timestamps: properties.timestamps,
                deletions: properties.partition_deletions
                    + properties.range_tombstones
                    + properties.row_deletions
                    > 0,
            };
            if gathered.can_skip(facts) {
                continue;
            }
            if !is_set {
                self.target.set(point.key, Kind::Row, point.clustering);
                is_set = true;
            }
            if !properties.rows_only() && !self.covers(table, point, &mut gathered)? {
                continue;
            }
            if let Some(row) = table.find(&mut self.target)? {
                gathered
                    .add(Held::Table(row), point.columns)
                    .map_err(|_| table.malformed_entry(&self.target))?;
            }
        }
        self.finish(gathered, point)
    }

    /// Gathers what covers the row in a table that has more than rows; whether the partition may be there.
    fn covers(
        &mut self,
        table: &Arc<Table>,
        point: &Point<'_>,
        gathered: &mut Gathered<'_>,
    ) -> Result<bool, Error> {
        if !table.may_contain_target(&self.target)? {
            return Ok(false);
        }
        let properties = table.properties();
        if properties.partition_deletions > 0 {
            self.target.set_entry(Kind::Partition, &[]);
            if let Some(head) = table.find(&mut self.target)? {
                let deletion = entry::head_deletion(&head);
                gathered.cover(deletion.map_err(|_| table.malformed_entry(&self.target))?);
            }
        }
        if properties.range_tombstones > 0 {
            let start = key::entry(self.target.prefix(), Kind::Range, &[]);
            let mut behind = key::entry(self.target.prefix(), Kind::Range, point.clustering);
            behind.push(0);
            let mut cursor = table.cursor();
            if cursor.seek_before(&behind)?
                && let Some(from) = cursor.key().and_then(|key| key.strip_prefix(&start[..]))
            {
                let value = cursor.value().unwrap_or_default();
                let tombstone =
                    entry::range(from, value).map_err(|error| cursor.malformed(error.to_string()))?;
                let covers = tombstone.range.contains(point.clustering);
                gathered.cover(covers.then_some(tombstone.deletion));
            }
        }
        self.target.set_entry(Kind::Row, point.clustering);
        Ok(true)
    }

    fn finish(&mut self, gathered: Gathered<'_>, point: &Point<'_>) -> Result<Option<Found>, Error> {
        let columns = point.columns;
        let Gathered {
            first,
            others,
            cover,
            skipped,
            ..
        } = gathered;
        let mut found = Found {
            row: None,
            newest: gathered.newest,
            visited: gathered.visited,
        };
        let Some(first) = first else {
            return Ok(Some(found));
        };
        let whole = match cover {
            Some(cover) => RowView::new(first.bytes()).and_then(|row| row.survives(cover)),
            None => Ok(true),
        };
        let row = if others.is_empty() && whole.map_err(unreadable)? {
            Some(match first {
                Held::Memory(row) => Bytes::copy_from_slice(row),
                Held::Table(row) => row,
            })
        } else {
            let rows: Vec<&[u8]> = std::iter::once(&first).chain(&others).map(Held::bytes).collect();
            let place = || (point.table, point.key.clone());
            let merged = states::merge(&mut self.merger, &rows, cover, place, unreadable)?;
            merged.map(Bytes::copy_from_slice)
        };
        found.row = match (row, columns) {
            (Some(row), Some(columns)) => {
                let marker = RowView::new(&row).map_err(unreadable)?.marker;
                if marker.is_some_and(|marker| marker.expiry.is_none()) {
                    Some(only(row, columns).map_err(unreadable)?)
                } else if skipped {
                    return Ok(None);
                } else {
                    Some(row)
                }
            }
            (row, _) => row,
        };
        Ok(Some(found))
    }
}

impl<'a> Gathered<'a> {
    fn cover(&mut self, deletion: Option<Deletion>) {
        self.visited += u64::from(deletion.is_some());
        self.cover = Deletion::strongest(self.cover, deletion);
    }

    fn add(&mut self, row: Held<'a>, columns: Option<&[ColumnId]>) -> Result<(), Error> {
        self.visited += 1;
        let view = RowView::new(row.bytes()).map_err(unreadable)?;
        if let Some(columns) = columns {
            self.enough = self.enough.max(newer_than(&view, columns).map_err(unreadable)?);
        }
        // What is in the row itself hides older states of it, too, but stays visible.
        if let Some(deletion) = view.deletion
            && self.enough.is_none_or(|enough| enough < deletion.timestamp)
        {
            self.enough = Some(deletion.timestamp);
        }
        if self.first.is_none() {
            self.first = Some(row);
        } else {
            self.others.push(row);
        }
        Ok(())
    }

    fn can_skip(&mut self, facts: Facts) -> bool {
        let Some((_, newest)) = facts.timestamps else {
            return true;
        };
        if self.cover.is_some_and(|cover| newest < cover.timestamp) {
            return true;
        }
        let enough = !facts.deletions && self.enough.is_some_and(|enough| newest < enough);
        self.skipped |= enough;
        enough
    }
}

/// A timestamp before which nothing of a row can matter to one who wants some columns: that of its marker or of a
/// wanted column, whichever is the oldest. `None` unless it has them all, and a marker that does not expire.
fn newer_than(row: &RowView<'_>, columns: &[ColumnId]) -> Result<Option<Timestamp>, DecodeError> {
    let Some(marker) = row.marker.filter(|marker| marker.expiry.is_none()) else {
        return Ok(None);
    };
    let mut oldest = marker.timestamp;
    let mut wanted = columns.iter().copied().peekable();
    for cell in row.cells() {
        let cell = cell?;
        // An element of a collection hides nothing but itself.
        if cell.path.is_none() && wanted.next_if_eq(&cell.column).is_some() {
            oldest = oldest.min(cell.timestamp);
        }
    }
    Ok(wanted.next().is_none().then_some(oldest))
}

/// The row without the columns that are not wanted.
fn only(row: Bytes, columns: &[ColumnId]) -> Result<Bytes, DecodeError> {
    let view = RowView::new(&row)?;
    let is_wanted = |column: &ColumnId| columns.binary_search(column).is_ok();
    let mut count = 0;
    for cell in view.cells() {
        count += usize::from(is_wanted(&cell?.column));
    }
    if count == view.count {
        return Ok(row);
    }
    let mut out = Writer::with_capacity(row.len());
    out.row_head(view.marker, view.deletion, count as u64);
    let mut cells = CellWriter::new(view.marker);
    for cell in view.cells() {
        let cell = cell?;
        if is_wanted(&cell.column) {
            cells.put(&mut out, &cell);
        }
    }
    Ok(out.finish())
}

fn unreadable(error: DecodeError) -> Error {
    tracing::error!(%error, "a row in memory can't be read");
    Error::Invalid("a row in memory can't be read: memory went bad")
}

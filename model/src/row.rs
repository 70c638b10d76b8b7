//! A row: its marker, its tombstone and its cells.

use std::cmp::Ordering;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    cell::{Cell, CellValue, Expiry, compare_expiry},
    ids::ColumnId,
    time::{Deletion, Seconds, Timestamp},
};

/// That a row exists by an INSERT, also when all its other columns are null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Marker {
    /// When it was inserted.
    pub timestamp: Timestamp,
    /// When it ceases to make the row exist; `None` is never.
    pub expiry: Option<Expiry>,
}

impl Marker {
    pub(crate) fn precedence(&self, other: &Self) -> Ordering {
        self.timestamp
            .cmp(&other.timestamp)
            .then_with(|| compare_expiry(self.expiry, other.expiry))
    }

    fn is_live(&self, now: Seconds) -> bool {
        self.expiry.is_none_or(|expiry| expiry.at > now)
    }
}

/// A row's content, without its key.
///
/// Invariants, kept by every function here and checked by [`Row::is_canonical`]:
/// 1. `cells` are strictly ordered by [`Cell::order`];
/// 2. nothing in the row is covered by `deletion`;
/// 3. no element is [shadowed](Cell::shadows) by the cell of its column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Row {
    /// The row exists by an INSERT.
    pub marker: Option<Marker>,
    /// The row was deleted.
    pub deletion: Option<Deletion>,
    /// Columns and elements, ordered.
    pub cells: Vec<Cell>,
}

impl Row {
    /// Whether it says nothing at all: no marker, no tombstone, no cell.
    pub fn is_empty(&self) -> bool {
        self.marker.is_none() && self.deletion.is_none() && self.cells.is_empty()
    }

    /// Whether a reader at `now` sees the row.
    pub fn is_live(&self, now: Seconds) -> bool {
        self.marker.is_some_and(|marker| marker.is_live(now))
            || self.cells.iter().any(|cell| cell.is_live(now))
    }

    /// Adds one cell, by the merge law.
    pub fn add(&mut self, cell: Cell) {
        self.merge(Self {
            cells: vec![cell],
            ..Self::default()
        });
    }

    /// Merges another state of the same row into this one (commutative, associative, idempotent).
    pub fn merge(&mut self, other: Self) {
        self.deletion = Deletion::strongest(self.deletion, other.deletion);
        self.marker = match (self.marker, other.marker) {
            (Some(a), Some(b)) => Some(if a.precedence(&b).is_lt() { b } else { a }),
            (a, b) => a.or(b),
        };
        if self.cells.is_empty() {
            self.cells = other.cells;
        } else if !other.cells.is_empty() {
            self.cells = merge_cells(std::mem::take(&mut self.cells), other.cells);
        }
        self.drop_covered();
    }

    /// Removes what `deletion`, made outside of the row (by a range or the partition), covers.
    pub fn cover(&mut self, deletion: Deletion) {
        self.marker = self.marker.filter(|marker| !deletion.covers(marker.timestamp));
        self.cells.retain(|cell| !deletion.covers(cell.timestamp));
        self.deletion = self.deletion.filter(|own| *own > deletion);
    }

    /// Restores invariants 2 and 3.
    fn drop_covered(&mut self) {
        if let Some(deletion) = self.deletion {
            self.marker = self.marker.filter(|marker| !deletion.covers(marker.timestamp));
            self.cells.retain(|cell| !deletion.covers(cell.timestamp));
        }
        if self.cells.iter().all(|cell| cell.path.is_none()) {
            return;
        }
        let mut column: Option<(ColumnId, Timestamp)> = None;
        self.cells.retain(|cell| {
            if cell.path.is_none() {
                column = Some((cell.column, cell.timestamp));
                return true;
            }
            column.is_none_or(|(column, timestamp)| column != cell.column || cell.timestamp > timestamp)
        });
    }

    /// Whether `deletion`, made outside of the row, covers nothing of it.
    pub fn survives(&self, deletion: Deletion) -> bool {
        self.deletion.is_none_or(|own| own > deletion) && self.holds_nothing_under(deletion)
    }

    fn holds_nothing_under(&self, deletion: Deletion) -> bool {
        !self
            .marker
            .is_some_and(|marker| deletion.covers(marker.timestamp))
            && !self.cells.iter().any(|cell| deletion.covers(cell.timestamp))
    }

    /// Whether the invariants hold. One pass, without copies.
    pub fn is_canonical(&self) -> bool {
        let mut column: Option<&Cell> = None;
        let mut last: Option<&Cell> = None;
        for cell in &self.cells {
            if last.is_some_and(|last| last.order(cell).is_ge())
                || column.is_some_and(|column| column.shadows(cell))
            {
                return false;
            }
            if cell.path.is_none() {
                column = Some(cell);
            }
            last = Some(cell);
        }
        self.deletion
            .is_none_or(|deletion| self.holds_nothing_under(deletion))
    }

    /// What `self` has that `other`, of which all up to `gone` is deleted, lacks.
    #[must_use]
    pub(crate) fn missing_from(&self, other: &Self, gone: Option<Deletion>) -> Self {
        let own = self
            .deletion
            .filter(|own| Some(*own) > Deletion::strongest(other.deletion, gone));
        let gone = Deletion::strongest(other.deletion, gone);
        let news = |timestamp| gone.is_none_or(|deletion| !deletion.covers(timestamp));
        let marker = self.marker.filter(|marker| {
            news(marker.timestamp)
                && other
                    .marker
                    .is_none_or(|theirs| theirs.precedence(marker).is_lt())
        });
        let cells = self.cells.iter().filter(|cell| {
            news(cell.timestamp)
                && other
                    .find(cell.column, cell.path.as_ref())
                    .is_none_or(|it| it.precedence(cell).is_lt())
                && !other
                    .find(cell.column, None)
                    .is_some_and(|column| column.shadows(cell))
        });
        Self {
            marker,
            deletion: own,
            cells: cells.cloned().collect(),
        }
    }

    /// The cell of a column or an element.
    pub fn find(&self, column: ColumnId, path: Option<&Bytes>) -> Option<&Cell> {
        let at = self
            .cells
            .binary_search_by(|cell| {
                cell.column
                    .cmp(&column)
                    .then_with(|| cell.path.as_ref().cmp(&path))
            })
            .ok()?;
        self.cells.get(at)
    }

    /// Removes tombstones made before `purge_before`, and values and markers that expired both before it
    /// and by `now`. Only safe where nothing older of this row can exist outside of what was merged.
    pub fn purge(&mut self, now: Seconds, purge_before: Seconds) {
        let gone = |expiry: Option<Expiry>| {
            expiry.is_some_and(|expiry| expiry.at <= now && expiry.at < purge_before)
        };
        self.deletion = self.deletion.filter(|deletion| deletion.at >= purge_before);
        self.marker = self.marker.filter(|marker| !gone(marker.expiry));
        self.cells.retain(|cell| match &cell.value {
            CellValue::Tombstone(at) => *at >= purge_before,
            CellValue::Live { expiry, .. } => !gone(*expiry),
        });
    }

    /// Rough size in memory, in bytes.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.cells.iter().map(Cell::weight).sum::<usize>()
    }
}

/// Merges two ordered runs of cells; where both have a cell the one with precedence stays.
fn merge_cells(left: Vec<Cell>, right: Vec<Cell>) -> Vec<Cell> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let mut left = left.into_iter().peekable();
    let mut right = right.into_iter().peekable();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        match a.order(b) {
            Ordering::Less => merged.extend(left.next()),
            Ordering::Greater => merged.extend(right.next()),
            Ordering::Equal => {
                let keep_left = a.precedence(b).is_ge();
                let (a, b) = (left.next(), right.next());
                merged.extend(if keep_left { a } else { b });
            }
        }
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

//! A row: its marker, its tombstone and its cells.

use std::cmp::Ordering;

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
    fn precedence(&self, other: &Self) -> Ordering {
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
/// 3. no element is covered by its column's tombstone.
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
        let mut whole: Option<(ColumnId, Timestamp)> = None;
        self.cells.retain(|cell| {
            if cell.is_column_tombstone() {
                whole = Some((cell.column, cell.timestamp));
                return true;
            }
            !(cell.path.is_some()
                && whole
                    .is_some_and(|(column, timestamp)| column == cell.column && cell.timestamp <= timestamp))
        });
    }

    /// Whether the invariants hold; for assertions and tests.
    pub fn is_canonical(&self) -> bool {
        let ordered = self.cells.windows(2).all(|pair| pair[0].order(&pair[1]).is_lt());
        let mut again = self.clone();
        again.drop_covered();
        ordered && again == *self
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

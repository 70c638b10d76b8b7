//! Writes in memory, before they are in a table.
//!
//! One writer and many more reads than structure changes per shard: an ordered map of partitions, each
//! an ordered map of rows, measured the fastest of the simple choices (a `BTreeMap` does twice the gets
//! and five times the scan of a concurrent skip list on this load).

use std::{collections::BTreeMap, ops::Bound};

use starling_model::{
    CellValue, DecoratedKey, Deletion, Mutation, Partition, Row, Timestamp, Token, TokenRange,
};

use crate::log::Lsn;

/// What a partition costs beside its content, in bytes, about.
const PARTITION_OVERHEAD: usize = 128;

/// One partition in memory.
#[derive(Debug, Clone, Default)]
pub struct Slot {
    /// The merge of its writes.
    pub partition: Partition,
    /// The newest of its writes.
    pub last: Lsn,
}

/// The writes to one table since its last flush began, merged by partition.
#[derive(Debug, Default)]
pub struct Memtable {
    partitions: BTreeMap<DecoratedKey, Slot>,
    weight: usize,
    first: Lsn,
    last: Lsn,
    oldest: Option<Timestamp>,
}

impl Memtable {
    /// Merges a write in. Numbers never go back.
    pub fn apply(&mut self, lsn: Lsn, mutation: Mutation) {
        debug_assert!(lsn > self.last);
        if self.is_empty() {
            self.first = lsn;
        }
        self.last = lsn;
        self.oldest = min_option(self.oldest, oldest(&mutation.partition));
        // An upper bound: what a write replaces is not subtracted, so that no write has to look for it.
        self.weight += mutation.partition.weight() + mutation.key.key.len() + PARTITION_OVERHEAD;
        let slot = self.partitions.entry(mutation.key).or_default();
        slot.partition.merge(mutation.partition);
        slot.last = lsn;
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Memory held, in bytes; more rather than less.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The oldest write in it.
    pub fn first(&self) -> Lsn {
        self.first
    }

    /// The newest write in it.
    pub fn last(&self) -> Lsn {
        self.last
    }

    /// The smallest timestamp in it; `None` if it is empty.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.oldest
    }

    /// One partition.
    pub fn get(&self, key: &DecoratedKey) -> Option<&Slot> {
        self.partitions.get(key)
    }

    /// The first partition after `after` whose token lies in `range`, which does not wrap.
    pub fn next(&self, range: TokenRange, after: Option<&DecoratedKey>) -> Option<&DecoratedKey> {
        let from = match after {
            Some(after) => Bound::Excluded(after.clone()),
            None => Bound::Included(DecoratedKey {
                // A range excludes its start; no key has the smallest token.
                token: Token(range.start.0.saturating_add(1)),
                key: bytes::Bytes::new(),
            }),
        };
        let (key, _) = self.partitions.range((from, Bound::Unbounded)).next()?;
        (key.token <= range.end).then_some(key)
    }
}

fn min_option<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The smallest timestamp in a partition.
fn oldest(partition: &Partition) -> Option<Timestamp> {
    let deletions = partition
        .ranges
        .iter()
        .map(|tombstone| tombstone.deletion)
        .chain(partition.deletion);
    let rows = std::iter::once(&partition.static_row).chain(partition.rows.values());
    deletions
        .map(|deletion: Deletion| deletion.timestamp)
        .chain(rows.flat_map(timestamps))
        .min()
}

/// All timestamps in a row.
pub(crate) fn timestamps(row: &Row) -> impl Iterator<Item = Timestamp> {
    row.marker
        .iter()
        .map(|marker| marker.timestamp)
        .chain(row.deletion.iter().map(|deletion| deletion.timestamp))
        .chain(row.cells.iter().map(|cell| cell.timestamp))
}

/// All seconds at which something of a row was deleted, or expires.
pub(crate) fn ages(row: &Row) -> impl Iterator<Item = starling_model::Seconds> {
    let expiries = row.marker.iter().filter_map(|marker| marker.expiry);
    row.deletion
        .iter()
        .map(|deletion| deletion.at)
        .chain(expiries.map(|expiry| expiry.at))
        .chain(row.cells.iter().filter_map(|cell| match &cell.value {
            CellValue::Tombstone(at) => Some(*at),
            CellValue::Live { expiry, .. } => expiry.map(|expiry| expiry.at),
        }))
}

#[cfg(test)]
mod tests;

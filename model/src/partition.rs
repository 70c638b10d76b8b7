//! A partition's content, whole or in part: what a write adds, what a replica stores, what a read returns.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    cell::Cell,
    encoding::{Reader, Writer},
    key::{Clustering, ClusteringRange},
    range_tombstone::{RangeTombstone, RangeTombstones},
    row::Row,
    time::{Deletion, Seconds},
};

/// A partition's tombstones, static row and rows.
///
/// Invariants, kept by [`Partition::merge`] and checked by [`Partition::is_canonical`]:
/// 1. every row is canonical and says something (`!Row::is_empty`);
/// 2. nothing is covered by the partition's deletion, and no row by a range tombstone.
///
/// Two replicas that took the same writes, in any order and any number of times, hold equal values.
///
/// As a part of a serde value it is one byte string in the layout of [`crate::encoding`], so that what comes
/// from outside is checked to be canonical.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Partition {
    /// The partition was deleted.
    pub deletion: Option<Deletion>,
    /// The static columns.
    pub static_row: Row,
    /// Deleted clustering ranges.
    pub ranges: RangeTombstones,
    /// The rows, in clustering order.
    pub rows: BTreeMap<Clustering, Row>,
}

impl Partition {
    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.deletion.is_none()
            && self.static_row.is_empty()
            && self.ranges.is_empty()
            && self.rows.is_empty()
    }

    /// Adds to one row, by the merge law.
    pub fn add_row(&mut self, clustering: Clustering, mut row: Row) {
        if let Some(deletion) = Deletion::strongest(self.deletion, self.ranges.covering(&clustering.0)) {
            row.cover(deletion);
        }
        if row.is_empty() {
            return;
        }
        self.rows.entry(clustering).or_default().merge(row);
    }

    /// Adds to the static row.
    pub fn add_static(&mut self, mut row: Row) {
        if let Some(deletion) = self.deletion {
            row.cover(deletion);
        }
        self.static_row.merge(row);
    }

    /// Deletes the whole partition.
    pub fn delete(&mut self, deletion: Deletion) {
        if self.deletion.is_some_and(|own| own >= deletion) {
            return;
        }
        self.deletion = Some(deletion);
        self.static_row.cover(deletion);
        self.ranges.cover(deletion);
        self.rows.retain(|_, row| {
            row.cover(deletion);
            !row.is_empty()
        });
    }

    /// Deletes a clustering range.
    pub fn delete_range(&mut self, tombstone: RangeTombstone) {
        if tombstone.range.is_empty() || self.deletion.is_some_and(|own| own >= tombstone.deletion) {
            return;
        }
        self.cover_rows(&tombstone);
        self.ranges.add(tombstone);
    }

    /// Deletes many of them: passes its own once, not once for each.
    fn delete_ranges(&mut self, mut ranges: RangeTombstones) {
        if let Some(deletion) = self.deletion {
            ranges.cover(deletion);
        }
        for tombstone in &ranges {
            self.cover_rows(tombstone);
        }
        self.ranges.merge(ranges);
    }

    fn cover_rows(&mut self, tombstone: &RangeTombstone) {
        let covered: Vec<Clustering> = self
            .range(&tombstone.range)
            .map(|(clustering, _)| clustering.clone())
            .collect();
        for clustering in covered {
            if let Some(row) = self.rows.get_mut(&clustering) {
                row.cover(tombstone.deletion);
                if row.is_empty() {
                    self.rows.remove(&clustering);
                }
            }
        }
    }

    /// The rows in a clustering range, in order.
    pub fn range(&self, range: &ClusteringRange) -> impl DoubleEndedIterator<Item = (&Clustering, &Row)> {
        use std::ops::Bound;
        let start = Bound::Included(Clustering(range.start.clone()));
        let end = match &range.end {
            _ if range.is_empty() => Bound::Excluded(Clustering(range.start.clone())),
            Some(end) => Bound::Excluded(Clustering(end.clone())),
            None => Bound::Unbounded,
        };
        self.rows.range((start, end))
    }

    /// Merges another state of the same partition into this one: the merge law.
    ///
    /// Commutative, associative, idempotent (property-tested): the order in which a replica hears of
    /// writes, and how often, does not matter.
    pub fn merge(&mut self, other: Self) {
        if let Some(deletion) = other.deletion {
            self.delete(deletion);
        }
        self.delete_ranges(other.ranges);
        self.add_static(other.static_row);
        for (clustering, row) in other.rows {
            self.add_row(clustering, row);
        }
    }

    /// How many rows a reader at `now` sees.
    pub fn live_rows(&self, now: Seconds) -> usize {
        self.rows.values().filter(|row| row.is_live(now)).count()
    }

    /// Whether a reader at `now` sees anything: a row or a static column.
    pub fn is_live(&self, now: Seconds) -> bool {
        self.static_row.is_live(now) || self.rows.values().any(|row| row.is_live(now))
    }

    /// Removes tombstones made before `purge_before`, and values that expired before it.
    ///
    /// Only safe where nothing older of this partition can exist outside of what was merged here: in no
    /// other table of the replica, and on no other replica that has not seen the deletion.
    pub fn purge(&mut self, now: Seconds, purge_before: Seconds) {
        self.deletion = self.deletion.filter(|deletion| deletion.at >= purge_before);
        self.ranges.purge(purge_before);
        self.static_row.purge(now, purge_before);
        self.rows.retain(|_, row| {
            row.purge(now, purge_before);
            !row.is_empty()
        });
    }

    /// Whether the invariants hold. Looks at everything once, without copies.
    pub fn is_canonical(&self) -> bool {
        self.static_row.is_canonical() && self.rows.values().all(Row::is_canonical) && self.covers_nothing()
    }

    /// Invariant 2, and that every row says something: what is left to check if each row is canonical.
    pub(crate) fn covers_nothing(&self) -> bool {
        let under_partition = |row: &Row| self.deletion.is_none_or(|deletion| row.survives(deletion));
        let under_ranges = |key: &[u8], row: &Row| {
            self.ranges
                .covering(key)
                .is_none_or(|deletion| row.survives(deletion))
        };
        under_partition(&self.static_row)
            && self
                .ranges
                .iter()
                .all(|tombstone| Some(tombstone.deletion) > self.deletion)
            && self.rows.iter().all(|(clustering, row)| {
                !row.is_empty() && under_partition(row) && under_ranges(&clustering.0, row)
            })
    }

    /// What `self` has that `other` lacks: merging the result into `other` gives the merge of both.
    /// Empty if, and only if, `other` already knows everything. For read repair and anti-entropy.
    #[must_use]
    pub fn missing_from(&self, other: &Self) -> Self {
        let nothing = Row::default();
        let mut ranges = self.ranges.stronger_than(&other.ranges);
        if let Some(deletion) = other.deletion {
            ranges.cover(deletion);
        }
        let rows = self.rows.iter().filter_map(|(clustering, row)| {
            let theirs = other.rows.get(clustering).unwrap_or(&nothing);
            let gone = Deletion::strongest(other.deletion, other.ranges.covering(&clustering.0));
            let row = row.missing_from(theirs, gone);
            (!row.is_empty()).then(|| (clustering.clone(), row))
        });
        Self {
            deletion: self.deletion.filter(|_| self.deletion > other.deletion),
            static_row: self.static_row.missing_from(&other.static_row, other.deletion),
            ranges,
            rows: rows.collect(),
        }
    }

    /// About as many bytes as the encoding takes, rather more than fewer.
    pub(crate) fn encoded_hint(&self) -> usize {
        let row = |row: &Row| 24 + row.cells.iter().map(Cell::encoded_hint).sum::<usize>();
        let rows: usize = self
            .rows
            .iter()
            .map(|(clustering, it)| clustering.0.len() + row(it))
            .sum();
        24 + row(&self.static_row) + self.ranges.weight() + rows
    }

    /// Rough size in memory, in bytes.
    pub fn weight(&self) -> usize {
        let rows: usize = self
            .rows
            .iter()
            .map(|(clustering, row)| clustering.0.len() + 64 + row.weight())
            .sum();
        size_of::<Self>() + self.static_row.weight() + self.ranges.weight() + rows
    }
}

impl Serialize for Partition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = Writer::with_capacity(self.encoded_hint());
        out.partition(self);
        serializer.serialize_bytes(out.as_slice())
    }
}

impl<'de> Deserialize<'de> for Partition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut input = Reader::new(Bytes::deserialize(deserializer)?);
        let partition = input.partition().map_err(D::Error::custom)?;
        input.end().map_err(D::Error::custom)?;
        Ok(partition)
    }
}

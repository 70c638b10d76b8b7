//! A partition of a memtable with more than one row, or with something that is no row.

use std::collections::{BTreeMap, btree_map::Entry};

use starling_model::{
    DecodeError, Deletion, Partition, RangeTombstones,
    encoding::{RowMerger, Writer},
};

use super::{
    heap::{Heap, Slot},
    row_key::RowKey,
};
use crate::log::Lsn;

/// What an entry of the map of rows costs, in bytes: its place in a node that is filled as it comes.
const ROW_BYTES: usize = (size_of::<RowKey>() + size_of::<Slot>()) * 5 / 3;
/// What a range tombstone costs beside its bounds, in bytes.
const RANGE_BYTES: usize = 160;
/// What a partition costs, in bytes.
pub(super) const WIDE_BYTES: usize = size_of::<Wide>() + 64;

/// The merge of the writes to one partition.
///
/// Rows and the static row are merged by themselves. What of them the partition's own deletion or range
/// tombstones cover stays until it is read or flushed, where everything is covered anyway: so a deletion of very
/// many rows takes no time.
#[derive(Debug, Default)]
pub(super) struct Wide {
    pub(super) token: u64,
    pub(super) key: Box<[u8]>,
    /// The newest write.
    pub(super) last: Lsn,
    pub(super) deletion: Option<Deletion>,
    pub(super) static_row: Option<Slot>,
    pub(super) ranges: RangeTombstones,
    rows: BTreeMap<RowKey, Slot>,
}

impl Wide {
    /// A partition without content.
    pub(super) fn new(token: u64, key: &[u8]) -> Self {
        Self {
            token,
            key: key.into(),
            ..Self::default()
        }
    }

    /// A row: what is held for it, encoded.
    pub(super) fn row<'a>(&self, clustering: &[u8], heap: &'a Heap) -> Option<&'a [u8]> {
        self.rows.get(clustering).map(|slot| heap.row(*slot))
    }

    /// Whether there are rows and nothing else.
    pub(super) fn is_plain(&self) -> bool {
        self.deletion.is_none() && self.static_row.is_none() && self.ranges.is_empty()
    }

    /// The clustering of the only row, if it is one and nothing else.
    pub(super) fn only_row(&self) -> Option<&[u8]> {
        let only = self.rows.len() == 1 && self.is_plain();
        self.rows.keys().next().filter(|_| only).map(RowKey::as_slice)
    }

    /// The rows, by clustering.
    pub(super) fn rows(&self) -> &BTreeMap<RowKey, Slot> {
        &self.rows
    }

    /// Takes the first row. Returns the bytes that it takes outside of the heap.
    pub(super) fn take_row(&mut self, clustering: &[u8], row: Vec<u8>, heap: &mut Heap) -> usize {
        let key = RowKey::new(clustering);
        let outside = key.outside();
        self.rows.insert(key, heap.take(row));
        ROW_BYTES + outside
    }

    /// Merges an encoded row in. Returns the bytes that it takes outside of the heap.
    pub(super) fn put_row(
        &mut self,
        clustering: &[u8],
        row: &[u8],
        heap: &mut Heap,
        merger: &mut RowMerger,
    ) -> Result<usize, DecodeError> {
        match self.rows.entry(RowKey::new(clustering)) {
            Entry::Vacant(vacant) => {
                let outside = vacant.key().outside();
                vacant.insert(heap.put(row));
                Ok(ROW_BYTES + outside)
            }
            Entry::Occupied(mut occupied) => {
                let slot = heap.merge(Some(*occupied.get()), row, merger)?;
                occupied.insert(slot);
                Ok(0)
            }
        }
    }

    /// Merges a partition in. Returns the bytes that it takes outside of the heap.
    pub(super) fn merge(
        &mut self,
        partition: &Partition,
        heap: &mut Heap,
        merger: &mut RowMerger,
    ) -> Result<usize, DecodeError> {
        let mut bytes = 0;
        self.deletion = Deletion::strongest(self.deletion, partition.deletion);
        for tombstone in &partition.ranges {
            let end = tombstone.range.end.as_ref().map_or(0, bytes::Bytes::len);
            bytes += RANGE_BYTES + tombstone.range.start.len() + end;
        }
        self.ranges.merge(partition.ranges.iter().map(detached).collect());
        let mut out = Writer::default();
        if !partition.static_row.is_empty() {
            out.row(&partition.static_row);
            self.static_row = Some(heap.merge(self.static_row, out.as_slice(), merger)?);
        }
        for (clustering, row) in &partition.rows {
            out.clear();
            out.row(row);
            bytes += self.put_row(&clustering.0, out.as_slice(), heap, merger)?;
        }
        Ok(bytes)
    }
}

/// A copy whose bounds keep nothing else in memory.
fn detached(tombstone: &starling_model::RangeTombstone) -> starling_model::RangeTombstone {
    let copy = |bytes: &bytes::Bytes| bytes::Bytes::copy_from_slice(bytes);
    starling_model::RangeTombstone {
        range: starling_model::ClusteringRange {
            start: copy(&tombstone.range.start),
            end: tombstone.range.end.as_ref().map(copy),
        },
        deletion: tombstone.deletion,
    }
}

//! One partition of a memtable, read in place.

use std::{collections::btree_map, ops::Bound};

use starling_model::{ClusteringRange, Deletion, RangeTombstone};

use super::{
    content::Content,
    heap::{Heap, Slot},
    row_key::RowKey,
};
use crate::log::Lsn;

/// One partition of a memtable.
///
/// Rows that its deletion or range tombstones cover may still be there.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    content: Content<'a>,
    heap: &'a Heap,
}

impl<'a> Part<'a> {
    pub(super) fn new(content: Content<'a>, heap: &'a Heap) -> Self {
        Self { content, heap }
    }

    /// The newest write to it.
    pub fn last(&self) -> Lsn {
        self.content.last()
    }

    /// The partition's deletion.
    pub fn deletion(&self) -> Option<Deletion> {
        match self.content {
            Content::Row(_) => None,
            Content::Wide(wide) => wide.deletion,
        }
    }

    /// Whether there are rows and nothing else.
    pub fn is_plain(&self) -> bool {
        match self.content {
            Content::Row(_) => true,
            Content::Wide(wide) => wide.is_plain(),
        }
    }

    /// The clustering of the only row, if it is one and nothing else.
    pub fn only_row(&self) -> Option<&'a [u8]> {
        match self.content {
            Content::Row(record) => Some(record.clustering),
            Content::Wide(wide) => wide.only_row(),
        }
    }

    /// The encoded static row, if there is one.
    pub fn static_row(&self) -> Option<&'a [u8]> {
        match self.content {
            Content::Row(_) => None,
            Content::Wide(wide) => wide.static_row.map(|slot| self.heap.row(slot)),
        }
    }

    /// The range tombstones, in order.
    pub fn ranges(&self) -> &'a [RangeTombstone] {
        match self.content {
            Content::Row(_) => &[],
            Content::Wide(wide) => wide.ranges.iter().as_slice(),
        }
    }

    /// The strongest deletion over a clustering that is not in its row.
    pub fn covering(&self, clustering: &[u8]) -> Option<Deletion> {
        match self.content {
            Content::Row(_) => None,
            Content::Wide(wide) => Deletion::strongest(wide.deletion, wide.ranges.covering(clustering)),
        }
    }

    /// One row, encoded.
    pub fn row(&self, clustering: &[u8]) -> Option<&'a [u8]> {
        match self.content {
            Content::Row(record) => {
                // Comparing empty slices, which point to no memory, can be slow beyond all proportion.
                let same = record.clustering.len() == clustering.len()
                    && (clustering.is_empty() || record.clustering == clustering);
                same.then_some(record.row)
            }
            Content::Wide(wide) => wide.row(clustering, self.heap),
        }
    }

    /// The rows in a slice.
    pub fn rows(&self, slice: &ClusteringRange) -> Rows<'a> {
        match self.content {
            Content::Row(record) => {
                let row = (record.clustering, record.row);
                Rows(Inner::One(slice.contains(record.clustering).then_some(row)))
            }
            Content::Wide(wide) => {
                let start = &slice.start[..];
                // An empty range of a map must not end before it starts.
                let end = match &slice.end {
                    Some(end) => Bound::Excluded(start.max(end)),
                    None => Bound::Unbounded,
                };
                let range = wide.rows().range::<[u8], _>((Bound::Included(start), end));
                Rows(Inner::Many(range, self.heap))
            }
        }
    }
}

/// Rows of a partition with their clusterings, encoded, from both ends.
#[derive(Debug, Clone)]
pub struct Rows<'a>(Inner<'a>);

#[derive(Debug, Clone)]
enum Inner<'a> {
    /// At most one.
    One(Option<(&'a [u8], &'a [u8])>),
    Many(btree_map::Range<'a, RowKey, Slot>, &'a Heap),
}

impl<'a> Iterator for Rows<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Inner::One(row) => row.take(),
            Inner::Many(range, heap) => range.next().map(|entry| row_of(entry, heap)),
        }
    }
}

impl DoubleEndedIterator for Rows<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Inner::One(row) => row.take(),
            Inner::Many(range, heap) => range.next_back().map(|entry| row_of(entry, heap)),
        }
    }
}

fn row_of<'a>((key, slot): (&'a RowKey, &Slot), heap: &'a Heap) -> (&'a [u8], &'a [u8]) {
    (key.as_slice(), heap.row(*slot))
}

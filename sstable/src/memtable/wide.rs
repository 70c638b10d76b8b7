//! A partition of a memtable with more than one row, or with something that is no row.

use std::collections::{BTreeMap, btree_map::Entry};

use starling_model::{
    DecodeError, Deletion, Partition, RangeTombstones,
    encoding::{RowMerger, Writer},
};

use super::{
    arena::{Arena, Place},
    row_key::RowKey,
};
use crate::log::Lsn;

/// What an entry of the map of rows costs, in bytes: its place in a node that is filled as it comes.
const ROW_BYTES: usize = (size_of::<RowKey>() + size_of::<Place>()) * 5 / 3;
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
    /// Encoded; empty if there is none.
    pub(super) static_row: Vec<u8>,
    pub(super) ranges: RangeTombstones,
    rows: BTreeMap<RowKey, Place>,
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
    pub(super) fn row<'a>(&self, clustering: &[u8], arena: &'a Arena) -> Option<&'a [u8]> {
        self.rows.get(clustering).map(|place| row_at(arena, *place))
    }

    /// The rows, by clustering.
    pub(super) fn rows(&self) -> &BTreeMap<RowKey, Place> {
        &self.rows
    }

    /// Merges an encoded row in. Returns the bytes that it takes outside of the arena.
    pub(super) fn put_row(
        &mut self,
        clustering: &[u8],
        row: &[u8],
        arena: &mut Arena,
        merger: &mut RowMerger,
    ) -> Result<usize, DecodeError> {
        match self.rows.entry(RowKey::new(clustering)) {
            Entry::Vacant(vacant) => {
                let outside = vacant.key().outside();
                vacant.insert(put(arena, row));
                Ok(ROW_BYTES + outside)
            }
            Entry::Occupied(mut occupied) => {
                let held = row_at(arena, *occupied.get());
                let room = held.len();
                if let Some(merged) = merger.merge(&[held, row], None)? {
                    if merged.len() <= room {
                        write(arena.at_mut(*occupied.get()), merged);
                    } else {
                        occupied.insert(put(arena, merged));
                    }
                }
                Ok(0)
            }
        }
    }

    /// Merges a partition in. Returns the bytes that it takes outside of the arena.
    pub(super) fn merge(
        &mut self,
        partition: &Partition,
        arena: &mut Arena,
        merger: &mut RowMerger,
    ) -> Result<usize, DecodeError> {
        let mut bytes = 0;
        self.deletion = Deletion::strongest(self.deletion, partition.deletion);
        for tombstone in &partition.ranges {
            let end = tombstone.range.end.as_ref().map_or(0, bytes::Bytes::len);
            bytes += RANGE_BYTES + tombstone.range.start.len() + end;
            self.ranges.add(detached(tombstone));
        }
        let mut out = Writer::default();
        if !partition.static_row.is_empty() {
            out.row(&partition.static_row);
            bytes += out.as_slice().len();
            let states = [&self.static_row[..], out.as_slice()];
            let states = if self.static_row.is_empty() {
                &states[1..]
            } else {
                &states[..]
            };
            if let Some(merged) = merger.merge(states, None)? {
                self.static_row = merged.to_vec();
            }
        }
        for (clustering, row) in &partition.rows {
            out.clear();
            out.row(row);
            bytes += self.put_row(&clustering.0, out.as_slice(), arena, merger)?;
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

/// A row in the arena: its length (4 bytes, little-endian), then its bytes.
pub(super) fn row_at(arena: &Arena, place: Place) -> &[u8] {
    let bytes = arena.at(place);
    let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    &bytes[4..4 + length as usize]
}

fn put(arena: &mut Arena, row: &[u8]) -> Place {
    arena.put(&[&(row.len() as u32).to_le_bytes(), row])
}

fn write(bytes: &mut [u8], row: &[u8]) {
    bytes[..4].copy_from_slice(&(row.len() as u32).to_le_bytes());
    bytes[4..4 + row.len()].copy_from_slice(row);
}

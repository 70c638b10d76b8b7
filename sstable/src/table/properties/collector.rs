//! Collecting a table's properties while it is written.

use starling_model::{DecodeError, DecoratedKey, Deletion, Seconds, Timestamp, ValueRef, encoding::RowView};

use super::{BOUND_BYTES, Properties};
use crate::{
    log::Lsn,
    table::{
        entry,
        key::{self, Kind},
    },
};

/// Properties in the making.
#[derive(Debug)]
pub struct Collector {
    properties: Properties,
    /// The clustering of the last row.
    last_row: Vec<u8>,
    /// Whether the partition had a row yet.
    has_row: bool,
    /// The prefix of the last partition.
    last_prefix: Vec<u8>,
}

impl Collector {
    /// For a table whose newest write is this one.
    pub fn new(newest: Lsn) -> Self {
        Self {
            properties: Properties::new(newest),
            last_row: Vec::new(),
            has_row: false,
            last_prefix: Vec::new(),
        }
    }

    /// Counts a partition in that begins.
    pub fn partition(&mut self, prefix: &[u8]) {
        self.end_partition();
        if self.properties.partitions == 0
            && let Some(key) = key::partition_key(prefix)
        {
            self.properties.first_key = key;
        }
        self.properties.partitions += 1;
        self.last_prefix.clear();
        self.last_prefix.extend_from_slice(prefix);
    }

    fn end_partition(&mut self) {
        if std::mem::take(&mut self.has_row) {
            self.properties.widen_upper(&self.last_row);
        }
    }

    /// Counts an entry in.
    pub fn entry(&mut self, kind: Kind, clustering: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        match kind {
            Kind::Partition => {
                self.properties.heads += 1;
                if let Some(deletion) = entry::head_deletion(value)? {
                    self.properties.partition_deletions += 1;
                    self.deletion(deletion);
                }
            }
            Kind::Range => {
                self.properties.range_tombstones += 1;
                self.deletion(entry::range_deletion(value)?);
            }
            Kind::Static => {
                self.properties.static_rows += 1;
                self.row(value)?;
            }
            Kind::Row => {
                if !std::mem::replace(&mut self.has_row, true) {
                    self.properties.widen_lower(clustering);
                }
                self.last_row.clear();
                self.last_row.extend_from_slice(clustering);
                self.row(value)?;
            }
        }
        Ok(())
    }

    fn row(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        let row = RowView::new(value)?;
        self.properties.rows += 1;
        self.properties.large_rows.add(value.len());
        self.properties.cells += row.count as u64;
        if let Some(marker) = row.marker {
            self.timestamp(marker.timestamp);
            self.life(marker.expiry.map(|expiry| expiry.at));
        }
        if let Some(deletion) = row.deletion {
            self.properties.row_deletions += 1;
            self.deletion(deletion);
        }
        for cell in row.cells() {
            let cell = cell?;
            self.timestamp(cell.timestamp);
            match cell.value {
                ValueRef::Tombstone(at) => {
                    self.properties.cell_tombstones += 1;
                    self.due(at);
                }
                ValueRef::Live { expiry, .. } => self.life(expiry.map(|expiry| expiry.at)),
            }
        }
        Ok(())
    }

    fn deletion(&mut self, deletion: Deletion) {
        self.timestamp(deletion.timestamp);
        self.due(deletion.at);
    }

    /// Something that lives until a second, or for ever.
    fn life(&mut self, end: Option<Seconds>) {
        match end {
            Some(end) => {
                self.properties.expiring += 1;
                self.due(end);
            }
            None => self.properties.immortal += 1,
        }
    }

    fn timestamp(&mut self, timestamp: Timestamp) {
        widen(&mut self.properties.timestamps, timestamp);
    }

    fn due(&mut self, at: Seconds) {
        widen(&mut self.properties.ages, at);
        self.properties.due.add(at);
    }

    /// All of it. `raw_bytes` are those of all keys and values.
    pub fn finish(mut self, raw_bytes: u64) -> Properties {
        self.end_partition();
        if let Some(key) = key::partition_key(&self.last_prefix) {
            self.properties.last_key = key;
        }
        self.properties.raw_bytes = raw_bytes;
        self.properties.due.settle();
        self.properties
    }
}

fn widen<T: Ord + Copy>(range: &mut Option<(T, T)>, value: T) {
    *range = Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))));
}

impl Properties {
    fn new(last: Lsn) -> Self {
        let nobody = DecoratedKey {
            token: starling_model::Token(0),
            key: bytes::Bytes::new(),
        };
        Self {
            partitions: 0,
            rows: 0,
            static_rows: 0,
            heads: 0,
            partition_deletions: 0,
            range_tombstones: 0,
            row_deletions: 0,
            cell_tombstones: 0,
            cells: 0,
            expiring: 0,
            immortal: 0,
            raw_bytes: 0,
            last,
            timestamps: None,
            ages: None,
            due: super::Histogram::default(),
            clusterings: None,
            large_rows: super::LargeRows::default(),
            first_key: nobody.clone(),
            last_key: nobody,
        }
    }

    fn widen_lower(&mut self, clustering: &[u8]) {
        let bounds = self.clusterings.get_or_insert_with(|| super::Clusterings {
            lower: clustering[..clustering.len().min(BOUND_BYTES)].to_vec(),
            upper: Some(Vec::new()),
        });
        // Two empty slices are never handed to memcmp: with a dangling pointer it can cost a hundred nanoseconds.
        if !bounds.lower.is_empty() && clustering < &bounds.lower[..] {
            bounds.lower.clear();
            bounds
                .lower
                .extend_from_slice(&clustering[..clustering.len().min(BOUND_BYTES)]);
        }
    }

    fn widen_upper(&mut self, clustering: &[u8]) {
        let Some(bounds) = &mut self.clusterings else {
            return;
        };
        let Some(upper) = &mut bounds.upper else { return };
        if clustering.is_empty() || clustering <= &upper[..] {
            return;
        }
        upper.clear();
        upper.extend_from_slice(&clustering[..clustering.len().min(BOUND_BYTES)]);
        if clustering.len() > BOUND_BYTES {
            // The shortest that is greater than everything that begins like this.
            while upper.last() == Some(&u8::MAX) {
                upper.pop();
            }
            match upper.last_mut() {
                Some(last) => *last += 1,
                None => bounds.upper = None,
            }
        }
    }
}

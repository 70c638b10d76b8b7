//! The timestamps that a write carries, seen together.

use crate::{
    cell::Cell,
    mutation::Mutation,
    partition::Partition,
    range_tombstone::RangeTombstone,
    row::{Marker, Row},
    time::{Deletion, Timestamp},
};

/// A collection that is overwritten is deleted one microsecond before its new elements are written.
const BEFORE_MICROS: i64 = 1;

impl Partition {
    /// The newest timestamp of anything in it; `None` if it says nothing.
    pub fn newest(&self) -> Option<Timestamp> {
        self.timestamps().max()
    }

    /// Every timestamp in it, in no order.
    fn timestamps(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let deletions = self.ranges.iter().map(|tombstone| tombstone.deletion);
        let deletions = deletions.chain(self.deletion).map(|deletion| deletion.timestamp);
        let rows = std::iter::once(&self.static_row).chain(self.rows.values());
        deletions.chain(rows.flat_map(of_row))
    }

    fn map_timestamps(&self, map: impl Fn(Timestamp) -> Timestamp) -> Self {
        let deletion = |deletion: Deletion| Deletion {
            timestamp: map(deletion.timestamp),
            ..deletion
        };
        let row = |row: &Row| Row {
            marker: row.marker.map(|marker| Marker {
                timestamp: map(marker.timestamp),
                ..marker
            }),
            deletion: row.deletion.map(deletion),
            cells: row
                .cells
                .iter()
                .map(|cell| Cell {
                    timestamp: map(cell.timestamp),
                    ..cell.clone()
                })
                .collect(),
        };
        // Put together by the merge law, since what covers what may be another now.
        let mut mapped = Self::default();
        if let Some(own) = self.deletion {
            mapped.delete(deletion(own));
        }
        for tombstone in &self.ranges {
            mapped.delete_range(RangeTombstone {
                range: tombstone.range.clone(),
                deletion: deletion(tombstone.deletion),
            });
        }
        // Merging into an empty row makes a row of any content canonical.
        let canonical = |old: &Row| {
            let mut new = Row::default();
            new.merge(row(old));
            new
        };
        mapped.add_static(canonical(&self.static_row));
        for (clustering, old) in &self.rows {
            mapped.add_row(clustering.clone(), canonical(old));
        }
        mapped
    }
}

impl Mutation {
    /// Whether anything in it was stamped with `stamp`.
    pub fn carries(&self, stamp: Timestamp) -> bool {
        self.partition
            .timestamps()
            .any(|timestamp| is_stamped(timestamp, stamp))
    }

    /// The same write with everything that was stamped with `from` stamped with `to`. Timestamps that were
    /// given otherwise (by the client, in a statement of a batch) stay.
    ///
    /// What one part of the write had deleted of another part is not in it any more, and does not come back.
    #[must_use]
    pub fn restamped(&self, from: Timestamp, to: Timestamp) -> Self {
        let by = to.0.saturating_sub(from.0);
        let partition = self.partition.map_timestamps(|timestamp| {
            if is_stamped(timestamp, from) {
                Timestamp(timestamp.0.saturating_add(by))
            } else {
                timestamp
            }
        });
        Self {
            table: self.table,
            key: self.key.clone(),
            partition,
        }
    }
}

fn is_stamped(timestamp: Timestamp, stamp: Timestamp) -> bool {
    timestamp == stamp || timestamp.0 == stamp.0.saturating_sub(BEFORE_MICROS)
}

fn of_row(row: &Row) -> impl Iterator<Item = Timestamp> + '_ {
    let marker = row.marker.map(|marker| marker.timestamp);
    let deletion = row.deletion.map(|deletion| deletion.timestamp);
    let cells = row.cells.iter().map(|cell| cell.timestamp);
    cells.chain(marker).chain(deletion)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        cell::CellValue,
        ids::{ColumnId, TableId},
        key::{Clustering, ClusteringRange, DecoratedKey},
        time::Seconds,
        token::Token,
    };

    fn cell(column: u32, path: Option<&'static [u8]>, timestamp: i64, value: CellValue) -> Cell {
        Cell {
            column: ColumnId(column),
            path: path.map(Bytes::from_static),
            timestamp: Timestamp(timestamp),
            value,
        }
    }

    fn live(value: &'static [u8]) -> CellValue {
        CellValue::Live {
            value: Bytes::from_static(value),
            expiry: None,
        }
    }

    /// A row whose map is overwritten, and whose other column a client has stamped with 7.
    fn mutation(stamp: i64) -> Mutation {
        let mut partition = Partition::default();
        let deletion = |timestamp| Deletion {
            timestamp: Timestamp(timestamp),
            at: Seconds(5),
        };
        partition.delete(deletion(3));
        partition.delete_range(RangeTombstone {
            range: ClusteringRange {
                start: Bytes::from_static(b"x"),
                end: None,
            },
            deletion: deletion(stamp),
        });
        let mut row = Row {
            marker: Some(Marker {
                timestamp: Timestamp(stamp),
                expiry: None,
            }),
            ..Row::default()
        };
        row.add(cell(1, None, stamp - 1, CellValue::Tombstone(Seconds(5))));
        row.add(cell(1, Some(b"k"), stamp, live(b"v")));
        row.add(cell(2, None, 7, live(b"given")));
        partition.add_row(Clustering(Bytes::from_static(b"a")), row);
        Mutation {
            table: TableId(1),
            key: DecoratedKey {
                token: Token(0),
                key: Bytes::from_static(b"p"),
            },
            partition,
        }
    }

    #[test]
    fn what_was_stamped_is_stamped_anew_and_the_rest_stays() {
        let old = mutation(100);
        assert!(old.carries(Timestamp(100)) && !old.carries(Timestamp(102)));
        assert_eq!(old.partition.newest(), Some(Timestamp(100)));
        let new = old.restamped(Timestamp(100), Timestamp(900));
        assert_eq!(new, mutation(900));
        assert!(new.partition.is_canonical());
    }

    #[test]
    fn a_deletion_that_overtakes_what_a_client_stamped_covers_it() {
        let mut old = mutation(100);
        let deletion = Deletion {
            timestamp: Timestamp(4),
            at: Seconds(5),
        };
        old.partition.delete(deletion);
        let new = old.restamped(Timestamp(4), Timestamp(7));
        let row = &new.partition.rows[&Clustering(Bytes::from_static(b"a"))];
        assert!(row.cells.iter().all(|cell| cell.column == ColumnId(1)));
        assert!(new.partition.is_canonical());
    }

    #[test]
    fn nothing_has_no_newest_timestamp() {
        assert_eq!(Partition::default().newest(), None);
    }
}

//! Equal data has equal digests, however it came about and however it is cut; other data has others.

use bytes::Bytes;
use proptest::prelude::*;
use starling_model::{
    Cell, CellValue, Clustering, ClusteringRange, ColumnId, Deletion, Expiry, Marker, Partition,
    RangeTombstone, Row, Seconds, Timestamp,
};

use crate::{
    anti_entropy::digest::{Digest, Hasher, View, of_partition},
    testing::key,
};

pub(super) const VIEW: View = View {
    now: Seconds(1_000),
    grace: 500,
};

fn clustering() -> impl Strategy<Value = Bytes> {
    (0_u8..12).prop_map(|n| Bytes::copy_from_slice(&[n, 0]))
}

fn deletion() -> impl Strategy<Value = Deletion> {
    (0_i64..20, 300_u32..1_200).prop_map(|(timestamp, at)| Deletion {
        timestamp: Timestamp(timestamp),
        at: Seconds(at),
    })
}

fn expiry() -> impl Strategy<Value = Option<Expiry>> {
    proptest::option::weighted(
        0.3,
        (300_u32..1_700).prop_map(|at| Expiry {
            at: Seconds(at),
            ttl: 100,
        }),
    )
}

fn row() -> impl Strategy<Value = Row> {
    let cell = (
        0_u32..3,
        0_i64..20,
        any::<bool>(),
        0_u8..3,
        300_u32..1_700,
        expiry(),
    );
    let cells = proptest::collection::vec(cell, 0..4);
    let marker = proptest::option::of((0_i64..20, expiry()));
    (marker, proptest::option::weighted(0.2, deletion()), cells).prop_map(|(marker, deletion, cells)| {
        let mut row = Row {
            marker: marker.map(|(timestamp, expiry)| Marker {
                timestamp: Timestamp(timestamp),
                expiry,
            }),
            ..Row::default()
        };
        for (column, timestamp, live, value, at, expiry) in cells {
            let value = if live {
                CellValue::Live {
                    value: Bytes::copy_from_slice(&[value]),
                    expiry,
                }
            } else {
                CellValue::Tombstone(Seconds(at))
            };
            row.add(Cell {
                column: ColumnId(column),
                path: None,
                timestamp: Timestamp(timestamp),
                value,
            });
        }
        row.merge(Row {
            deletion,
            ..Row::default()
        });
        row
    })
}

/// One write.
pub(super) fn write() -> impl Strategy<Value = Partition> {
    let range = (clustering(), clustering(), deletion());
    prop_oneof![
        6 => (clustering(), row()).prop_map(|(at, row)| {
            let mut partition = Partition::default();
            partition.add_row(Clustering(at), row);
            partition
        }),
        1 => row().prop_map(|row| {
            let mut partition = Partition::default();
            partition.add_static(row);
            partition
        }),
        2 => range.prop_map(|(a, b, deletion)| {
            let mut partition = Partition::default();
            let (start, end) = (a.clone().min(b.clone()), a.max(b));
            partition.delete_range(RangeTombstone { range: ClusteringRange { start, end: Some(end) }, deletion });
            partition
        }),
        1 => deletion().prop_map(|deletion| {
            let mut partition = Partition::default();
            partition.delete(deletion);
            partition
        }),
    ]
}

fn merged<'a>(writes: impl IntoIterator<Item = &'a Partition>) -> Partition {
    let mut all = Partition::default();
    for write in writes {
        all.merge(write.clone());
    }
    all
}

fn digest(partition: &Partition) -> Digest {
    of_partition(&key("k"), partition, VIEW)
}

/// What of a partition counts at the view's second.
fn counting(partition: &Partition) -> Partition {
    let mut left = partition.clone();
    left.purge(VIEW.now, Seconds(VIEW.now.0 - VIEW.grace + 60 + 1));
    left
}

proptest! {
    /// The order in which a replica heard of writes, and how often, is not to be seen.
    #[test]
    fn merge_orders_do_not_matter(writes in proptest::collection::vec(write(), 1..12), turn in 0_usize..12) {
        let forwards = merged(&writes);
        let mut other: Vec<&Partition> = writes.iter().rev().collect();
        other.rotate_left(turn % writes.len());
        let backwards = merged(other.into_iter().chain(&writes));
        prop_assert_eq!(digest(&forwards), digest(&backwards));
    }

    /// A digest tells two partitions apart exactly if what counts of them differs.
    #[test]
    fn any_change_that_counts_is_seen(
        writes in proptest::collection::vec(write(), 0..8),
        more in write(),
    ) {
        let before = merged(&writes);
        let after = merged(writes.iter().chain([&more]));
        let same = counting(&before) == counting(&after);
        prop_assert_eq!(digest(&before).agrees(&digest(&after)), same);
    }

    /// However a partition is cut into windows, with its tombstones clipped or not: the parts sum up.
    #[test]
    fn parts_sum_up(
        writes in proptest::collection::vec(write(), 1..12),
        mut cuts in proptest::collection::vec(clustering(), 0..5),
        clip in any::<bool>(),
    ) {
        let whole = merged(&writes);
        cuts.sort();
        cuts.dedup();
        let mut sum = Digest::default();
        let mut start = Bytes::new();
        for end in cuts.into_iter().map(Some).chain([None]) {
            let window = ClusteringRange { start: start.clone(), end: end.clone() };
            let mut part = whole.clone();
            if clip {
                part.ranges = whole.ranges.clipped(&window);
            }
            if !window.is_empty() {
                Hasher::new(VIEW).partition(&mut sum, &key("k"), &part, &window);
            }
            start = end.unwrap_or_default();
        }
        prop_assert_eq!(sum, digest(&whole));
    }

    /// What one replica has purged and another has not makes no difference.
    #[test]
    fn purging_is_not_to_be_seen(writes in proptest::collection::vec(write(), 1..12)) {
        let kept = merged(&writes);
        let mut purged = kept.clone();
        purged.purge(VIEW.now, Seconds(VIEW.now.0 - VIEW.grace));
        prop_assert!(digest(&kept).agrees(&digest(&purged)));
    }

    /// While a digest says that it holds, it is what another look gives.
    #[test]
    fn a_digest_holds_as_long_as_it_says(
        writes in proptest::collection::vec(write(), 1..12),
        now in 900_u32..2_000,
    ) {
        let partition = merged(&writes);
        let early = digest(&partition);
        let later = of_partition(&key("k"), &partition, View { now: Seconds(now), ..VIEW });
        if early.holds_at(Seconds(now)) {
            prop_assert!(early.agrees(&later));
        }
        prop_assert!(later.holds_at(Seconds(now)));
    }
}

#[test]
fn the_key_and_the_place_count() {
    let mut a = Partition::default();
    a.add_row(
        Clustering(Bytes::from_static(b"1")),
        crate::testing::row_of("v", 1),
    );
    let mut b = Partition::default();
    b.add_row(
        Clustering(Bytes::from_static(b"2")),
        crate::testing::row_of("v", 1),
    );
    let of = |name: &str, partition: &Partition| of_partition(&key(name), partition, VIEW);
    assert!(!of("k", &a).agrees(&of("k", &b)));
    assert!(!of("k", &a).agrees(&of("l", &a)));
}

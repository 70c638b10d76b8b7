//! Random content from a world so small that everything meets everything else.

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};
use starling_model::{
    Cell, CellValue, Clustering, ClusteringRange, ColumnId, Deletion, Expiry, Marker, Partition,
    RangeTombstone, Row, Seconds, Timestamp,
};

/// One thing that a write can do to a partition.
#[derive(Debug, Clone)]
pub(crate) enum Fact {
    DeletePartition(Deletion),
    DeleteRange(RangeTombstone),
    DeleteRow(Clustering, Deletion),
    Insert(Clustering, Marker),
    Set(Clustering, Cell),
    SetStatic(Cell),
    InsertStatic(Marker),
}

impl Fact {
    /// A partition with nothing else.
    pub(crate) fn partition(&self) -> Partition {
        let mut partition = Partition::default();
        match self.clone() {
            Self::DeletePartition(deletion) => partition.delete(deletion),
            Self::DeleteRange(tombstone) => partition.delete_range(tombstone),
            Self::DeleteRow(key, deletion) => {
                partition.add_row(
                    key,
                    Row {
                        deletion: Some(deletion),
                        ..Row::default()
                    },
                );
            }
            Self::Insert(key, marker) => {
                partition.add_row(
                    key,
                    Row {
                        marker: Some(marker),
                        ..Row::default()
                    },
                );
            }
            Self::Set(key, cell) => partition.add_row(
                key,
                Row {
                    cells: vec![cell],
                    ..Row::default()
                },
            ),
            Self::SetStatic(cell) => partition.add_static(Row {
                cells: vec![cell],
                ..Row::default()
            }),
            Self::InsertStatic(marker) => {
                partition.add_static(Row {
                    marker: Some(marker),
                    ..Row::default()
                });
            }
        }
        partition
    }
}

pub(crate) fn merged<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Partition {
    let mut partition = Partition::default();
    for fact in facts {
        partition.merge(fact.partition());
    }
    partition
}

pub(crate) fn timestamp() -> impl Strategy<Value = Timestamp> {
    (0_i64..6).prop_map(Timestamp)
}

pub(crate) fn deletion() -> impl Strategy<Value = Deletion> {
    (timestamp(), 0_u32..3).prop_map(|(timestamp, at)| Deletion {
        timestamp,
        at: Seconds(at),
    })
}

fn expiry() -> impl Strategy<Value = Option<Expiry>> {
    option::of((0_u32..3, 1_u32..3).prop_map(|(at, ttl)| Expiry { at: Seconds(at), ttl }))
}

/// Up to three bytes out of four: 81 and a few clusterings.
pub(crate) fn short_bytes() -> impl Strategy<Value = Bytes> {
    vec(prop_oneof![Just(0_u8), Just(1), Just(0x40), Just(0xFF)], 0..4).prop_map(Bytes::from)
}

pub(crate) fn clustering() -> impl Strategy<Value = Clustering> {
    vec(0_u8..2, 0..3).prop_map(Clustering::from)
}

pub(crate) fn range() -> impl Strategy<Value = ClusteringRange> {
    (short_bytes(), option::weighted(0.8, short_bytes()))
        .prop_map(|(start, end)| ClusteringRange { start, end })
        .prop_filter("not empty", |range| !range.is_empty())
}

pub(crate) fn range_tombstone() -> impl Strategy<Value = RangeTombstone> {
    (range(), deletion()).prop_map(|(range, deletion)| RangeTombstone { range, deletion })
}

fn marker() -> impl Strategy<Value = Marker> {
    (timestamp(), expiry()).prop_map(|(timestamp, expiry)| Marker { timestamp, expiry })
}

pub(crate) fn cell() -> impl Strategy<Value = Cell> {
    let value = prop_oneof![
        (0_u32..3).prop_map(|at| CellValue::Tombstone(Seconds(at))),
        (vec(0_u8..2, 0..2), expiry()).prop_map(|(value, expiry)| CellValue::Live {
            value: value.into(),
            expiry
        }),
    ];
    let path = option::of((0_u8..2).prop_map(|path| Bytes::from(vec![path])));
    (0_u32..2, path, timestamp(), value).prop_map(|(column, path, timestamp, value)| Cell {
        column: ColumnId(column),
        path,
        timestamp,
        value,
    })
}

pub(crate) fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        1 => deletion().prop_map(Fact::DeletePartition),
        3 => range_tombstone().prop_map(Fact::DeleteRange),
        3 => (clustering(), deletion()).prop_map(|(key, deletion)| Fact::DeleteRow(key, deletion)),
        3 => (clustering(), marker()).prop_map(|(key, marker)| Fact::Insert(key, marker)),
        8 => (clustering(), cell()).prop_map(|(key, cell)| Fact::Set(key, cell)),
        2 => cell().prop_map(Fact::SetStatic),
        1 => marker().prop_map(Fact::InsertStatic),
    ]
}

pub(crate) fn facts() -> impl Strategy<Value = Vec<Fact>> {
    vec(fact(), 0..16)
}

pub(crate) fn partition() -> impl Strategy<Value = Partition> {
    facts().prop_map(|facts| merged(&facts))
}

pub(crate) fn row() -> impl Strategy<Value = Row> {
    let deletion = option::weighted(0.3, deletion());
    (option::of(marker()), deletion, vec(cell(), 0..5)).prop_map(|(marker, deletion, cells)| {
        let mut row = Row {
            marker,
            ..Row::default()
        };
        for cell in cells {
            row.add(cell);
        }
        row.merge(Row {
            deletion,
            ..Row::default()
        });
        row
    })
}

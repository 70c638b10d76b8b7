//! Random content from a world so small that everything meets everything else, and small engines.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};
use starling_model::{
    Cell, CellValue, Clustering, ClusteringRange, ColumnId, DecoratedKey, Deletion, Expiry, KeyRange, Limits,
    Marker, Mutation, Page, Partition, RangeTombstone, ReadCommand, Row, Seconds, TableId, Timestamp, Token,
    TokenRange,
};

use crate::{Engine, Options, Scaling, Step, compaction, fs::MemoryFs};

/// All partitions of a table.
pub(crate) type Content = BTreeMap<DecoratedKey, Partition>;

pub(crate) const TABLE: TableId = TableId(7);

pub(crate) fn key(number: u8) -> DecoratedKey {
    DecoratedKey {
        // Neighbours share a token, and keys hold zeros.
        token: Token((i64::from(number / 2) - 2) * 1_000),
        key: Bytes::from(vec![number % 2, 0, number]),
    }
}

pub(crate) fn any_key() -> impl Strategy<Value = DecoratedKey> {
    (0_u8..8).prop_map(key)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(prop_oneof![Just(0_u8), Just(1), Just(0x40), Just(0xFF)], 0..4).prop_map(Bytes::from)
}

pub(crate) fn range() -> impl Strategy<Value = ClusteringRange> {
    (bytes(), option::weighted(0.8, bytes()))
        .prop_map(|(start, end)| ClusteringRange { start, end })
        .prop_filter("not empty", |range| !range.is_empty())
}

fn clustering() -> impl Strategy<Value = Clustering> {
    bytes().prop_map(Clustering)
}

fn deletion() -> impl Strategy<Value = Deletion> {
    (0_i64..8, 0_u32..3).prop_map(|(timestamp, at)| Deletion {
        timestamp: Timestamp(timestamp),
        at: Seconds(at),
    })
}

fn expiry() -> impl Strategy<Value = Option<Expiry>> {
    option::weighted(
        0.3,
        (0_u32..20).prop_map(|at| Expiry {
            at: Seconds(at),
            ttl: 9,
        }),
    )
}

fn cell() -> impl Strategy<Value = Cell> {
    let value = prop_oneof![
        1 => (0_u32..3).prop_map(|at| CellValue::Tombstone(Seconds(at))),
        3 => (vec(any::<u8>(), 0..30), expiry())
            .prop_map(|(value, expiry)| CellValue::Live { value: value.into(), expiry }),
    ];
    let path = option::of((0_u8..2).prop_map(|path| Bytes::from(vec![path])));
    (0_u32..2, path, 0_i64..8, value).prop_map(|(column, path, timestamp, value)| Cell {
        column: ColumnId(column),
        path,
        timestamp: Timestamp(timestamp),
        value,
    })
}

fn row() -> impl Strategy<Value = Row> {
    let marker = (0_i64..8, expiry()).prop_map(|(timestamp, expiry)| Marker {
        timestamp: Timestamp(timestamp),
        expiry,
    });
    (
        option::of(marker),
        option::weighted(0.2, deletion()),
        vec(cell(), 0..3),
    )
        .prop_map(|(marker, deletion, cells)| {
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

/// What one write adds to a partition.
pub(crate) fn partition() -> impl Strategy<Value = Partition> {
    let rows = vec((clustering(), row()), 0..4);
    let ranges = vec((range(), deletion()), 0..2);
    (
        option::weighted(0.1, deletion()),
        option::weighted(0.2, row()),
        ranges,
        rows,
    )
        .prop_map(|(deletion, static_row, ranges, rows)| {
            let mut partition = Partition::default();
            if let Some(deletion) = deletion {
                partition.delete(deletion);
            }
            partition.add_static(static_row.unwrap_or_default());
            for (range, deletion) in ranges {
                partition.delete_range(RangeTombstone { range, deletion });
            }
            for (clustering, row) in rows {
                partition.add_row(clustering, row);
            }
            partition
        })
}

pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    (any_key(), partition()).prop_map(|(key, partition)| Mutation {
        table: TABLE,
        key,
        partition,
    })
}

/// A row with one column, inserted and set at a timestamp.
pub(crate) fn simple_row(timestamp: i64, value: &[u8]) -> Row {
    Row {
        marker: Some(Marker {
            timestamp: Timestamp(timestamp),
            expiry: None,
        }),
        deletion: None,
        cells: vec![Cell {
            column: ColumnId(1),
            path: None,
            timestamp: Timestamp(timestamp),
            value: CellValue::Live {
                value: Bytes::copy_from_slice(value),
                expiry: None,
            },
        }],
    }
}

/// A write of one row.
pub(crate) fn insert(key: DecoratedKey, clustering: &[u8], timestamp: i64, value: &[u8]) -> Mutation {
    let mut partition = Partition::default();
    partition.add_row(
        Clustering::from(clustering.to_vec()),
        simple_row(timestamp, value),
    );
    Mutation {
        table: TABLE,
        key,
        partition,
    }
}

pub(crate) fn merge_into(content: &mut Content, mutation: &Mutation) {
    if !mutation.partition.is_empty() {
        content
            .entry(mutation.key.clone())
            .or_default()
            .merge(mutation.partition.clone());
    }
}

/// A command for everything in the table.
pub(crate) fn everything() -> ReadCommand {
    ReadCommand {
        table: TABLE,
        keys: KeyRange::Tokens(TokenRange::ALL),
        slices: vec![ClusteringRange::ALL],
        reversed: false,
        after: None,
        limits: Limits {
            rows: u32::MAX,
            rows_per_partition: u32::MAX,
            bytes: u32::MAX,
            visited: u32::MAX,
        },
        now: Seconds(10),
    }
}

pub(crate) fn content_of(page: Page) -> Content {
    let mut content = Content::new();
    for part in page.partitions {
        content.entry(part.key).or_default().merge(part.partition);
    }
    content
}

/// Everything an engine holds of the table.
pub(crate) fn contents(engine: &Engine) -> Content {
    let result = engine.read(&everything()).expect("the table can be read");
    assert_eq!(result.page.next, None);
    content_of(result.page)
}

/// Options under which little data goes through everything.
pub(crate) fn small_options() -> Options {
    Options {
        memtable_bytes: 4 << 10,
        memory_bytes: 1 << 20,
        segment_bytes: 700,
        reserve_bytes: 0,
        log_bytes: 1 << 20,
        block_bytes: 64,
        compaction: compaction::Strategy::Unified(Scaling::all(1)),
        tokens: TokenRange {
            start: Token(-2_001),
            end: Token(1_000),
        },
        table_bytes: 700,
        compactions: 3,
        step_bytes: 200,
        ..Options::default()
    }
}

pub(crate) fn dir() -> PathBuf {
    PathBuf::from("/shard")
}

pub(crate) fn open(fs: &MemoryFs) -> Engine {
    Engine::open(Arc::new(fs.clone()), dir(), small_options())
        .expect("the engine opens")
        .0
}

/// Runs all work that is offered.
pub(crate) fn settle(engine: &mut Engine, now: Seconds) {
    while let Some(mut job) = engine.next_job(now) {
        while job.step().expect("a step succeeds") == Step::More {}
        engine.finish(job).expect("a job is installed");
    }
}

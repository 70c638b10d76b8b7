//! Rows as they are encoded: writing, merging, and the digest of a page.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use starling_model::{
    Cell, CellValue, Clustering, ColumnId, DecoratedKey, Marker, Mutation, Partition, Row, TableId,
    Timestamp, Token,
    encoding::{RowMerger, Writer},
};

/// The table of all rows here.
pub(crate) const TABLE: TableId = TableId(7);

/// A row of five columns of 20 bytes.
fn row(timestamp: i64, columns: std::ops::Range<u32>) -> Row {
    let timestamp = Timestamp(timestamp);
    let mut row = Row {
        marker: Some(Marker {
            timestamp,
            expiry: None,
        }),
        ..Row::default()
    };
    for column in columns {
        row.add(Cell {
            column: ColumnId(column),
            path: None,
            timestamp,
            value: CellValue::Live {
                value: Bytes::from(vec![column as u8; 20]),
                expiry: None,
            },
        });
    }
    row
}

/// Key `number`, with a token that spreads.
pub(crate) fn key(number: u64) -> DecoratedKey {
    DecoratedKey {
        token: Token(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) as i64),
        key: Bytes::copy_from_slice(&number.to_be_bytes()),
    }
}

/// A write of one row.
pub(crate) fn mutation(number: u64) -> Mutation {
    let mut partition = Partition::default();
    partition.add_row(Clustering::default(), row(1_700_000_000_000_000, 1..6));
    Mutation {
        table: TABLE,
        key: key(number),
        partition,
    }
}

/// State `number` of a row: two columns, of which the next state has one anew.
pub(crate) fn state(row_number: u64, number: u64) -> Mutation {
    let timestamp = 1_700_000_000_000_000 + number as i64;
    let column = 1 + number as u32;
    let mut partition = Partition::default();
    partition.add_row(Clustering::default(), row(timestamp, column..column + 2));
    Mutation {
        table: TABLE,
        key: key(row_number),
        partition,
    }
}

/// A write to the bytes that travel, and back.
pub(crate) fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mutation");
    let one = mutation(1);
    let bytes = one.encode();
    assert_eq!(Mutation::decode(bytes.clone()).as_ref(), Ok(&one));
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("encode", |b| b.iter(|| black_box(&one).encode()));
    group.bench_function("decode", |b| {
        b.iter(|| Mutation::decode(black_box(bytes.clone())));
    });
    group.finish();
}

/// Two states of a row: as they are encoded, and decoded.
pub(crate) fn merge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("row_merge");
    let (old, new) = (row(1, 1..6), row(2, 2..4));
    let encoded = |row: &Row| {
        let mut out = Writer::with_capacity(256);
        out.row(row);
        out.finish()
    };
    let (old_bytes, new_bytes) = (encoded(&old), encoded(&new));
    let mut merger = RowMerger::default();
    let mut merged = old.clone();
    merged.merge(new.clone());
    let found = merger
        .merge(&[&old_bytes, &new_bytes], None)
        .expect("they are rows");
    assert_eq!(found, Some(&encoded(&merged)[..]), "both ways come to the same");
    group.bench_function("encoded", |b| {
        b.iter(|| {
            let merged = merger.merge(&[black_box(&old_bytes), black_box(&new_bytes)], None);
            merged.expect("they are rows").map(<[u8]>::len)
        });
    });
    group.bench_function("decoded", |b| {
        b.iter_batched(
            || (old.clone(), new.clone()),
            |(mut old, new)| {
                old.merge(new);
                old
            },
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// What replicas compare: the 128-bit XXH3 of an encoded page.
pub(crate) fn digest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("digest");
    for rows in [1, 100] {
        let page: Vec<u8> = (0..rows)
            .flat_map(|number| mutation(number).encode().to_vec())
            .collect();
        assert!(page.len() as u64 > 100 * rows, "{} bytes", page.len());
        group.throughput(Throughput::Bytes(page.len() as u64));
        group.bench_function(format!("{rows}_rows"), |b| {
            b.iter(|| xxhash_rust::xxh3::xxh3_128(black_box(&page)));
        });
    }
    group.finish();
}

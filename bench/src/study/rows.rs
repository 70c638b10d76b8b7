//! Engines full of rows, for studies.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use starling_model::{
    Cell, CellValue, Clustering, ClusteringRange, ColumnId, DecoratedKey, Deletion, KeyRange, Limits, Marker,
    Mutation, Partition, ReadCommand, Row, Seconds, Timestamp, Token,
};

use crate::engine::{
    error::Error,
    rows::{VALUE_BYTES, Values},
    session::{Durability, Settings},
    starling::{Shard, TABLE, open_shard},
};

/// When rows are written, in microseconds.
const WRITTEN_AT: i64 = 1_700_000_000_000_000;

/// A shard of its own in a directory, with the settings of the comparison.
pub(super) fn shard(dir: &Path) -> Result<Shard, Error> {
    open_shard(&Settings {
        dir: dir.to_path_buf(),
        threads: 1,
        shards: 1,
        lz4: true,
        columns: 1,
        durability: Durability::Periodic,
        memtable_bytes: 64 << 20,
        memory_bytes: 256 << 20,
        cache_bytes: 0,
        filter_bits: 10,
        background: 2,
        values: Arc::new(Values::new()),
    })
}

/// The key of a partition.
pub(super) fn key(number: u64) -> DecoratedKey {
    let key = number.to_be_bytes();
    DecoratedKey {
        // Any mixing will do that spreads the tokens.
        token: Token((xxhash_rust::xxh3::xxh3_64(&key) >> 1) as i64),
        key: Bytes::copy_from_slice(&key),
    }
}

/// The clustering of a row.
pub(super) fn clustering(number: u64) -> Clustering {
    Clustering::from(number.to_be_bytes().to_vec())
}

/// The encoded write of a row.
pub(super) fn insert(values: &Values, partition: u64, row: u64) -> Bytes {
    let timestamp = Timestamp(WRITTEN_AT);
    let value = &values.of(partition * 7 + row, 0)[..VALUE_BYTES];
    let cell = Cell {
        column: ColumnId(1),
        path: None,
        timestamp,
        value: CellValue::Live {
            value: Bytes::copy_from_slice(value),
            expiry: None,
        },
    };
    let marker = Marker {
        timestamp,
        expiry: None,
    };
    write(
        partition,
        row,
        Row {
            marker: Some(marker),
            deletion: None,
            cells: vec![cell],
        },
    )
}

/// The encoded deletion of a row.
pub(super) fn delete(partition: u64, row: u64) -> Bytes {
    let deletion = Deletion {
        timestamp: Timestamp(WRITTEN_AT + 1),
        at: Seconds((WRITTEN_AT / 1_000_000) as u32),
    };
    write(
        partition,
        row,
        Row {
            deletion: Some(deletion),
            ..Row::default()
        },
    )
}

fn write(number: u64, row: u64, content: Row) -> Bytes {
    let mut partition = Partition::default();
    partition.add_row(clustering(row), content);
    Mutation {
        table: TABLE,
        key: key(number),
        partition,
    }
    .encode()
}

/// A read of so many rows of a partition from one on.
pub(super) fn slice(partition: u64, from: u64, limits: Limits) -> ReadCommand {
    ReadCommand {
        table: TABLE,
        keys: KeyRange::Partition(key(partition)),
        slices: vec![ClusteringRange {
            start: clustering(from).0,
            end: None,
        }],
        reversed: false,
        after: None,
        limits,
        now: Seconds((WRITTEN_AT / 1_000_000) as u32 + 60),
    }
}

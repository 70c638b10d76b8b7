//! Rows as the mutations that a node would get from a coordinator.

use std::sync::Arc;

use bytes::Bytes;
use starling_model::{
    Cell, CellValue, Clustering, ColumnId, DecoratedKey, Marker, Mutation, Partition, Row, TableId,
    Timestamp, Token,
};

use super::super::{
    rows::{Key, VALUE_BYTES, Values},
    session::Settings,
};

/// The one table.
pub(crate) const TABLE: TableId = TableId(0x5741_524D);

/// When rows are written first, in microseconds.
const FIRST_WRITE: i64 = 1_700_000_000_000_000;

/// Encodes a mutation by setting what differs in one that was encoded before: rows of a table have one shape.
pub(super) struct Encoder {
    record: Vec<u8>,
    token: usize,
    number: usize,
    columns: Vec<usize>,
    /// Where a write and a rewrite of a row differ, and how: their timestamps.
    rewrites: Vec<(usize, [u8; 2])>,
    values: Arc<Values>,
}

impl Encoder {
    pub(super) fn new(settings: &Settings) -> Self {
        let columns = settings.columns;
        let mark = |byte: u8| vec![byte; VALUE_BYTES / columns];
        let key = Key {
            token: 0x1122_3344_5566_7788,
            number: 0x99AA_BBCC_DDEE_FF01,
        };
        let marks: Vec<Vec<u8>> = (0..columns).map(|column| mark(0xA0 + column as u8)).collect();
        let record = mutation(key, 0, &marks).encode().to_vec();
        let later = mutation(key, 1, &marks).encode();
        let place = |part: &[u8]| {
            record
                .windows(part.len())
                .position(|window| window == part)
                .expect("what was encoded is in the record")
        };
        Self {
            token: place(&decorated(key).token.0.to_be_bytes()),
            number: place(&key.number.to_be_bytes()),
            columns: marks.iter().map(|mark| place(mark)).collect(),
            rewrites: record
                .iter()
                .zip(&later)
                .enumerate()
                .filter(|(_, (first, later))| first != later)
                .map(|(place, (first, later))| (place, [*first, *later]))
                .collect(),
            values: Arc::clone(&settings.values),
            record,
        }
    }

    /// The record of a row's first write, or of its later ones.
    pub(super) fn encode(&mut self, key: Key, update: u64) -> &[u8] {
        for (place, bytes) in &self.rewrites {
            self.record[*place] = bytes[usize::from(update > 0)];
        }
        let token = decorated(key).token.0.to_be_bytes();
        self.record[self.token..self.token + 8].copy_from_slice(&token);
        self.record[self.number..self.number + 8].copy_from_slice(&key.number.to_be_bytes());
        let value = self.values.of(key.number, update);
        let width = VALUE_BYTES / self.columns.len();
        for (place, part) in self.columns.iter().zip(value.chunks(width)) {
            self.record[*place..place + width].copy_from_slice(part);
        }
        &self.record
    }
}

/// The key as ours has it: eight bytes, and their token.
pub(super) fn decorated(key: Key) -> DecoratedKey {
    DecoratedKey {
        token: Token((key.token ^ (1 << 63)) as i64),
        key: Bytes::copy_from_slice(&key.number.to_be_bytes()),
    }
}

fn mutation(key: Key, update: u64, columns: &[Vec<u8>]) -> Mutation {
    let timestamp = Timestamp(FIRST_WRITE + update as i64);
    let cells = columns.iter().enumerate().map(|(column, value)| Cell {
        column: ColumnId(column as u32 + 1),
        path: None,
        timestamp,
        value: CellValue::Live {
            value: Bytes::copy_from_slice(value),
            expiry: None,
        },
    });
    let mut partition = Partition::default();
    partition.add_row(
        Clustering::default(),
        Row {
            marker: Some(Marker {
                timestamp,
                expiry: None,
            }),
            deletion: None,
            cells: cells.collect(),
        },
    );
    Mutation {
        table: TABLE,
        key: decorated(key),
        partition,
    }
}

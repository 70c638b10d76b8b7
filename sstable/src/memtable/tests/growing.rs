//! Rows that grow by small writes: what a reader sees of them, and what they cost.

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};
use starling_model::{
    Cell, CellValue, Clustering, ColumnId, DecoratedKey, Deletion, Mutation, Partition, Row, Seconds,
    Timestamp, encoding::Writer,
};

use super::{agreement::content, apply};
use crate::{
    fixtures::{Content, TABLE, key, merge_into, simple_row},
    memtable::Memtable,
};

/// Where a row is in its partition.
#[derive(Debug, Clone, Copy)]
enum Spot {
    Static,
    At(u8),
}

fn write(key: DecoratedKey, spot: Spot, row: Row) -> Mutation {
    let mut partition = Partition::default();
    match spot {
        Spot::Static => partition.add_static(row),
        Spot::At(clustering) => partition.add_row(Clustering::from(vec![clustering]), row),
    }
    Mutation {
        table: TABLE,
        key,
        partition,
    }
}

/// One element of a collection.
fn element(number: u32, timestamp: i64, value: &[u8]) -> Row {
    Row {
        cells: vec![Cell {
            column: ColumnId(1),
            path: Some(Bytes::copy_from_slice(&number.to_be_bytes())),
            timestamp: Timestamp(timestamp),
            value: CellValue::Live {
                value: Bytes::copy_from_slice(value),
                expiry: None,
            },
        }],
        ..Row::default()
    }
}

fn encoded(row: &Row) -> Vec<u8> {
    let mut out = Writer::default();
    out.row(row);
    out.into_vec()
}

fn cell() -> impl Strategy<Value = Cell> {
    let value = prop_oneof![
        1 => Just(CellValue::Tombstone(Seconds(1))),
        6 => vec(any::<u8>(), 0..400)
            .prop_map(|value| CellValue::Live { value: value.into(), expiry: None }),
    ];
    let path = option::weighted(0.95, any::<u8>().prop_map(|path| Bytes::from(vec![path])));
    (0_u32..3, path, 0_i64..50, value).prop_map(|(column, path, timestamp, value)| Cell {
        column: ColumnId(column),
        path,
        timestamp: Timestamp(timestamp),
        value,
    })
}

/// Mostly small; sometimes many cells, or the end of all.
fn row() -> impl Strategy<Value = Row> {
    let cells = prop_oneof![8 => vec(cell(), 1..3), 1 => vec(cell(), 10..60)];
    let deletion = (0_i64..30).prop_map(|timestamp| Deletion {
        timestamp: Timestamp(timestamp),
        at: Seconds(1),
    });
    (cells, option::weighted(0.03, deletion)).prop_map(|(cells, deletion)| {
        let mut row = Row::default();
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

fn spot() -> impl Strategy<Value = Spot> {
    prop_oneof![1 => Just(Spot::Static), 8 => Just(Spot::At(1)), 1 => Just(Spot::At(2))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn readers_see_all_of_a_row_however_it_came(
        writes in vec((0_u8..2, spot(), row(), any::<bool>()), 1..80),
    ) {
        let mut memtable = Memtable::default();
        let mut model = Content::new();
        for (lsn, (number, spot, row, read)) in (1..).zip(writes) {
            let write = write(key(number), spot, row);
            if write.partition.is_empty() {
                continue;
            }
            apply(&mut memtable, lsn, &write);
            merge_into(&mut model, &write);
            if read {
                let part = memtable.get(&write.key).unwrap();
                prop_assert_eq!(&content(part), &model[&write.key]);
            }
        }
        let weight = memtable.weight();
        for (key, expected) in &model {
            prop_assert_eq!(&content(memtable.get(key).unwrap()), expected);
        }
        // Reading changes no figure: others count on it.
        prop_assert_eq!(memtable.weight(), weight);
    }
}

/// Appends so many elements, and reads now and then. Returns what the memtable weighs, and the row.
fn append(spot: Spot, count: u32, read_every: u32) -> (usize, usize) {
    let mut memtable = Memtable::default();
    let mut expected = Row::default();
    for number in 0..count {
        let scattered = number.wrapping_mul(0x9E37_79B9);
        let row = element(scattered, i64::from(number), &[number as u8; 20]);
        expected.cells.extend(row.cells.iter().cloned());
        apply(&mut memtable, u64::from(number) + 1, &write(key(1), spot, row));
        if number % read_every == 0 {
            row_of(&memtable, spot);
        }
    }
    expected.cells.sort_by(Cell::order);
    let expected = encoded(&expected);
    assert_eq!(row_of(&memtable, spot), expected);
    (memtable.weight(), expected.len())
}

fn row_of(memtable: &Memtable, spot: Spot) -> &[u8] {
    let part = memtable.get(&key(1)).unwrap();
    match spot {
        Spot::Static => part.static_row().unwrap(),
        Spot::At(clustering) => part.row(&[clustering]).unwrap(),
    }
}

/// Were the row copied for each, these would be gigabytes.
#[test]
fn elements_that_are_added_one_by_one_cost_little_more_than_their_bytes() {
    for spot in [Spot::At(1), Spot::Static] {
        for read_every in [u32::MAX, 1_000] {
            let (weight, row) = append(spot, 20_000, read_every);
            assert!(weight < 4 * row, "{weight} bytes for {row}");
        }
    }
}

#[test]
fn many_small_collections_leave_few_copies_behind() {
    let mut memtable = Memtable::default();
    let mut bytes = 0;
    for partition in 0..100_u8 {
        let mut key = key(1);
        key.key = vec![partition].into();
        for number in 0..60 {
            let lsn = u64::from(partition) * 60 + u64::from(number) + 1;
            let row = element(number, 1, &[7; 10]);
            bytes += encoded(&row).len();
            apply(&mut memtable, lsn, &write(key.clone(), Spot::At(0), row));
        }
    }
    let weight = memtable.weight();
    assert!(weight < 5 * bytes, "{weight} bytes for {bytes}");
}

/// A large row of which one small part is written over and over.
#[test]
fn overwriting_a_part_of_a_large_row_takes_no_memory() {
    let mut memtable = Memtable::default();
    apply(
        &mut memtable,
        1,
        &write(key(1), Spot::At(1), simple_row(1, &vec![1; 50_000])),
    );
    let mut heaviest = 0;
    for lsn in 2..5_000 {
        let row = element(1, lsn as i64, &[lsn as u8; 100]);
        apply(&mut memtable, lsn, &write(key(1), Spot::At(1), row));
        heaviest = heaviest.max(memtable.weight());
    }
    assert!(heaviest < 250_000, "{heaviest}");
}

//! Reads of what several tables hold, and of what none does.

use criterion::Criterion;
use starling_model::{ClusteringRange, KeyRange, Limits, Partition, ReadCommand, Seconds};
use starling_sstable::Engine;

use crate::{
    engine::{ROWS, flush, open, write},
    rows::{TABLE, key, state},
};

/// Tables that hold a state of each row.
pub(crate) const TABLES: u64 = 4;

/// An engine with a state of each row in each of [`TABLES`] tables, none of which is merged.
pub(crate) fn several(dir: &std::path::Path, rows: u64) -> Engine {
    let mut engine = open(dir);
    for number in 0..TABLES {
        write(&mut engine, (0..rows).map(|row| state(row, number)));
        flush(&mut engine);
    }
    assert_eq!(engine.stats().tables as u64, TABLES, "nothing was merged");
    engine
}

/// What all states of a row come to.
pub(crate) fn merged(row: u64) -> Partition {
    let mut partition = Partition::default();
    for number in 0..TABLES {
        partition.merge(state(row, number).partition);
    }
    partition
}

/// Reads a partition as a replica does.
pub(crate) fn partition(engine: &Engine, row: u64) -> Partition {
    let command = ReadCommand {
        table: TABLE,
        keys: KeyRange::Partition(key(row)),
        slices: vec![ClusteringRange::ALL],
        reversed: false,
        after: None,
        limits: Limits::NONE,
        now: Seconds(0),
    };
    let page = engine.read(&command).expect("the files are whole").page;
    page.partitions
        .into_iter()
        .next()
        .expect("it was written")
        .partition
}

/// A row that is merged of its states in four tables, and a row that no table has, which their filters tell.
pub(crate) fn get(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = several(dir.path(), ROWS);
    assert_eq!(partition(&engine, 7), merged(7), "the states are merged");
    let mut number = 0;
    criterion.bench_function("engine/get_4_tables", |b| {
        b.iter(|| {
            number = (number + 7919) % ROWS;
            let found = engine.get(TABLE, &key(number), &[], None);
            assert!(
                found.expect("the files are whole").row.is_some(),
                "it was written"
            );
        });
    });
    criterion.bench_function("engine/get_missing_4_tables", |b| {
        b.iter(|| {
            number = (number + 7919) % ROWS;
            let found = engine.get(TABLE, &key(ROWS + number), &[], None);
            assert!(
                found.expect("the files are whole").row.is_none(),
                "it was never written"
            );
        });
    });
}

//! The storage engine alone: into the memtable and the log's buffer, and out again.

use std::{cell::Cell, hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion};
use starling_model::Seconds;
use starling_sstable::{Engine, Options, Step, fs::RealFs};

use crate::rows::{TABLE, key, mutation};

/// Rows that are there before reads are measured.
const ROWS: u64 = 100_000;

/// An engine with `rows` rows, in memory or, `flushed`, in a table.
fn filled(dir: &std::path::Path, rows: u64, flushed: bool) -> Engine {
    let (mut engine, _) =
        Engine::open(Arc::new(RealFs), dir.to_owned(), Options::default()).expect("an empty directory");
    for number in 0..rows {
        engine.apply(&mutation(number)).expect("there is room");
    }
    engine.log().sync().expect("the disk takes it");
    if flushed {
        engine.flush_all();
        while let Some(mut job) = engine.next_job(Seconds(0)) {
            while !matches!(job.step().expect("the disk takes it"), Step::Done) {}
            engine.finish(job).expect("the disk takes it");
        }
    }
    engine
}

/// A write that is encoded already, as a replica gets it. The log is synced elsewhere.
pub(crate) fn put(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let number = Cell::new(0_u64);
    let mut engine = filled(dir.path(), 0, false);
    criterion.bench_function("engine/put", |b| {
        b.iter_batched(
            || {
                // Writes go round, so that the memtable stays small.
                number.set((number.get() + 1) % ROWS);
                mutation(number.get()).encode()
            },
            |record| engine.apply_encoded(black_box(&record)),
            BatchSize::SmallInput,
        );
    });
}

/// A row by its key, from the memtable and from a table whose pages are in memory.
pub(crate) fn get(criterion: &mut Criterion) {
    for (name, flushed) in [("engine/get_memtable", false), ("engine/get_table", true)] {
        let dir = tempfile::tempdir().expect("a directory");
        let engine = filled(dir.path(), ROWS, flushed);
        let mut number = 0;
        criterion.bench_function(name, |b| {
            b.iter(|| {
                number = (number + 7919) % ROWS;
                let found = engine
                    .get(TABLE, &key(number), &[], None)
                    .expect("the file is whole");
                assert!(found.row.is_some(), "it was written");
            });
        });
    }
}

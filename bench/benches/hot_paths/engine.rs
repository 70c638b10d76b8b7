//! The storage engine alone: into the memtable and the log's buffer, and out again.

use std::{
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::Criterion;
use starling_model::{Mutation, Seconds};
use starling_sstable::{Engine, Job, Options, Step, fs::RealFs};

use crate::rows::{TABLE, key, mutation};

/// Rows that are there before reads are measured.
pub(crate) const ROWS: u64 = 100_000;

/// Writes after which the log is synced and what is due of flushes is done, besides what is measured.
const REST_AFTER: u64 = 10_000;

/// An engine in an empty directory.
pub(crate) fn open(dir: &Path) -> Engine {
    let options = Options {
        // The disk of whoever measures may be nearly full.
        reserve_bytes: 0,
        ..Options::default()
    };
    let (engine, _) = Engine::open(Arc::new(RealFs), dir.to_owned(), options).expect("an empty directory");
    engine
}

/// Takes writes, durably.
pub(crate) fn write(engine: &mut Engine, mutations: impl Iterator<Item = Mutation>) {
    for mutation in mutations {
        engine.apply(&mutation).expect("there is room");
    }
    engine.log().sync().expect("the disk takes it");
}

/// Does all the work that the engine offers, but for what `unwanted` picks: that is not offered again.
pub(crate) fn work(engine: &mut Engine, unwanted: impl Fn(&Job) -> bool) {
    while let Some(mut job) = engine.next_job(Seconds(0)) {
        if unwanted(&job) {
            continue;
        }
        while !matches!(job.step().expect("the disk takes it"), Step::Done) {}
        engine.finish(job).expect("the disk takes it");
    }
}

/// Writes everything out into a table, and merges nothing.
pub(crate) fn flush(engine: &mut Engine) {
    engine.flush_all();
    work(engine, Job::is_paced);
}

/// How long `act` takes for so many rounds, given the number of each. Beside it the log is synced and flushes are done.
pub(crate) fn timed(engine: &mut Engine, rounds: u64, mut act: impl FnMut(&mut Engine, u64)) -> Duration {
    let mut spent = Duration::ZERO;
    let mut done = 0;
    while done < rounds {
        let until = rounds.min(done + REST_AFTER);
        let began = Instant::now();
        for number in done..until {
            act(engine, number);
        }
        spent += began.elapsed();
        done = until;
        engine.log().sync().expect("the disk takes it");
        work(engine, |_| false);
    }
    spent
}

/// A write that is encoded already, as a replica gets it. The log is synced elsewhere.
pub(crate) fn put(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut engine = open(dir.path());
    // Writes go round, so that the memtable stays small.
    let records: Vec<Bytes> = (0..ROWS).map(|number| mutation(number).encode()).collect();
    criterion.bench_function("engine/put", |b| {
        b.iter_custom(|rounds| {
            let took = timed(&mut engine, rounds, |engine, number| {
                let record = &records[(number % ROWS) as usize];
                engine.apply_encoded(black_box(record)).expect("there is room");
            });
            let found = engine.get(TABLE, &key(0), &[], None).expect("the file is whole");
            assert!(found.row.is_some(), "it was written");
            took
        });
    });
}

/// A row by its key, from the memtable and from a table whose pages are in memory.
pub(crate) fn get(criterion: &mut Criterion) {
    for (name, flushed) in [("engine/get_memtable", false), ("engine/get_table", true)] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut engine = open(dir.path());
        write(&mut engine, (0..ROWS).map(mutation));
        if flushed {
            flush(&mut engine);
            assert_eq!(engine.stats().memtable_bytes, 0, "all is in a table");
        }
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

//! Work beside the requests: memtables are written out, and tables merged.

use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};

use crate::{
    engine::{flush, open, work, write},
    rows::{TABLE, state},
    tables::{TABLES, merged, partition, several},
};

/// Rows of a table.
const ROWS: u64 = 20_000;

/// For each row that goes in: a memtable to a table, and four tables with a state of each row to one. With their syncs, on the
/// disk that temporary files lie on.
pub(crate) fn rows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    // Most of the time is spent on making what is merged.
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("flush_20000_rows", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let dir = tempfile::tempdir().expect("a directory");
                let mut engine = open(dir.path());
                write(&mut engine, (0..ROWS).map(|row| state(row, 0)));
                let began = Instant::now();
                flush(&mut engine);
                spent += began.elapsed();
                assert_eq!(engine.stats().tables, 1, "all is in a table");
                assert_eq!(partition(&engine, 7), state(7, 0).partition);
            }
            spent
        });
    });
    group.throughput(Throughput::Elements(ROWS * TABLES));
    group.bench_function("compact_80000_rows", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let dir = tempfile::tempdir().expect("a directory");
                drop(several(dir.path(), ROWS));
                let mut engine = open(dir.path());
                engine.compact(TABLE);
                let began = Instant::now();
                work(&mut engine, |_| false);
                spent += began.elapsed();
                assert_eq!(engine.stats().tables, 1, "all is merged");
                assert_eq!(partition(&engine, 7), merged(7));
            }
            spent
        });
    });
    group.finish();
}

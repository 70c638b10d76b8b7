//! The commit log: writes that share a sync, on the disk that temporary files lie on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput};

use crate::{
    engine::{open, work},
    rows::mutation,
};

/// Syncs after which flushes are done, besides what is measured.
const REST_AFTER: u64 = 256;

/// A group of writes into the log's buffer and the memtable, and the sync that makes them durable: of one write, as with one
/// client, and of 64, as with many.
pub(crate) fn group_sync(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    for writes in [1_u64, 64] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut engine = open(dir.path());
        let log = engine.log();
        let records: Vec<Bytes> = (0..writes).map(|number| mutation(number).encode()).collect();
        let mut groups = 0;
        group.throughput(Throughput::Elements(writes));
        group.bench_function(format!("append_and_sync_{writes}"), |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let began = Instant::now();
                    for record in &records {
                        engine.apply_encoded(record).expect("there is room");
                    }
                    let synced = log.sync().expect("the disk takes it");
                    spent += began.elapsed();
                    assert_eq!(synced, log.appended(), "all that was written is durable");
                    groups += 1;
                    if groups % REST_AFTER == 0 {
                        work(&mut engine, |_| false);
                    }
                }
                spent
            });
        });
        assert_eq!(log.syncs(), groups, "each group had one sync");
    }
    group.finish();
}

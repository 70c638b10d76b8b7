//! Scans: a hundred rows in the order of their tokens.

use criterion::{Criterion, Throughput};
use starling_model::{ClusteringRange, KeyRange, Limits, ReadCommand, Seconds, Token, TokenRange};
use starling_sstable::{Engine, read::Never};

use crate::{
    engine::{ROWS, work},
    rows::{TABLE, key},
    tables::{merged, partition, several},
};

/// Rows of a page.
const PAGE: u32 = 100;

/// A page of rows from somewhere on.
fn command(number: u64) -> ReadCommand {
    // From the lower half, so that a hundred follow.
    let start = -(key(number).token.0 >> 2).abs();
    ReadCommand {
        table: TABLE,
        keys: KeyRange::Tokens(TokenRange {
            start: Token(start),
            end: Token::MAX,
        }),
        slices: vec![ClusteringRange::ALL],
        reversed: false,
        after: None,
        limits: Limits {
            rows: PAGE,
            ..Limits::NONE
        },
        now: Seconds(0),
    }
}

fn measure(criterion: &mut Criterion, name: &str, engine: &Engine) {
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(u64::from(PAGE)));
    let mut number = 0;
    group.bench_function(name, |b| {
        b.iter(|| {
            number += 7919;
            let found = engine
                .read_encoded(&command(number), &mut Never)
                .expect("the files are whole");
            assert_eq!(found.live, u64::from(PAGE), "there are more");
        });
    });
    group.finish();
}

/// The same page from four tables that all have a state of each row, and from the one that compaction makes of them.
pub(crate) fn hundred(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut engine = several(dir.path(), ROWS);
    measure(criterion, "scan_100_rows_4_tables", &engine);
    drop(engine);
    engine = crate::engine::open(dir.path());
    engine.compact(TABLE);
    work(&mut engine, |_| false);
    assert_eq!(engine.stats().tables, 1, "all is merged");
    assert_eq!(partition(&engine, 7), merged(7), "into what it comes to");
    measure(criterion, "scan_100_rows_compacted", &engine);
}

//! Compactions of everything, and what goes on beside them.

use std::sync::Arc;

use starling_model::{Clustering, DecoratedKey, Deletion, Mutation, Row, Seconds, TableId, Timestamp, Token};

use crate::{
    Compression, Engine, Options, PurgePolicy, Scaling, Step, Strategy, Task,
    fixtures::{TABLE, dir, insert, settle, small_options},
    fs::MemoryFs,
};

const NOW: Seconds = Seconds(1);

fn opened(compactions: usize, scaling: i8) -> Engine {
    let options = Options {
        memtable_bytes: 1 << 20,
        memory_bytes: 16 << 20,
        compression: Compression::None,
        block_bytes: 512,
        tokens: starling_model::TokenRange::ALL,
        compaction: Strategy::Unified(Scaling::all(scaling)),
        table_bytes: 4 << 10,
        compactions,
        step_bytes: 1 << 20,
        ..small_options()
    };
    let (engine, _) = Engine::open(Arc::new(MemoryFs::new()), dir(), options).unwrap();
    engine
}

/// A partition at one of 64 places that are as far from each other.
fn at(place: i64) -> DecoratedKey {
    DecoratedKey {
        token: Token(i64::MIN.wrapping_add((place * 2 + 1).wrapping_mul(1 << 57))),
        key: vec![place as u8].into(),
    }
}

/// A write of 4 KB, with something in it that may be forgotten one day.
fn large(place: i64) -> Mutation {
    let mut write = insert(at(place), b"large", 1, &[place as u8; 4 << 10]);
    let deleted = Row {
        deletion: Some(Deletion {
            timestamp: Timestamp(1),
            at: NOW,
        }),
        ..Row::default()
    };
    write
        .partition
        .add_row(Clustering::from(b"gone".to_vec()), deleted);
    write
}

/// A file over all tokens with little in it.
fn wide(engine: &mut Engine, timestamp: i64) {
    for place in [0, 63] {
        engine
            .apply(&insert(at(place), b"small", timestamp, b"value"))
            .unwrap();
    }
    engine.flush_all();
}

/// Makes files of all that is in memory.
fn flushed(engine: &mut Engine) {
    while engine.stats().memtable_bytes > 0 {
        let mut job = engine.next_job(NOW).unwrap();
        while job.step().unwrap() == Step::More {}
        engine.finish(job).unwrap();
    }
}

/// Runs what is offered until a compaction was: that of which table. `None`: there is none.
fn compaction(engine: &mut Engine) -> Option<TableId> {
    loop {
        let mut job = engine.next_job(NOW)?;
        let task = job.task();
        while job.step().unwrap() == Step::More {}
        engine.finish(job).unwrap();
        if let Some(Task::Compaction(table)) = task {
            return Some(table);
        }
    }
}

/// An engine with a table in 64 files side by side.
fn in_slices() -> Engine {
    let mut engine = opened(1, 2);
    engine.set_purge(TABLE, PurgePolicy::After { grace: 1 << 20 });
    for place in 0..64 {
        engine.apply(&large(place)).unwrap();
    }
    engine.flush_all();
    settle(&mut engine, NOW);
    engine.compact(TABLE);
    settle(&mut engine, NOW);
    assert_eq!((engine.stats().tables, crowd(&engine)), (64, 1));
    engine
}

fn crowd(engine: &Engine) -> usize {
    engine.tables[&TABLE].crowd
}

#[test]
fn files_side_by_side_are_not_written_again_for_one_over_all_of_them() {
    let mut engine = in_slices();
    engine.set_purge(TABLE, PurgePolicy::Keep);
    let bytes = engine.stats().table_bytes;
    let before = engine.stats().compacted_bytes_in;
    wide(&mut engine, 2);
    flushed(&mut engine);
    engine.compact(TABLE);
    settle(&mut engine, NOW);
    assert_eq!(engine.left_to_compact(TABLE), 0);
    assert_eq!(crowd(&engine), 1);
    let read = engine.stats().compacted_bytes_in - before;
    assert!(read < bytes, "{read} bytes are read for {bytes}");
}

#[test]
fn writes_are_not_slowed_down_for_a_compaction_of_everything() {
    let mut engine = in_slices();
    engine.compact(TABLE);
    let mut flushes = 0;
    while engine.left_to_compact(TABLE) > 0 {
        wide(&mut engine, flushes);
        flushes += 1;
        assert!(flushes < 1_000, "it comes to an end");
        compaction(&mut engine).expect("there is something to compact");
        assert_eq!(engine.write_delay(1 << 20), 0, "after {flushes} flushes");
    }
    assert!(flushes > 60, "{flushes}");
}

#[test]
fn no_table_waits_for_as_long_as_another_one_has_something_to_compact() {
    let mut engine = opened(1, 0);
    let write = |engine: &mut Engine, table, timestamp| {
        let mut write = insert(at(1), b"row", timestamp, b"value");
        write.table = TableId(table);
        engine.apply(&write).unwrap();
        engine.flush_all();
        flushed(engine);
    };
    write(&mut engine, 9, 1);
    write(&mut engine, 9, 2);
    let mut served = Vec::new();
    for turn in 0..6 {
        for flush in 0..2 {
            write(&mut engine, 1, turn * 2 + flush);
            write(&mut engine, 5, turn * 2 + flush);
        }
        served.extend(compaction(&mut engine));
    }
    assert_eq!(served, [1, 5, 9, 1, 5, 1].map(TableId));
}

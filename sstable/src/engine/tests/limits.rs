//! Bounds, and what happens beyond them.

use starling_model::{Clustering, Partition, Seconds, TableId, Token, TokenRange};

use crate::{
    Engine, Error, Options, Step, Task,
    fixtures::{TABLE, contents, dir, insert, key, open, settle, simple_row, small_options},
    fs::{MemoryFs, memory::Faults},
};
use std::sync::Arc;

fn fill(engine: &mut Engine) -> (u32, Error) {
    for number in 0_u32.. {
        let mutation = insert(key(1), &number.to_be_bytes(), 1, &[0; 1000]);
        if let Err(error) = engine.apply(&mutation) {
            return (number, error);
        }
        engine.log().sync().unwrap();
    }
    unreachable!("memory is bounded");
}

#[test]
fn writes_are_refused_when_memory_is_spent_and_taken_again_after_flushes() {
    let mut engine = open(&MemoryFs::new());
    let (written, error) = fill(&mut engine);
    assert!(
        matches!(error, Error::Overloaded { limit, .. } if limit == 1 << 20),
        "{error}"
    );
    assert!(error.to_string().contains("overloaded"));
    assert_eq!(engine.stats().refused, 1);
    settle(&mut engine, Seconds(1));
    assert_eq!(
        contents(&engine)[&key(1)].rows.len(),
        written as usize,
        "what was taken is there"
    );
    let (more, _) = fill(&mut engine);
    assert!(more > 100);
}

#[test]
fn writes_are_refused_when_too_much_waits_for_the_sync() {
    let options = Options {
        pending_bytes: 5_000,
        ..small_options()
    };
    let (mut engine, _) = Engine::open(Arc::new(MemoryFs::new()), dir(), options).unwrap();
    let write = insert(key(1), b"a", 1, &[0; 1000]);
    let taken = (0..100).take_while(|_| engine.apply(&write).is_ok()).count();
    assert_eq!(taken, 4);
    assert!(matches!(
        engine.apply(&write).unwrap_err(),
        Error::Overloaded { .. }
    ));
    engine.log().sync().unwrap();
    engine.apply(&write).unwrap();
}

#[test]
fn oversized_parts_are_refused_and_change_nothing() {
    let mut engine = open(&MemoryFs::new());
    let mut long_key = key(1);
    long_key.key = vec![1; 65_536].into();
    let mut huge = insert(key(1), b"a", 1, b"");
    huge.partition = Partition::default();
    for row in 0..3_u8 {
        let clustering = Clustering::from(vec![row]);
        huge.partition
            .add_row(clustering, simple_row(1, &vec![0; 6 << 20]));
    }
    for mutation in [
        insert(long_key, b"a", 1, b""),
        insert(key(1), &vec![1; 65_536], 1, b""),
        huge,
    ] {
        let error = engine.apply(&mutation).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
    assert!(contents(&engine).is_empty());
    let longest = insert(key(1), &vec![1; 65_535], 1, &vec![9; 1 << 20]);
    engine.apply(&longest).unwrap();
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    assert_eq!(contents(&engine)[&key(1)], longest.partition);
}

#[test]
fn a_full_disk_fails_a_flush_which_is_offered_again() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    for number in 0..50_u32 {
        let write = insert(key(1), &number.to_be_bytes(), 1, &[number as u8; 100]);
        engine.apply(&write).unwrap();
    }
    engine.log().sync().unwrap();
    let before = contents(&engine);
    let used = fs.used();
    fs.set_faults(Faults {
        capacity: Some(used + 500),
        fail_syncs: false,
    });
    engine.flush_all();
    for _ in 0..5 {
        let mut job = engine.next_job(Seconds(1)).expect("the flush is offered again");
        let failed = loop {
            match job.step() {
                Ok(Step::More) => {}
                Ok(Step::Done) => panic!("the disk is full"),
                Err(error) => break error,
            }
        };
        assert!(failed.to_string().contains("full"), "{failed}");
        engine.finish(job).unwrap();
        // Before the flush is tried again, what it left is removed.
        let mut removal = engine.next_job(Seconds(1)).unwrap();
        assert!(!removal.is_urgent(), "{removal:?}");
        assert_eq!(removal.step().unwrap(), Step::Done);
        engine.finish(removal).unwrap();
        assert_eq!(fs.used(), used, "what the failed flush wrote is gone");
        assert_eq!(contents(&engine), before);
    }
    fs.set_faults(Faults::default());
    settle(&mut engine, Seconds(1));
    assert_eq!(engine.stats().memtable_bytes, 0);
    assert_eq!(contents(&engine), before);
}

#[test]
fn a_long_log_makes_idle_tables_flush_and_segments_go() {
    let options = Options {
        log_bytes: 5_000,
        ..small_options()
    };
    let (mut engine, _) = Engine::open(Arc::new(MemoryFs::new()), dir(), options).unwrap();
    let mut idle = insert(key(1), b"a", 1, b"");
    idle.table = starling_model::TableId(99);
    engine.apply(&idle).unwrap();
    for number in 0..200_u32 {
        engine
            .apply(&insert(key(2), &number.to_be_bytes(), 1, &[0; 50]))
            .unwrap();
        engine.log().sync().unwrap();
        settle(&mut engine, Seconds(1));
        assert!(engine.stats().log_bytes < 8_000, "{:?}", engine.stats());
    }
}

/// An engine with two tables of some size that are to be merged, and what the disk has in use then.
fn with_two_tables(fs: &MemoryFs, place: &str, options: Options) -> Engine {
    let (mut engine, _) = Engine::open(Arc::new(fs.clone()), place.into(), options).unwrap();
    for from in [0_u32, 20] {
        for number in from..from + 20 {
            engine
                .apply(&insert(
                    key((number % 2) as u8 * 4 + 1),
                    &number.to_be_bytes(),
                    1,
                    &[7; 1000],
                ))
                .unwrap();
            engine.log().sync().unwrap();
        }
        engine.flush_all();
        while engine.stats().memtable_bytes > 0 {
            let mut job = engine.next_job(Seconds(1)).unwrap();
            while job.step().unwrap() == Step::More {}
            engine.finish(job).unwrap();
        }
    }
    assert_eq!(engine.stats().tables, 2);
    engine
}

#[test]
fn no_two_engines_count_on_the_same_free_bytes() {
    let fs = MemoryFs::new();
    let shared = Options {
        memtable_bytes: 1 << 20,
        compression: crate::Compression::None,
        block_bytes: 4096,
        table_bytes: 1 << 20,
        ..small_options()
    };
    let mut first = with_two_tables(&fs, "/first", shared.clone());
    let mut second = with_two_tables(&fs, "/second", shared);
    // Both have their room, and one of them the room for its compaction.
    let bytes = first.stats().table_bytes;
    let reserve = first.room().reserve;
    fs.set_faults(Faults {
        capacity: Some(1 << 30),
        ..Faults::default()
    });
    let used = (1 << 30) - first.room().free;
    fs.set_faults(Faults {
        capacity: Some(used + reserve + bytes * 5 / 4),
        ..Faults::default()
    });
    let compaction = |engine: &mut Engine, now| loop {
        let mut job = engine.next_job(Seconds(now))?;
        if format!("{job:?}").starts_with("Compaction") {
            return Some(job);
        }
        while job.step().unwrap() == Step::More {}
        engine.finish(job).unwrap();
    };
    for engine in [&mut first, &mut second] {
        engine.compact(TABLE);
    }
    let mut job = compaction(&mut first, 1).expect("there is room for one");
    assert!(second.room().left() < bytes / 3);
    assert!(compaction(&mut second, 1).is_none(), "that room is taken");
    // Of an export too.
    let (told, outcome) = std::sync::mpsc::channel();
    let part = TokenRange {
        start: Token(-3_000),
        end: Token(-1_000),
    };
    let done = move |outcome: Result<_, Error>| told.send(outcome.map(drop)).unwrap();
    second
        .export(TABLE, &part.into(), &[part], "/out".into(), done)
        .unwrap();
    assert!(compaction(&mut second, 1).is_none());
    assert!(matches!(outcome.try_recv().unwrap(), Err(Error::NoSpace { .. })));
    // Once it is done, so is what it was promised.
    while job.step().unwrap() == Step::More {}
    first.finish(job).unwrap();
    settle(&mut first, Seconds(1));
    assert_eq!(second.room().promised, 0);
    fs.set_faults(Faults::default());
    let job = compaction(&mut second, 100).expect("its turn has come");
    assert_eq!(first.room().promised, bytes);
    drop(job);
    drop(second);
    assert_eq!(first.room().promised, 0, "who is gone writes nothing");
}

#[test]
fn a_compaction_waits_for_room_no_longer_than_there_is_none() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    for round in 0..2 {
        fs.set_faults(Faults {
            // All that flushes may need is kept free.
            capacity: (round == 1).then(|| fs.used() + engine.room().reserve),
            fail_syncs: false,
        });
        for n in 0..10 {
            engine.apply(&insert(key(n), b"a", round, &[1; 20])).unwrap();
        }
        engine.flush_all();
        settle(&mut engine, Seconds(1));
    }
    engine.compact(TABLE);
    settle(&mut engine, Seconds(1));
    assert!(engine.left_to_compact(TABLE) > 0);
    let (needs, room) = engine.lacks_room(None).expect("there is no room");
    assert!(needs > room.left(), "{needs} of {room:?}");
    assert_eq!(engine.lacks_room(Some(&[TABLE])), Some((needs, room)));
    assert_eq!(engine.lacks_room(Some(&[TableId(99)])), None);
    fs.set_faults(Faults::default());
    assert_eq!(
        engine.lacks_room(None),
        None,
        "also before it is looked for again"
    );
    let job = engine.next_job(Seconds(1)).expect("in the same second");
    assert_eq!(job.task(), Some(Task::Compaction(TABLE)));
}

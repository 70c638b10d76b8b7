//! Where the process gets no more maps.

use std::{io::ErrorKind, sync::Arc};

use starling_model::Seconds;

use crate::{
    Engine, Error, Step,
    fixtures::{TABLE, contents, dir, insert, key, open, settle, small_options},
    fs::MemoryFs,
};

/// Runs jobs until one fails: what it was, and why.
fn failure(engine: &mut Engine) -> (String, Error) {
    loop {
        let mut job = engine.next_job(Seconds(1)).expect("what fails is tried again");
        let failed = loop {
            match job.step() {
                Ok(Step::More) => {}
                Ok(Step::Done) => break None,
                Err(error) => break Some(error),
            }
        };
        let name = format!("{job:?}");
        engine.finish(job).unwrap();
        if let Some(error) = failed {
            return (name, error);
        }
    }
}

fn write(engine: &mut Engine, rows: std::ops::Range<u8>) {
    for row in rows {
        engine.apply(&insert(key(1), &[row], 1, &[row; 50])).unwrap();
    }
    engine.log().sync().unwrap();
}

#[test]
fn without_maps_compactions_and_flushes_wait_and_nothing_is_lost() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    for rows in [0..10, 5..15] {
        write(&mut engine, rows);
        engine.flush_all();
        settle(&mut engine, Seconds(1));
    }
    assert_eq!(engine.stats().tables, 2);
    let used = fs.used();
    engine.compact(TABLE);
    fs.refuse_maps(true);
    for work in ["Compaction", "Flush"] {
        for _ in 0..3 {
            let (failed, error) = failure(&mut engine);
            assert!(failed.starts_with(work), "{failed}");
            assert!(
                matches!(&error, Error::Io { source, .. } if source.kind() == ErrorKind::OutOfMemory),
                "{error}"
            );
            assert!(!error.is_full(), "no room on the disk is waited for");
            assert_eq!(engine.stats().tables, 2);
            assert!(contents(&engine)[&key(1)].rows.len() >= 15, "reads go on");
        }
        write(&mut engine, 15..20);
        engine.flush_all();
    }
    assert!(fs.used() < 4 * used, "what fails leaves nothing behind for good");
    assert_eq!(engine.left_to_compact(TABLE), engine.stats().table_bytes);
    fs.refuse_maps(false);
    settle(&mut engine, Seconds(1));
    assert_eq!(engine.stats().memtable_bytes, 0);
    assert_eq!(engine.left_to_compact(TABLE), 0);
    let rows = &contents(&engine)[&key(1)].rows;
    assert_eq!(rows.len(), 20);
    let survived = fs.after_crash(&mut |_, _| 0);
    assert_eq!(&contents(&open(&survived))[&key(1)].rows, rows);
}

#[test]
fn an_engine_that_gets_no_maps_does_not_open_and_changes_nothing() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    write(&mut engine, 0..10);
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    let before = contents(&engine);
    drop(engine);
    fs.refuse_maps(true);
    let refused = Engine::open(Arc::new(fs.clone()), dir(), small_options()).map(drop);
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    fs.refuse_maps(false);
    let mut engine = open(&fs);
    assert_eq!(contents(&engine), before);
    assert!(engine.quarantined().is_empty(), "it is not taken for damaged");
}

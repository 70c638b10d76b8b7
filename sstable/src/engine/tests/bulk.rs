//! Whole tables going out and coming in: snapshots, ingests, announcements.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use starling_model::{Seconds, TableId, Token, TokenRange};

use crate::{
    Engine, Error, Job, Options, Origin, Step,
    engine::snapshot,
    fixtures::{TABLE, contents, dir, everything, insert, key, open, settle, small_options},
    fs::{Fs, MemoryFs, memory::Faults},
};

type Outcome = Arc<Mutex<Option<Result<(), Error>>>>;

/// Where an outcome goes, and how it gets there.
fn outcome() -> (Outcome, impl FnOnce(Result<(), Error>) + Send + 'static) {
    let outcome = Outcome::default();
    let told = Arc::clone(&outcome);
    (outcome, move |result| *told.lock().unwrap() = Some(result))
}

fn taken(outcome: &Outcome) -> Result<(), Error> {
    outcome.lock().unwrap().take().expect("it is told")
}

fn fill(engine: &mut Engine, from: i64, count: i64) {
    for number in from..from + count {
        let mutation = insert(key((number % 8) as u8), &number.to_be_bytes(), number, b"value");
        engine.apply(&mutation).unwrap();
        if number % 10 == 0 {
            engine.flush_all();
        }
    }
    engine.log().sync().unwrap();
}

/// Runs jobs like `settle`, but gives those up that fail.
fn work(engine: &mut Engine, rounds: usize) {
    for _ in 0..rounds {
        let Some(mut job) = engine.next_job(Seconds(1)) else {
            return;
        };
        while matches!(job.step(), Ok(Step::More)) {}
        engine.finish(job).unwrap();
    }
}

fn open_at(fs: &MemoryFs, dir: &Path) -> Engine {
    Engine::open(Arc::new(fs.clone()), dir.to_path_buf(), small_options())
        .unwrap()
        .0
}

#[test]
fn a_snapshot_is_an_engine_of_its_own() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    fill(&mut engine, 0, 55);
    let place = engine.snapshots().join("first");
    let before = contents(&engine);
    let (told, done) = outcome();
    engine.snapshot(place.clone(), None, done).unwrap();
    // Goes on while the snapshot is made, and comes too late for it once its flush has begun.
    settle(&mut engine, Seconds(1));
    taken(&told).unwrap();
    fill(&mut engine, 100, 60);
    engine.compact(TABLE);
    settle(&mut engine, Seconds(1));
    assert_eq!(
        snapshot::list(&fs, &engine.snapshots()).unwrap(),
        std::slice::from_ref(&place)
    );
    assert_eq!(engine.stats().snapshots, 1);
    drop(engine);
    // It is durable, and nothing that happens to it touches the engine.
    let fs = fs.after_crash(&mut |_, _| 0);
    let mut copy = open_at(&fs, &place);
    assert_eq!(contents(&copy), before);
    fill(&mut copy, 200, 40);
    copy.compact(TABLE);
    settle(&mut copy, Seconds(1));
    drop(copy);
    let engine = open(&fs);
    assert_eq!(
        contents(&engine)
            .values()
            .map(|partition| partition.rows.len())
            .sum::<usize>(),
        115
    );
    assert_eq!(
        snapshot::list(&fs, &engine.snapshots()).unwrap(),
        std::slice::from_ref(&place)
    );
}

#[test]
fn a_deleted_snapshot_is_gone_and_nothing_else() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    fill(&mut engine, 0, 30);
    let (told, done) = outcome();
    engine.snapshot("/elsewhere/first".into(), None, done).unwrap();
    settle(&mut engine, Seconds(1));
    taken(&told).unwrap();
    let (told, done) = outcome();
    engine.snapshot("/elsewhere/first".into(), None, done).unwrap();
    work(&mut engine, 10);
    assert!(
        matches!(taken(&told), Err(Error::Invalid(_))),
        "the place is taken"
    );
    let parent = Path::new("/elsewhere");
    assert_eq!(snapshot::list(&fs, parent).unwrap().len(), 1);
    snapshot::delete(&fs, &parent.join("first")).unwrap();
    assert_eq!(fs.list(parent).unwrap(), Vec::<PathBuf>::new());
    drop(engine);
    assert_eq!(contents(&open(&fs)).len(), 8);
}

#[test]
fn an_unfinished_snapshot_is_recognised_and_cleared_away() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    fill(&mut engine, 0, 30);
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    let place = engine.snapshots().join("half");
    let (told, done) = outcome();
    engine.snapshot(place.clone(), None, done).unwrap();
    // The manifest can't be written: what was linked goes again.
    fs.set_faults(Faults {
        fail_syncs: true,
        ..Faults::default()
    });
    work(&mut engine, 3);
    assert!(matches!(taken(&told), Err(Error::Io { .. })));
    assert!(
        fs.list(&place).unwrap().is_empty(),
        "when it is told, the links are gone"
    );
    fs.set_faults(Faults::default());
    work(&mut engine, 10);
    assert!(snapshot::list(&fs, &engine.snapshots()).unwrap().is_empty());
    drop(engine);
    // A crash leaves tables without a manifest.
    fs.create_dir_all(&place).unwrap();
    let table = files(&fs, ".table").remove(0);
    fs.hard_link(&table, &place.join(table.file_name().unwrap()))
        .unwrap();
    fs.sync_dir(&place).unwrap();
    let engine = open(&fs);
    assert!(!fs.exists(&place).unwrap());
    assert_eq!(contents(&engine).len(), 8);
}

/// What clears away behind a snapshot that failed must not take the links of the next one in the same place.
#[test]
fn a_snapshot_that_follows_one_that_failed_keeps_its_links() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    fill(&mut engine, 0, 30);
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    let place = PathBuf::from("/elsewhere/again");
    let (told, done) = outcome();
    engine.snapshot(place.clone(), None, done).unwrap();
    fs.set_faults(Faults {
        fail_syncs: true,
        ..Faults::default()
    });
    while told.lock().unwrap().is_none() {
        work(&mut engine, 1);
    }
    assert!(matches!(taken(&told), Err(Error::Io { .. })));
    fs.set_faults(Faults::default());
    // Who asked removes the directory, and asks again before any other work is done.
    assert_eq!(
        snapshot::remove_unfinished(&fs, Path::new("/elsewhere")).unwrap(),
        1
    );
    let (told, done) = outcome();
    engine.snapshot(place.clone(), None, done).unwrap();
    // Whatever is to be done may be done by several threads, in any order.
    let jobs = std::iter::from_fn(|| engine.next_job(Seconds(1)));
    let mut jobs: Vec<Job> = jobs.take(8).collect();
    while let Some(mut job) = jobs.pop() {
        while job.step().unwrap() == Step::More {}
        engine.finish(job).unwrap();
    }
    settle(&mut engine, Seconds(1));
    taken(&told).unwrap();
    let expected = contents(&engine);
    drop(engine);
    assert_eq!(contents(&open_at(&fs, &place)), expected);
}

fn files(fs: &MemoryFs, suffix: &str) -> Vec<PathBuf> {
    let mut all = fs.list(&dir()).unwrap();
    all.retain(|path| path.to_string_lossy().ends_with(suffix));
    all
}

/// Tables of another engine.
fn foreign(fs: &MemoryFs, from: i64, count: i64) -> (Vec<PathBuf>, crate::fixtures::Content) {
    let place = Path::new("/foreign");
    let mut engine = open_at(fs, place);
    fill(&mut engine, from, count);
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    let content = contents(&engine);
    let mut files = fs.list(place).unwrap();
    files.retain(|path| path.extension().is_some_and(|suffix| suffix == "table"));
    (files, content)
}

#[test]
fn ready_tables_are_taken_in_while_everything_goes_on() {
    let fs = MemoryFs::new();
    let (tables, expected) = foreign(&fs, 1_000, 40);
    let mut engine = open(&fs);
    fill(&mut engine, 0, 30);
    let (told, done) = outcome();
    engine.ingest(TABLE, tables.clone(), done).unwrap();
    fill(&mut engine, 40, 30);
    settle(&mut engine, Seconds(1));
    taken(&told).unwrap();
    let all = contents(&engine);
    for (key, partition) in &expected {
        for (clustering, row) in &partition.rows {
            assert_eq!(all[key].rows.get(clustering), Some(row));
        }
    }
    assert_eq!(engine.stats().ingests, 1);
    engine.compact(TABLE);
    settle(&mut engine, Seconds(1));
    assert_eq!(contents(&engine), all);
    drop(engine);
    let fs = fs.after_crash(&mut |_, _| 0);
    assert_eq!(contents(&open(&fs)), all);
    assert!(fs.exists(&tables[0]).unwrap(), "the files themselves stay");
}

#[test]
fn one_bad_file_keeps_all_of_them_out() {
    let fs = MemoryFs::new();
    let (tables, _) = foreign(&fs, 1_000, 40);
    let length = fs.read(&tables[0]).unwrap().len();
    let mut engine = open(&fs);
    fill(&mut engine, 0, 30);
    settle(&mut engine, Seconds(1));
    let before = (contents(&engine), files(&fs, ".table"));
    for at in [0, length / 3, length - 1] {
        fs.damage(&tables[0], |bytes| bytes[at] ^= 1).unwrap();
        let (told, done) = outcome();
        engine.ingest(TABLE, tables.clone(), done).unwrap();
        work(&mut engine, 20);
        let error = taken(&told).unwrap_err();
        assert!(
            matches!(error, Error::Corrupt { .. } | Error::Version { .. }),
            "{error}"
        );
        fs.damage(&tables[0], |bytes| bytes[at] ^= 1).unwrap();
        assert_eq!((contents(&engine), files(&fs, ".table")), before);
        assert_eq!(engine.stats().quarantined, 0);
    }
    drop(engine);
    // Tokens of another shard.
    let slice = Options {
        tokens: TokenRange {
            start: Token(0),
            end: Token(i64::MAX),
        },
        ..small_options()
    };
    let (mut engine, _) = Engine::open(Arc::new(fs.clone()), "/slice".into(), slice).unwrap();
    let (told, done) = outcome();
    engine.ingest(TABLE, tables, done).unwrap();
    work(&mut engine, 20);
    assert!(matches!(taken(&told), Err(Error::Invalid(_))));
    assert!(engine.read(&everything()).unwrap().page.partitions.is_empty());
}

#[test]
fn a_truncation_keeps_out_what_was_on_its_way() {
    let fs = MemoryFs::new();
    let (tables, _) = foreign(&fs, 1_000, 10);
    let mut engine = open(&fs);
    let (told, done) = outcome();
    engine.ingest(TABLE, tables, done).unwrap();
    work(&mut engine, 1);
    engine.truncate(TABLE).unwrap();
    work(&mut engine, 20);
    assert!(matches!(taken(&told), Err(Error::Invalid(_))));
    assert!(contents(&engine).is_empty());
    assert!(files(&fs, ".table").is_empty());
}

/// The hook waits for a disk; the thread that serves requests takes jobs back and must not.
#[test]
fn tables_are_announced_by_the_jobs_that_install_them() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    let (in_step, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (stepping, told) = (Arc::clone(&in_step), Arc::clone(&seen));
    engine.on_final(Box::new(move |table| {
        assert!(
            stepping.load(Ordering::SeqCst),
            "a step waits for the disk, and nobody else"
        );
        assert_eq!(table.origin, Origin::Flush);
        told.fetch_add(1, Ordering::SeqCst);
    }));
    fill(&mut engine, 0, 5);
    engine.flush_all();
    // Up to the install, whose job is not taken back.
    let install = loop {
        let mut job = engine.next_job(Seconds(1)).unwrap();
        in_step.store(true, Ordering::SeqCst);
        while job.step().unwrap() == Step::More {}
        in_step.store(false, Ordering::SeqCst);
        if format!("{job:?}") == "Install" {
            break job;
        }
        engine.finish(job).unwrap();
    };
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    // A truncation that overtakes it has the file removed, which was announced before.
    engine.truncate(TABLE).unwrap();
    engine.finish(install).unwrap();
    settle(&mut engine, Seconds(1));
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    assert!(contents(&engine).is_empty());
}

#[test]
fn every_final_table_is_announced_before_it_can_go() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    fill(&mut engine, 0, 20);
    settle(&mut engine, Seconds(1));
    let backup = PathBuf::from("/backup");
    fs.create_dir_all(&backup).unwrap();
    let seen: Arc<Mutex<BTreeSet<(TableId, u64)>>> = Arc::default();
    let origins: Arc<Mutex<Vec<Origin>>> = Arc::default();
    let (disk, notes, from) = (fs.clone(), Arc::clone(&seen), Arc::clone(&origins));
    engine.on_final(Box::new(move |table| {
        assert!(notes.lock().unwrap().insert((table.table, table.number)), "once");
        from.lock().unwrap().push(table.origin);
        disk.hard_link(table.path, &backup.join(table.path.file_name().unwrap()))
            .unwrap();
    }));
    assert_eq!(seen.lock().unwrap().len(), engine.stats().tables);
    let before = std::mem::take(&mut *origins.lock().unwrap());
    assert!(before.iter().all(|origin| *origin == Origin::Before));
    let (flushed, flushes) = (seen.lock().unwrap().len(), engine.stats().flushes);
    fill(&mut engine, 20, 80);
    settle(&mut engine, Seconds(1));
    engine.compact(TABLE);
    settle(&mut engine, Seconds(1));
    let announced = seen.lock().unwrap().len() as u64;
    assert!(announced > engine.stats().flushes, "{announced}");
    assert_eq!(fs.list(Path::new("/backup")).unwrap().len() as u64, announced);
    let (tables, _) = foreign(&fs, 1_000, 10);
    let (told, done) = outcome();
    let taken_in = tables.len();
    engine.ingest(TABLE, tables, done).unwrap();
    settle(&mut engine, Seconds(1));
    taken(&told).unwrap();
    let count = |origin| {
        origins
            .lock()
            .unwrap()
            .iter()
            .filter(|other| **other == origin)
            .count()
    };
    assert_eq!(count(Origin::Flush) as u64, engine.stats().flushes - flushes);
    assert_eq!(count(Origin::Ingest), taken_in);
    assert_eq!(
        count(Origin::Compaction),
        seen.lock().unwrap().len() - flushed - count(Origin::Flush) - taken_in
    );
    assert!(count(Origin::Compaction) > 0);
}

#[test]
fn a_snapshot_of_some_tables_holds_no_others() {
    const OTHER: TableId = TableId(8);
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    fill(&mut engine, 0, 30);
    let mut other = insert(key(1), b"other", 1, b"value");
    other.table = OTHER;
    engine.apply(&other).unwrap();
    engine.log().sync().unwrap();
    let place = engine.snapshots().join("some");
    let (told, done) = outcome();
    engine
        .snapshot(place.clone(), Some(BTreeSet::from([OTHER])), done)
        .unwrap();
    settle(&mut engine, Seconds(1));
    taken(&told).unwrap();
    assert!(
        engine.stats().memtable_bytes > 0,
        "the other table was not flushed"
    );
    drop(engine);
    let copy = open_at(&fs, &place);
    assert!(contents(&copy).is_empty());
    assert_eq!(copy.stats().tables, 1);
}

#[test]
fn who_asks_for_a_flush_is_told_once_all_is_in_tables() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    let (told, done) = outcome();
    engine.flush(done).unwrap();
    taken(&told).expect("there was nothing to flush");
    fill(&mut engine, 1, 5);
    let (told, done) = outcome();
    engine.flush(done).unwrap();
    // What comes later does not hold it up.
    fill(&mut engine, 11, 5);
    fs.set_faults(Faults {
        fail_syncs: true,
        ..Faults::default()
    });
    work(&mut engine, 5);
    assert!(told.lock().unwrap().is_none(), "the disk does not take it");
    assert_eq!(engine.stats().tables, 0);
    fs.set_faults(Faults::default());
    settle(&mut engine, Seconds(1));
    taken(&told).unwrap();
    assert_eq!(engine.stats().tables, 1);
    assert!(engine.stats().memtable_bytes > 0);
}

#[test]
fn a_compaction_that_was_asked_for_tells_how_much_is_left() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    fill(&mut engine, 0, 25);
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    fill(&mut engine, 101, 8);
    engine.flush_all();
    while engine.stats().memtable_bytes > 0 {
        work(&mut engine, 1);
    }
    assert!(engine.stats().tables > 1);
    assert_eq!(engine.left_to_compact(TABLE), 0, "nobody asked");
    engine.compact(TABLE);
    assert_eq!(engine.left_to_compact(TABLE), engine.stats().table_bytes);
    // One that fails is still to come.
    fs.set_faults(Faults {
        fail_syncs: true,
        ..Faults::default()
    });
    work(&mut engine, 5);
    assert_eq!(engine.left_to_compact(TABLE), engine.stats().table_bytes);
    fs.set_faults(Faults::default());
    settle(&mut engine, Seconds(1));
    assert_eq!(engine.left_to_compact(TABLE), 0);
    // Tables that don't overlap have nothing to be merged with.
    engine.compact(TABLE);
    assert_eq!(engine.left_to_compact(TABLE), engine.stats().table_bytes);
    settle(&mut engine, Seconds(1));
    assert_eq!(engine.left_to_compact(TABLE), 0);
}

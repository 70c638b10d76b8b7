//! Crashes, failures of the disk, and damage.

use std::{path::PathBuf, sync::Arc};

use starling_model::Seconds;

use crate::{
    Engine, Error, Lsn,
    fixtures::{
        Content, TABLE, contents, dir, everything, insert, key, merge_into, open, settle, small_options,
    },
    fs::{Fs, MemoryFs, memory::Faults},
};

fn files(fs: &MemoryFs, suffix: &str) -> Vec<PathBuf> {
    let all = fs.list(&dir()).unwrap();
    all.into_iter()
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect()
}

fn reopen(fs: &MemoryFs) -> Result<Engine, Error> {
    Engine::open(Arc::new(fs.clone()), dir(), small_options()).map(|(engine, _)| engine)
}

#[test]
fn the_logs_next_file_is_made_by_a_job() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    assert!(engine.next_job(Seconds(1)).is_none());
    engine.apply(&insert(key(1), b"a", 1, &[1; 120])).unwrap();
    engine.log().sync().unwrap();
    let mut job = engine.next_job(Seconds(1)).expect("a quarter is used");
    assert_eq!(
        (format!("{job:?}"), job.is_urgent()),
        ("LogFile".to_owned(), true)
    );
    assert!(engine.next_job(Seconds(1)).is_none(), "one at a time");
    fs.set_faults(Faults {
        capacity: Some(fs.used()),
        fail_syncs: false,
    });
    job.step().unwrap_err();
    engine.finish(job).unwrap();
    fs.set_faults(Faults::default());
    assert_eq!(files(&fs, ".log").len(), 1);
    settle(&mut engine, Seconds(1));
    assert_eq!(files(&fs, ".log").len(), 2, "it was offered again");
}

#[test]
fn a_read_says_which_sync_it_waits_for() {
    let mut engine = open(&MemoryFs::new());
    let first = engine.apply(&insert(key(1), b"a", 1, b"")).unwrap();
    assert_eq!(engine.read(&everything()).unwrap().durable_at, first);
    assert_eq!(engine.log().sync().unwrap(), first);
    assert_eq!(engine.read(&everything()).unwrap().durable_at, Lsn::ZERO);
    let second = engine.apply(&insert(key(2), b"a", 1, b"")).unwrap();
    let mut other = everything();
    other.keys = starling_model::KeyRange::Partition(key(1));
    assert_eq!(
        engine.read(&other).unwrap().durable_at,
        Lsn::ZERO,
        "another partition's write does not matter"
    );
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    assert!(engine.log().synced() < second);
    assert_eq!(
        engine.read(&everything()).unwrap().durable_at,
        Lsn::ZERO,
        "what is in a table is durable"
    );
}

#[test]
fn a_failed_sync_stops_writes_but_not_reads_until_the_disk_works() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    engine.apply(&insert(key(1), b"a", 1, b"x")).unwrap();
    fs.set_faults(Faults {
        capacity: None,
        fail_syncs: true,
    });
    for _ in 0..2 {
        assert!(matches!(engine.log().sync().unwrap_err(), Error::Io { .. }));
        let refused = engine.apply(&insert(key(1), b"b", 1, b"x")).unwrap_err();
        assert!(matches!(refused, Error::LogFailed(_)));
        assert!(engine.stats().log_refuses);
    }
    assert_eq!(engine.log().synced(), Lsn::ZERO);
    assert_eq!(contents(&engine)[&key(1)].rows.len(), 1);
    fs.set_faults(Faults::default());
    assert_eq!(engine.log().sync().unwrap(), Lsn(1));
    engine.apply(&insert(key(1), b"b", 1, b"x")).unwrap();
    engine.log().sync().unwrap();
    let survived = fs.after_crash(&mut |_, _| 0);
    assert_eq!(contents(&open(&survived)), contents(&engine));
}

#[test]
fn an_engine_opens_on_a_full_disk_for_reads_and_takes_writes_once_there_is_room() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    for number in 0..20_u8 {
        engine.apply(&insert(key(1), &[number], 1, &[1; 50])).unwrap();
        engine.log().sync().unwrap();
    }
    let before = contents(&engine);
    drop(engine);
    let full = Faults {
        capacity: Some(fs.used()),
        fail_syncs: false,
    };
    fs.set_faults(full);
    let mut engine = open(&fs);
    assert_eq!(contents(&engine), before);
    let refused = engine.apply(&insert(key(2), b"new", 1, b"x")).unwrap_err();
    assert!(refused.is_full(), "{refused}");
    fs.set_faults(Faults::default());
    engine.log().sync().unwrap();
    engine.apply(&insert(key(2), b"new", 1, b"x")).unwrap();
    engine.log().sync().unwrap();
    let survived = fs.after_crash(&mut |_, _| 0);
    assert_eq!(contents(&open(&survived)), contents(&engine));
}

#[test]
fn truncated_data_stays_away_after_crashes_and_later_writes_stay() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    for number in 0..20_u8 {
        engine
            .apply(&insert(key(number % 4), &[number], 5, b"old"))
            .unwrap();
    }
    engine.log().sync().unwrap();
    // These are lost by the crash, and with them their numbers in the log.
    for number in 20..40_u8 {
        engine
            .apply(&insert(key(number % 4), &[number], 5, b"old"))
            .unwrap();
    }
    engine.truncate(TABLE).unwrap();
    let fs = fs.after_crash(&mut |_, _| 0);
    let mut engine = open(&fs);
    assert!(contents(&engine).is_empty());
    // Older by timestamp than what was truncated, but later.
    let write = insert(key(1), b"new", 1, b"new");
    let lsn = engine.apply(&write).unwrap();
    assert_eq!(engine.log().sync().unwrap(), lsn);
    let mut expected = Content::new();
    merge_into(&mut expected, &write);
    for _ in 0..3 {
        let fs = fs.after_crash(&mut |_, _| 0);
        assert_eq!(contents(&open(&fs)), expected);
    }
}

#[test]
fn a_job_of_before_a_truncation_brings_nothing_back() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    engine.apply(&insert(key(1), b"a", 1, b"x")).unwrap();
    engine.flush_all();
    let mut job = engine.next_job(Seconds(1)).unwrap();
    while job.step().unwrap() == crate::Step::More {}
    engine.truncate(TABLE).unwrap();
    engine.finish(job).unwrap();
    assert!(contents(&engine).is_empty());
    settle(&mut engine, Seconds(1));
    assert_eq!(files(&fs, ".table"), Vec::<PathBuf>::new());
    assert!(contents(&open(&fs)).is_empty());
}

#[test]
fn replay_is_idempotent_and_counted() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    for number in 0..4_u8 {
        engine.apply(&insert(key(1), &[number], 1, b"x")).unwrap();
    }
    engine.log().sync().unwrap();
    let before = contents(&engine);
    for _ in 0..3 {
        let (engine, recovery) = Engine::open(Arc::new(fs.clone()), dir(), small_options()).unwrap();
        assert_eq!(
            (recovery.replayed, recovery.skipped, recovery.torn_bytes),
            (4, 0, 0)
        );
        assert_eq!(contents(&engine), before);
    }
}

#[test]
fn segments_go_once_their_writes_are_in_tables() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    for number in 0..100_u8 {
        engine.apply(&insert(key(1), &[number], 1, &[1; 50])).unwrap();
        engine.log().sync().unwrap();
    }
    assert!(files(&fs, ".log").len() > 10);
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    // The one that is written, and the next one.
    assert!(files(&fs, ".log").len() <= 2);
    let before = contents(&engine);
    let (engine, recovery) = Engine::open(Arc::new(fs.clone()), dir(), small_options()).unwrap();
    assert_eq!(recovery.replayed, 0);
    assert_eq!(contents(&engine), before);
    assert_eq!(files(&fs, ".log").len(), 0);
}

#[test]
fn recovery_of_more_than_memory_holds_writes_tables_on_the_way() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    for number in 0..200_u8 {
        engine
            .apply(&insert(key(number % 8), &[number], 1, &[1; 200]))
            .unwrap();
    }
    engine.log().sync().unwrap();
    let before = contents(&engine);
    let engine = open(&fs);
    assert!(engine.stats().tables > 3);
    assert!(engine.stats().memtable_bytes < small_options().memtable_bytes);
    assert_eq!(contents(&engine), before);
    assert_eq!(contents(&open(&fs)), before);
}

#[test]
fn a_missing_manifest_or_table_or_segment_is_an_error_that_names_it() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    for number in 0..60_u8 {
        engine.apply(&insert(key(1), &[number], 1, &[1; 50])).unwrap();
        engine.log().sync().unwrap();
        if number == 20 {
            engine.flush_all();
            settle(&mut engine, Seconds(1));
        }
    }
    let logs = files(&fs, ".log");
    assert!(logs.len() > 3);
    let mut missing = vec![dir().join("manifest"), logs[0].clone(), logs[1].clone()];
    missing.extend(files(&fs, ".table"));
    for path in missing {
        let fs = fs.after_crash(&mut |_, _| 0);
        fs.remove(&path).unwrap();
        let error = reopen(&fs).expect_err("something is missing");
        assert!(
            matches!(error, Error::Corrupt { .. } | Error::Io { .. }),
            "{}: {error}",
            path.display()
        );
    }
}

#[test]
fn damage_to_any_file_is_an_error_and_not_a_silent_loss() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    for number in 0..30_u8 {
        engine
            .apply(&insert(key(number % 8), &[number], 1, &[number; 20]))
            .unwrap();
        engine.log().sync().unwrap();
        if number == 15 {
            engine.flush_all();
            settle(&mut engine, Seconds(1));
        }
    }
    // A whole write after each that is damaged, in the same segment or the next.
    let before = contents(&engine);
    let mut begun = files(&fs, ".log");
    begun.retain(|path| !fs.read(path).unwrap().is_empty());
    let last = begun.pop().unwrap();
    for path in fs.list(&dir()).unwrap().into_iter().filter(|path| *path != last) {
        let length = fs.read(&path).unwrap().len();
        for at in 0..length {
            let fs = fs.after_crash(&mut |_, _| 0);
            fs.damage(&path, |bytes| bytes[at] ^= 0x10).unwrap();
            let result = reopen(&fs).and_then(|engine| engine.read(&everything()));
            match result {
                Err(Error::Corrupt { file, .. }) => assert!(file.starts_with(dir())),
                Err(Error::Version { .. }) => {}
                Err(other) => panic!("{} at {at}: {other}", path.display()),
                // A byte of a filter or of the index of the filters is not read by a scan of all.
                Ok(result) => assert_eq!(
                    crate::fixtures::content_of(result.page),
                    before,
                    "{} at {at}",
                    path.display()
                ),
            }
        }
    }
}

#[test]
fn a_recovery_tells_how_far_it_is() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    for number in 0..60_i64 {
        let mutation = insert(key((number % 8) as u8), &number.to_be_bytes(), number, b"value");
        engine.apply(&mutation).unwrap();
        engine.log().sync().unwrap();
    }
    drop(engine);
    let mut told = Vec::new();
    let mut progress = |progress| told.push(progress);
    let (_, recovery) =
        Engine::open_watched(Arc::new(fs.clone()), dir(), small_options(), &mut progress).unwrap();
    let last = *told.last().unwrap();
    assert!(told.len() > 2, "{told:?}");
    assert!(told.is_sorted_by_key(|progress| (progress.read, progress.bytes, progress.writes)));
    assert!(told.iter().all(|progress| progress.read_in_all == last.read));
    assert_eq!((last.segments, last.segments_in_all), (told.len(), told.len()));
    assert_eq!((last.writes, last.bytes), (recovery.replayed, recovery.log_bytes));
    assert_eq!(recovery.replayed, 60);
}

//! Damaged blocks: their tokens can't be read until they are healed, and everything else can.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use starling_model::{DecoratedKey, KeyRange, Mutation, ReadCommand, Seconds, Token};

use crate::{
    Compression, Engine, Error, Options, Step,
    checksum::checksum_at,
    fixtures::{Content, TABLE, content_of, contents, dir, everything, insert, settle, small_options},
    fs::{Fs, MemoryFs},
    table::{self, Target, key::Kind},
};

pub(super) const PARTITIONS: i64 = 200;

pub(super) fn key(number: i64) -> DecoratedKey {
    DecoratedKey {
        token: Token((number - PARTITIONS / 2) * 1_000),
        key: number.to_be_bytes().to_vec().into(),
    }
}

pub(super) fn write(number: i64) -> Mutation {
    insert(key(number), b"row", 1_000 + number, b"a value of some length")
}

/// What is flushed is one table, and nothing is compacted unless it is asked for.
pub(super) fn options() -> Options {
    Options {
        memtable_bytes: 1 << 20,
        memory_bytes: 8 << 20,
        ..small_options()
    }
}

fn open(fs: &MemoryFs) -> Engine {
    Engine::open(Arc::new(fs.clone()), dir(), options()).unwrap().0
}

/// An engine with everything in one table, and its path.
pub(super) fn filled(fs: &MemoryFs) -> (Engine, PathBuf) {
    filled_with(fs, options())
}

pub(super) fn filled_with(fs: &MemoryFs, options: Options) -> (Engine, PathBuf) {
    let mut engine = Engine::open(Arc::new(fs.clone()), dir(), options).unwrap().0;
    for number in 0..PARTITIONS {
        engine.apply(&write(number)).unwrap();
    }
    engine.log().sync().unwrap();
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    let table = engine.files(TABLE).remove(0);
    (engine, table.path().to_path_buf())
}

/// Flips a bit at one of so many equal parts of a file.
fn spoil(fs: &MemoryFs, path: &Path, parts: usize) {
    fs.damage(path, |bytes| {
        let at = bytes.len() / parts;
        bytes[at] ^= 1;
    })
    .unwrap();
}

pub(super) fn one(number: i64) -> ReadCommand {
    ReadCommand {
        keys: KeyRange::Partition(key(number)),
        ..everything()
    }
}

/// Which partitions can be read, and those that fail.
pub(super) fn survey(engine: &Engine) -> (Vec<i64>, Vec<i64>) {
    (0..PARTITIONS).partition(|number| {
        let read = engine.read(&one(*number));
        let got = engine.get(TABLE, &key(*number), b"row", None);
        // A page looks one entry further than a row.
        assert!(read.is_err() || got.is_ok(), "{number}");
        match read {
            Ok(read) => {
                assert_eq!(read.page.partitions.len(), 1, "{number}: never silently less");
                true
            }
            Err(Error::Corrupt { what, .. }) => {
                assert!(what.contains("tokens"), "{what}");
                false
            }
            Err(error) => panic!("{error}"),
        }
    })
}

/// Pages from the beginning until one fails.
fn scan(engine: &Engine, rows: u32) -> (Content, Option<Error>) {
    let mut command = everything();
    command.limits.rows = rows;
    let mut content = Content::new();
    loop {
        match engine.read(&command) {
            Ok(result) => {
                let next = result.page.next.clone();
                content.extend(content_of(result.page));
                match next {
                    Some(next) => command.after = Some(next),
                    None => return (content, None),
                }
            }
            Err(error) => return (content, Some(error)),
        }
    }
}

pub(super) fn look(engine: &mut Engine) {
    let mut rounds = 0;
    while let Some(mut job) = engine.next_job(Seconds(77)) {
        while matches!(job.step(), Ok(Step::More)) {}
        engine.finish(job).unwrap();
        rounds += 1;
        assert!(rounds < 50, "work that fails is not offered for ever");
    }
}

pub(super) fn reopen(fs: &MemoryFs, engine: Engine) -> Engine {
    drop(engine);
    open(&fs.after_crash(&mut |_, _| 0))
}

#[test]
fn a_damaged_block_is_quarantined_and_healed() {
    let fs = MemoryFs::new();
    let (mut engine, path) = filled(&fs);
    let whole = contents(&engine);
    spoil(&fs, &path, 2);
    engine = open(&fs);
    let bad = survey(&engine).1;
    assert!(!bad.is_empty() && bad.len() < 20, "{bad:?}");
    look(&mut engine);
    let quarantined = engine.quarantined();
    assert_eq!(quarantined.len(), 1);
    let found = &quarantined[0];
    assert_eq!(
        (found.table, &found.file, found.since),
        (TABLE, &path, Seconds(77))
    );
    assert!(found.tokens.contains(key(bad[bad.len() / 2]).token));
    let (fine, bad) = survey(&engine);
    assert!(bad.iter().all(|number| found.tokens.contains(key(*number).token)));
    assert_eq!((engine.stats().quarantined, engine.stats().damage_found), (1, 1));
    // A scan comes as far as the damage, page by page, and a restart knows.
    for rows in [3, 7, u32::MAX] {
        let (content, error) = scan(&engine, rows);
        assert!(matches!(error, Some(Error::Corrupt { .. })));
        assert!(content.iter().all(|(key, partition)| whole[key] == *partition));
        assert_eq!(
            content.keys().next_back(),
            Some(&key(bad[0] - 1)).filter(|_| fine.contains(&(bad[0] - 1)))
        );
    }
    engine = reopen(&fs, engine);
    assert_eq!(engine.quarantined(), quarantined);
    // Writes to it are taken, and do not make it readable by themselves.
    engine.apply(&write(bad[0])).unwrap();
    assert!(engine.read(&one(bad[0])).is_err());
    // Compactions leave the table alone.
    engine.flush_all();
    engine.compact(TABLE);
    look(&mut engine);
    assert_eq!(engine.stats().compactions, 0);
    // The data comes from elsewhere.
    for number in 0..PARTITIONS {
        if found.tokens.contains(key(number).token) {
            engine.apply(&write(number)).unwrap();
        }
    }
    engine.log().sync().unwrap();
    assert_eq!(engine.heal(TABLE, found.tokens), 1);
    assert_eq!(survey(&engine).1, Vec::<i64>::new());
    assert!(contents(&engine) == whole);
    assert_eq!((engine.stats().quarantined, engine.stats().damage_healed), (0, 1));
    engine.flush_all();
    look(&mut engine);
    engine.compact(TABLE);
    look(&mut engine);
    assert!(engine.stats().compactions > 0);
    assert!(contents(&engine) == whole);
    assert!(
        !engine.files(TABLE).iter().any(|table| table.path() == path),
        "the damaged file is left behind"
    );
}

#[test]
fn a_heal_that_a_crash_undoes_is_done_again() {
    let fs = MemoryFs::new();
    let (engine, path) = filled(&fs);
    let whole = contents(&engine);
    drop(engine);
    spoil(&fs, &path, 3);
    let mut engine = open(&fs);
    assert!(engine.read(&everything()).is_err());
    look(&mut engine);
    let tokens = engine.quarantined()[0].tokens;
    for number in 0..PARTITIONS {
        engine.apply(&write(number)).unwrap();
    }
    engine.log().sync().unwrap();
    engine.heal(TABLE, tokens);
    assert!(contents(&engine) == whole);
    // No install job ran.
    let crashed = fs.after_crash(&mut |_, _| 0);
    drop(engine);
    let mut engine = open(&crashed);
    assert_eq!(engine.quarantined().len(), 1);
    assert_eq!(engine.heal(TABLE, tokens), 1);
    look(&mut engine);
    let crashed = crashed.after_crash(&mut |_, _| 0);
    drop(engine);
    let mut engine = open(&crashed);
    assert_eq!(engine.quarantined(), []);
    assert!(contents(&engine) == whole);
}

#[test]
fn a_compaction_that_meets_damage_gives_up_and_does_not_loop() {
    let fs = MemoryFs::new();
    let (engine, path) = filled(&fs);
    drop(engine);
    spoil(&fs, &path, 2);
    let mut engine = open(&fs);
    for number in 0..PARTITIONS {
        engine.apply(&write(number)).unwrap();
    }
    engine.flush_all();
    look(&mut engine);
    engine.compact(TABLE);
    look(&mut engine);
    assert_eq!(engine.quarantined().len(), 1);
    assert_eq!(engine.stats().compactions, 0);
    assert!(survey(&engine).0.len() > 180);
    // Other tables are compacted beside it.
    for round in 0..4 {
        for number in 0..PARTITIONS {
            engine.apply(&write((number * 7 + round) % PARTITIONS)).unwrap();
        }
        engine.flush_all();
        look(&mut engine);
    }
    assert!(engine.stats().compactions > 0);
    assert!(engine.files(TABLE).len() < 5);
}

#[test]
fn what_a_verification_finds_is_quarantined_too() {
    let fs = MemoryFs::new();
    let (engine, path) = filled(&fs);
    drop(engine);
    spoil(&fs, &path, 2);
    let mut engine = open(&fs);
    let files = engine.files(TABLE);
    let error = table::verify(&files[0]).unwrap_err();
    engine.report(&error);
    engine.report(&error);
    engine.report(&Error::Invalid("something else"));
    assert_eq!(engine.quarantined().len(), 1);
    assert!(engine.files(TABLE).is_empty(), "it is not verified again");
    // A truncation ends it.
    engine.truncate(TABLE).unwrap();
    assert_eq!(engine.quarantined(), []);
    assert!(contents(&engine).is_empty());
}

#[test]
fn damage_anywhere_is_healed_the_same_way() {
    let fs = MemoryFs::new();
    let (engine, path) = filled(&fs);
    let whole = contents(&engine);
    drop(engine);
    let length = fs.read(&path).unwrap().len();
    let mut healed = 0;
    for at in (0..length).step_by(length / 40) {
        let fs = fs.after_crash(&mut |_, _| 0);
        fs.damage(&path, |bytes| bytes[at] ^= 0x20).unwrap();
        let mut engine = open(&fs);
        let mut rounds = 0;
        while let Err(error) = engine.read(&everything()) {
            rounds += 1;
            assert!(rounds < 5, "{error}");
            assert!(matches!(error, Error::Corrupt { .. }), "{error}");
            for found in engine.quarantined() {
                for number in 0..PARTITIONS {
                    if found.tokens.contains(key(number).token) {
                        engine.apply(&write(number)).unwrap();
                    }
                }
                healed += engine.heal(found.table, found.tokens);
            }
        }
        assert!(contents(&engine) == whole, "damage at {at}");
    }
    assert!(healed >= 40);
}

#[test]
fn of_a_row_that_cannot_be_read_its_block_is_quarantined_and_not_the_table() {
    let fs = MemoryFs::new();
    let options = Options {
        compression: Compression::None,
        ..options()
    };
    let (engine, path) = filled_with(&fs, options);
    let file = engine.files(TABLE).remove(0);
    let mut target = Target::new(&key(120), Kind::Row, b"row");
    let row = file.find(&mut target).unwrap().unwrap();
    let place = file.locate(&target).unwrap().unwrap();
    drop((engine, file));
    // As if it had been written like that: the block matches its checksum.
    fs.damage(&path, |bytes| {
        let block = &mut bytes[place.start as usize..place.end as usize];
        let at = block.windows(row.len()).position(|part| part == row).unwrap();
        block[at..at + row.len()].fill(0xFF);
        let sum = checksum_at(place.start, &block[8..]);
        block[..8].copy_from_slice(&sum.to_le_bytes());
    })
    .unwrap();
    let mut engine = open(&fs);
    let error = engine.get(TABLE, &key(120), b"row", None).unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { file, offset, .. } if *file == path && *offset == place.start),
        "{error}"
    );
    assert_eq!(engine.quarantined().len(), 1);
    let (_, failing) = survey(&engine);
    assert!(failing.contains(&120) && failing.len() < 10, "{failing:?}");
}

//! Tables that can't be opened at all: the engine opens without them, and never takes that for empty.

use starling_model::{KeyRange, ReadCommand, Seconds};

use super::quarantine::{PARTITIONS, filled, key, look, options, reopen, survey, write};
use crate::{
    Engine, Error,
    fixtures::{TABLE, contents, dir, everything},
    fs::{Fs, MemoryFs},
};

/// Spoils the last bytes of a file.
fn spoil_footer(fs: &MemoryFs, path: &std::path::Path) {
    let spoil = |bytes: &mut Vec<u8>| {
        let at = bytes.len() - 20;
        bytes[at] ^= 1;
    };
    fs.damage(path, spoil).unwrap();
}

fn open(fs: &MemoryFs) -> Engine {
    Engine::open(std::sync::Arc::new(fs.clone()), dir(), options())
        .unwrap()
        .0
}

#[test]
fn a_table_that_cannot_be_opened_is_quarantined_as_a_whole_and_healed() {
    let fs = MemoryFs::new();
    let (engine, path) = filled(&fs);
    let whole = contents(&engine);
    drop(engine);
    spoil_footer(&fs, &path);
    let mut engine = open(&fs);
    // Nothing of it is taken for missing.
    assert_eq!(survey(&engine).1.len(), PARTITIONS as usize);
    let error = engine.read(&everything()).unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { file, .. } if *file == path),
        "{error}"
    );
    look(&mut engine);
    let found = engine.quarantined();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].file, found[0].since), (&path, Seconds(77)));
    assert_eq!((engine.stats().damage_found, engine.stats().tables), (1, 0));
    // What comes later is taken, stored beside it, and still not shown: it may not be all.
    engine.apply(&write(3)).unwrap();
    engine.log().sync().unwrap();
    engine.flush_all();
    look(&mut engine);
    assert_eq!(engine.stats().tables, 1);
    assert!(survey(&engine).0.is_empty());
    // A restart knows, and when it was found.
    let mut engine = reopen(&fs, engine);
    look(&mut engine);
    assert_eq!(engine.quarantined(), found);
    for number in 0..PARTITIONS {
        engine.apply(&write(number)).unwrap();
    }
    engine.log().sync().unwrap();
    assert_eq!(engine.heal(TABLE, found[0].tokens), 1);
    assert!(contents(&engine) == whole);
    assert_eq!(engine.quarantined(), []);
    look(&mut engine);
    assert!(contents(&engine) == whole);
}

#[test]
fn the_file_goes_once_its_data_was_written_anew() {
    let fs = MemoryFs::new();
    let (engine, path) = filled(&fs);
    drop(engine);
    spoil_footer(&fs, &path);
    let mut engine = open(&fs);
    for number in 0..PARTITIONS {
        engine.apply(&write(number)).unwrap();
    }
    engine.log().sync().unwrap();
    let tokens = engine.quarantined()[0].tokens;
    engine.heal(TABLE, tokens);
    assert!(
        fs.exists(&path).unwrap(),
        "a crash now brings the quarantine back"
    );
    look(&mut engine);
    assert!(!fs.exists(&path).unwrap());
    let crashed = fs.after_crash(&mut |_, _| 0);
    drop(engine);
    let mut engine = open(&crashed);
    assert_eq!(engine.quarantined(), []);
    assert_eq!(survey(&engine).1, Vec::<i64>::new());
}

#[test]
fn a_truncation_ends_it_too() {
    let fs = MemoryFs::new();
    let (engine, path) = filled(&fs);
    drop(engine);
    spoil_footer(&fs, &path);
    let mut engine = open(&fs);
    engine.truncate(TABLE).unwrap();
    assert_eq!(engine.quarantined(), []);
    assert!(contents(&engine).is_empty());
    look(&mut engine);
    assert!(!fs.exists(&path).unwrap());
}

#[test]
fn other_tables_are_read_beside_it() {
    let fs = MemoryFs::new();
    let (mut engine, path) = filled(&fs);
    let other = starling_model::TableId(8);
    let mut mutation = write(1);
    mutation.table = other;
    engine.apply(&mutation).unwrap();
    engine.log().sync().unwrap();
    drop(engine);
    spoil_footer(&fs, &path);
    let engine = open(&fs);
    let command = ReadCommand {
        table: other,
        keys: KeyRange::Partition(key(1)),
        ..everything()
    };
    assert_eq!(engine.read(&command).unwrap().page.partitions.len(), 1);
}

//! Sectors that the disk can't deliver any more, of a table that is in use.

use std::{path::Path, sync::Arc};

use starling_model::Seconds;

use super::quarantine::{key, look, options, write};
use crate::{
    Compression, Engine, Error, Options,
    fixtures::{TABLE, everything, insert, settle},
    fs::RealFs,
    table::{Table, Target, key::Kind},
};

const PARTITIONS: i64 = 4_000;

/// An engine with one table, of which all indexes and blocks were read.
fn filled(dir: &Path) -> (Engine, Arc<Table>) {
    let (mut engine, _) = Engine::open(Arc::new(RealFs), dir.to_path_buf(), options()).unwrap();
    for number in 0..PARTITIONS {
        engine.apply(&write(number)).unwrap();
    }
    engine.log().sync().unwrap();
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    assert_eq!(lost(&engine), []);
    let table = engine.files(TABLE).remove(0);
    (engine, table)
}

/// The partitions that can't be read.
fn lost(engine: &Engine) -> Vec<i64> {
    let fails = |number: &i64| match engine.get(TABLE, &key(*number), b"row", None) {
        Ok(found) => {
            assert!(found.row.is_some(), "{number}: never silently less");
            false
        }
        Err(Error::Corrupt { .. }) => true,
        Err(error) => panic!("{error}"),
    };
    (0..PARTITIONS).filter(fails).collect()
}

#[test]
fn a_sector_of_blocks_costs_these_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, table) = filled(dir.path());
    table.lose(table.bytes() / 4);
    let bad = lost(&engine);
    assert!(!bad.is_empty() && bad.len() < 300, "{} are lost", bad.len());
    look(&mut engine);
    let quarantined = engine.quarantined();
    assert!(!quarantined.is_empty());
    for number in lost(&engine) {
        assert!(
            bad.contains(&number)
                || quarantined
                    .iter()
                    .any(|found| found.tokens.contains(key(number).token)),
            "{number}"
        );
    }
    assert!(lost(&engine).len() < 300, "{} are lost", lost(&engine).len());
}

#[test]
fn a_sector_of_an_index_costs_what_it_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, table) = filled(dir.path());
    let way = table.way_to(&Target::new(&key(0), Kind::Row, &[])).unwrap();
    table.lose(way.start);
    let bad = lost(&engine);
    assert!(
        !bad.is_empty() && bad.len() < PARTITIONS as usize * 3 / 4,
        "{} are lost",
        bad.len()
    );
    assert!(bad.contains(&0));
    look(&mut engine);
    assert_eq!(lost(&engine).len(), bad.len());
}

#[test]
fn a_file_that_was_cut_costs_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, table) = filled(dir.path());
    for page in 0..9 {
        table.lose(page * 4096);
    }
    assert_eq!(lost(&engine).len(), PARTITIONS as usize);
}

#[test]
fn what_is_lost_while_it_is_read_is_not_read_as_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        compression: Compression::None,
        block_bytes: 256 << 10,
        ..options()
    };
    let (mut engine, _) = Engine::open(Arc::new(RealFs), dir.path().to_path_buf(), options).unwrap();
    for row in 0..1_000_u16 {
        engine
            .apply(&insert(key(1), &row.to_be_bytes(), 1, &[row as u8; 150]))
            .unwrap();
    }
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    let table = engine.files(TABLE).remove(0);
    let block = table
        .locate(&Target::new(&key(1), Kind::Row, &[0, 0]))
        .unwrap()
        .unwrap();
    let page = (block.start + (128 << 10)).next_multiple_of(4096);
    // The rows are all in one block, which is checked before the first of them is taken; that late is asked after 512.
    let mut lose = || {
        table.lose(page);
        false
    };
    let read = engine.read_encoded(&everything(), &mut lose);
    assert!(
        matches!(&read, Err(Error::Corrupt { file, offset, .. }) if file == table.path() && *offset == page),
        "{:?}",
        read.map(|read| read.live)
    );
    assert_eq!(engine.quarantined().len(), 1);
}

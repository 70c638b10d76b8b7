//! Sectors that the disk can't deliver any more, of a table that is in use.

use std::{path::Path, sync::Arc};

use starling_model::Seconds;

use super::quarantine::{key, look, options, write};
use crate::{
    Engine, Error,
    fixtures::{TABLE, settle},
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

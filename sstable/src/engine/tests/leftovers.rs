//! Where the memory of what was replaced goes.

use std::sync::{Arc, Weak};

use starling_model::Seconds;

use crate::{
    Engine, Step,
    fixtures::{TABLE, contents, insert, key, open, settle, small_options},
    fs::MemoryFs,
    table::Table,
};

const NOW: Seconds = Seconds(1);

/// An engine with two tables that are to be merged, and these.
fn with_two_tables() -> (Engine, Vec<Arc<Table>>) {
    let mut engine = open(&MemoryFs::new());
    for row in 0..2 {
        engine.apply(&insert(key(1), &[row], 1, &[row; 50])).unwrap();
        engine.log().sync().unwrap();
        engine.flush_all();
        settle(&mut engine, NOW);
    }
    let tables = engine.tables[&TABLE].tables.live().to_vec();
    assert_eq!(tables.len(), 2);
    engine.compact(TABLE);
    (engine, tables)
}

#[test]
fn replaced_tables_are_unmapped_by_a_job_and_not_where_jobs_are_taken_back() {
    let (mut engine, tables) = with_two_tables();
    let watched: Vec<Weak<Table>> = tables.iter().map(Arc::downgrade).collect();
    drop(tables);
    let mapped = || watched.iter().filter(|table| table.strong_count() > 0).count();
    let mut removed = 0;
    while let Some(mut job) = engine.next_job(NOW) {
        let before = mapped();
        while job.step().unwrap() == Step::More {}
        if format!("{job:?}").starts_with("Remove") {
            removed += before - mapped();
        }
        let before = mapped();
        engine.finish(job).unwrap();
        assert_eq!(mapped(), before);
    }
    assert_eq!((removed, mapped()), (2, 0));
}

#[test]
fn tables_are_unmapped_in_pieces() {
    let (mut engine, tables) = with_two_tables();
    let step = small_options().step_bytes as u64;
    let pieces: u64 = tables.iter().map(|table| table.bytes().div_ceil(step)).sum();
    assert!(pieces > 2, "a table has more than one");
    drop(tables);
    let mut steps = 0;
    while let Some(mut job) = engine.next_job(NOW) {
        let unmaps = format!("{job:?}").starts_with("Remove");
        while job.step().unwrap() == Step::More {
            steps += u64::from(unmaps);
        }
        steps += u64::from(unmaps);
        engine.finish(job).unwrap();
    }
    assert!(steps >= pieces, "{steps} steps for {pieces} pieces");
}

#[test]
fn a_table_that_is_still_read_stays_mapped_until_it_is_not() {
    let (mut engine, mut tables) = with_two_tables();
    settle(&mut engine, NOW);
    assert_eq!(engine.stats().tables, 1);
    assert!(engine.next_job(NOW).is_none(), "both are read");
    tables.pop();
    let mut job = engine.next_job(NOW).expect("one is not read any more");
    while job.step().unwrap() == Step::More {}
    engine.finish(job).unwrap();
    assert!(engine.next_job(NOW).is_none(), "the other one is");
    drop(tables);
    settle(&mut engine, NOW);
    assert_eq!(contents(&engine)[&key(1)].rows.len(), 2);
}

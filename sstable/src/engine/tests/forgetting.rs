//! A table that nothing else would compact forgets what it may, and is then left alone.

use starling_model::{Clustering, Deletion, Mutation, Partition, Row, Seconds, Timestamp};

use crate::{
    Engine, PurgePolicy,
    fixtures::{TABLE, contents, insert, key, open, settle},
    fs::MemoryFs,
};

const GRACE: u32 = 100;
const DAY: u32 = 86_400;

fn row(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn delete_row(number: u32, timestamp: i64, at: u32) -> Mutation {
    let mut mutation = insert(key(1), &row(number), timestamp, b"");
    mutation.partition = Partition::default();
    let deletion = Deletion {
        timestamp: Timestamp(timestamp),
        at: Seconds(at),
    };
    let row_of = Row {
        deletion: Some(deletion),
        ..Row::default()
    };
    mutation
        .partition
        .add_row(Clustering::from(row(number).to_vec()), row_of);
    mutation
}

/// An engine with one table of a hundred rows, the first `deleted` of them deleted at a second.
fn filled(deleted: u32, at: u32) -> Engine {
    let mut engine = open(&MemoryFs::new());
    engine.set_purge(TABLE, PurgePolicy::After { grace: GRACE });
    for number in 0..100 {
        let mutation = if number < deleted {
            delete_row(number, 20, at)
        } else {
            insert(key(1), &row(number), 20, b"value")
        };
        engine.apply(&mutation).unwrap();
    }
    engine.flush_all();
    settle(&mut engine, Seconds(at));
    assert_eq!(engine.stats().tables, 1);
    engine
}

fn rows(engine: &Engine) -> usize {
    contents(engine)[&key(1)].rows.len()
}

#[test]
fn a_single_table_is_compacted_once_enough_of_it_is_due() {
    let mut engine = filled(60, 1_000);
    settle(&mut engine, Seconds(1_000 + GRACE));
    assert_eq!((rows(&engine), engine.stats().compactions), (100, 0), "too young");
    // Bins of a histogram are at most two minutes wide here.
    settle(&mut engine, Seconds(1_200 + GRACE));
    assert_eq!((rows(&engine), engine.stats().compactions), (40, 1));
    for day in 1..4 {
        settle(&mut engine, Seconds(1_200 + GRACE + day * DAY));
    }
    assert_eq!(engine.stats().compactions, 1, "there is nothing more to forget");
}

#[test]
fn few_tombstones_are_not_worth_it() {
    let mut engine = filled(10, 1_000);
    settle(&mut engine, Seconds(5_000));
    assert_eq!((rows(&engine), engine.stats().compactions), (100, 0));
}

#[test]
fn what_is_held_back_is_tried_again_when_it_is_not() {
    let mut engine = filled(60, 1_000);
    // Older than the tombstones, and in memory.
    engine.apply(&insert(key(1), &row(3), 5, b"late")).unwrap();
    settle(&mut engine, Seconds(5_000));
    assert_eq!(engine.stats().compactions, 0);
    // In a table it can be merged with them.
    engine.flush_all();
    settle(&mut engine, Seconds(5_100));
    assert_eq!((rows(&engine), engine.stats().compactions), (40, 1));
    assert_eq!(engine.stats().tables, 1);
}

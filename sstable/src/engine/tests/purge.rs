//! What compaction forgets is never missed.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};
use starling_model::{
    Clustering, ClusteringRange, Deletion, Mutation, Partition, RangeTombstone, Row, Seconds, Timestamp,
};

use crate::{
    Engine, Options, PurgePolicy,
    fixtures::{Content, TABLE, contents, dir, insert, key, merge_into, open, settle, small_options},
    fs::MemoryFs,
};

const GRACE: u32 = 10;

fn deletion(timestamp: i64) -> Deletion {
    Deletion {
        timestamp: Timestamp(timestamp),
        at: Seconds(timestamp as u32),
    }
}

fn delete_row(number: u8, clustering: &[u8], timestamp: i64) -> Mutation {
    let mut mutation = insert(key(number), clustering, timestamp, b"");
    let row = Row {
        deletion: Some(deletion(timestamp)),
        ..Row::default()
    };
    mutation.partition = Partition::default();
    mutation
        .partition
        .add_row(Clustering::from(clustering.to_vec()), row);
    mutation
}

fn delete_range(number: u8, range: ClusteringRange, timestamp: i64) -> Mutation {
    let mut mutation = delete_row(number, b"", timestamp);
    mutation.partition = Partition::default();
    mutation.partition.delete_range(RangeTombstone {
        range,
        deletion: deletion(timestamp),
    });
    mutation
}

fn delete_partition(number: u8, timestamp: i64) -> Mutation {
    let mut mutation = delete_row(number, b"", timestamp);
    mutation.partition = Partition::default();
    mutation.partition.delete(deletion(timestamp));
    mutation
}

/// What a reader sees: live rows, without tombstones.
fn visible(content: &Content) -> Content {
    let mut content = content.clone();
    for partition in content.values_mut() {
        partition.purge(Seconds(u32::MAX), Seconds(u32::MAX));
    }
    content.retain(|_, partition| !partition.is_empty());
    content
}

fn flush(engine: &mut Engine, now: Seconds) {
    engine.flush_all();
    settle(engine, now);
}

fn shape(engine: &Engine) -> (usize, usize) {
    let content = contents(engine);
    (content.len(), engine.stats().tables)
}

#[test]
fn old_tombstones_and_what_they_cover_go_with_the_files() {
    let mut engine = open(&MemoryFs::new());
    engine.set_purge(TABLE, PurgePolicy::After { grace: GRACE });
    engine.apply(&insert(key(1), b"a", 1, b"old")).unwrap();
    flush(&mut engine, Seconds(5));
    engine.apply(&delete_row(1, b"a", 2)).unwrap();
    flush(&mut engine, Seconds(5));
    engine.apply(&delete_partition(1, 3)).unwrap();
    flush(&mut engine, Seconds(100));
    assert_eq!(
        shape(&engine),
        (0, 0),
        "nothing is left of the partition, nor of its files"
    );
}

#[test]
fn young_tombstones_stay() {
    let mut engine = open(&MemoryFs::new());
    engine.set_purge(TABLE, PurgePolicy::After { grace: GRACE });
    for timestamp in 1..=3 {
        engine.apply(&delete_partition(1, timestamp)).unwrap();
        flush(&mut engine, Seconds(GRACE + 3));
    }
    assert_eq!(shape(&engine), (1, 1), "its grace has not passed");
}

#[test]
fn without_a_policy_tombstones_stay() {
    let mut engine = open(&MemoryFs::new());
    for timestamp in 1..=3 {
        engine.apply(&delete_partition(1, timestamp)).unwrap();
        flush(&mut engine, Seconds(1_000_000));
    }
    assert_eq!(shape(&engine), (1, 1));
}

#[test]
fn a_tombstone_stays_while_older_data_may_lie_elsewhere() {
    let options = Options {
        memtable_bytes: 1 << 20,
        memory_bytes: 8 << 20,
        ..small_options()
    };
    let (mut engine, _) = Engine::open(Arc::new(MemoryFs::new()), dir(), options).unwrap();
    engine.set_purge(TABLE, PurgePolicy::After { grace: GRACE });
    // A file that is too large to be merged with the next three.
    let mut noise = 1_u64;
    for row in 0..250_u8 {
        let value: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (noise >> 56) as u8
        })
        .take(1_000)
        .collect();
        engine.apply(&insert(key(1), &[row], 1, &value)).unwrap();
    }
    engine.apply(&insert(key(2), b"", 1, b"")).unwrap();
    flush(&mut engine, Seconds(5));
    let merges = engine.stats().compactions;
    for timestamp in 2..=4 {
        engine.apply(&delete_partition(1, timestamp)).unwrap();
        engine.apply(&delete_partition(3, timestamp)).unwrap();
        // Something that lives, or the file would be removed as a whole.
        engine.apply(&insert(key(2), b"", 5, b"")).unwrap();
        flush(&mut engine, Seconds(1_000));
    }
    assert_eq!(engine.stats().compactions, merges + 1);
    assert_eq!(engine.stats().tables, 2, "the large file was left out");
    let content = contents(&engine);
    assert_eq!(
        content[&key(1)].deletion,
        Some(deletion(4)),
        "it covers rows of the large file"
    );
    assert!(content[&key(1)].rows.is_empty());
    assert!(
        !content.contains_key(&key(3)),
        "nothing of this partition is elsewhere"
    );
}

#[test]
fn a_tombstone_stays_while_older_data_is_in_memory() {
    let mut engine = open(&MemoryFs::new());
    engine.set_purge(TABLE, PurgePolicy::After { grace: GRACE });
    for timestamp in 2..=4 {
        engine.apply(&delete_partition(1, timestamp)).unwrap();
        engine.flush_all();
        if timestamp == 4 {
            // Older than the deletion, and in memory while the files are merged.
            engine.apply(&insert(key(1), b"a", 1, b"old")).unwrap();
        }
        settle(&mut engine, Seconds(1_000));
    }
    assert!(engine.stats().compactions > 0);
    let content = contents(&engine);
    assert_eq!(content[&key(1)].deletion, Some(deletion(4)));
    assert!(content[&key(1)].rows.is_empty());
}

#[derive(Debug, Clone)]
enum Event {
    Insert(u8, u8),
    DeleteRow(u8, u8),
    DeleteRange(u8, u8, u8),
    DeletePartition(u8),
    Flush,
}

fn event() -> impl Strategy<Value = Event> {
    let (key, row) = (0_u8..3, 0_u8..6);
    prop_oneof![
        6 => (key.clone(), row.clone()).prop_map(|(key, row)| Event::Insert(key, row)),
        2 => (key.clone(), row.clone()).prop_map(|(key, row)| Event::DeleteRow(key, row)),
        2 => (key.clone(), row.clone(), row).prop_map(|(key, a, b)| Event::DeleteRange(key, a.min(b), a.max(b))),
        1 => key.prop_map(Event::DeletePartition),
        3 => Just(Event::Flush),
    ]
}

proptest! {
    /// Writes come in the order of their timestamps, and everything is old enough to be purged at once.
    #[test]
    fn purging_changes_nothing_that_a_reader_sees(events in vec(event(), 1..80)) {
        let mut engine = open(&MemoryFs::new());
        engine.set_purge(TABLE, PurgePolicy::After { grace: 0 });
        let mut content = Content::new();
        for (timestamp, event) in (1_i64..).zip(events) {
            let mutation = match event {
                Event::Insert(number, row) => insert(key(number), &[row], timestamp, b"value"),
                Event::DeleteRow(number, row) => delete_row(number, &[row], timestamp),
                Event::DeleteRange(number, from, to) => {
                    let range = ClusteringRange { start: vec![from].into(), end: Some(vec![to, 0].into()) };
                    delete_range(number, range, timestamp)
                }
                Event::DeletePartition(number) => delete_partition(number, timestamp),
                Event::Flush => {
                    flush(&mut engine, Seconds(1_000));
                    prop_assert_eq!(visible(&contents(&engine)), visible(&content));
                    continue;
                }
            };
            engine.apply(&mutation).unwrap();
            merge_into(&mut content, &mutation);
        }
        flush(&mut engine, Seconds(1_000));
        prop_assert_eq!(visible(&contents(&engine)), visible(&content));
    }
}

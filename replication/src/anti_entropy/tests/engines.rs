//! The same writes in two storage engines: in another order, flushed and compacted at other times, purged or not, and
//! read in pages of other sizes. The digests are the same.

use std::sync::Arc;

use proptest::prelude::*;
use starling_model::{Limits, Mutation, Partition, Seconds, TableId, TokenRange};
use starling_sstable::{Engine, Options, PurgePolicy, Scaling, Step, Strategy as Compaction, fs::MemoryFs};

use super::digest::{VIEW, write};
use crate::{
    anti_entropy::{
        digest::{Digest, Hasher},
        scan,
        wire::Piece,
    },
    testing::{clustering, key, row_of},
};

const TABLE: TableId = TableId(5);

/// What an engine does between two writes.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Nothing,
    Flush,
    Compact,
}

fn beside() -> impl Strategy<Value = Beside> {
    prop_oneof![
        3 => Just(Beside::Nothing),
        1 => Just(Beside::Flush),
        1 => Just(Beside::Compact),
    ]
}

fn engine() -> Engine {
    let options = Options {
        memtable_bytes: 4 << 10,
        memory_bytes: 1 << 20,
        segment_bytes: 1 << 10,
        log_bytes: 1 << 20,
        reserve_bytes: 0,
        block_bytes: 64,
        table_bytes: 700,
        compaction: Compaction::Unified(Scaling::all(1)),
        ..Options::default()
    };
    Engine::open(Arc::new(MemoryFs::new()), "/shard".into(), options)
        .expect("the engine opens")
        .0
}

fn settle(engine: &mut Engine, now: Seconds) {
    while let Some(mut job) = engine.next_job(now) {
        while job.step().expect("a step succeeds") == Step::More {}
        engine.finish(job).expect("a job is installed");
    }
}

/// An engine with these writes.
fn filled<'a>(writes: impl Iterator<Item = &'a (u8, Partition)>, beside: &[Beside]) -> Engine {
    let mut engine = engine();
    for ((name, partition), beside) in writes.zip(beside.iter().cycle()) {
        let mutation = Mutation {
            table: TABLE,
            key: key(&name.to_string()),
            partition: partition.clone(),
        };
        engine.apply(&mutation).expect("there is room");
        if matches!(beside, Beside::Flush | Beside::Compact) {
            engine.flush_all();
            // So long ago that nothing can be purged.
            settle(&mut engine, Seconds(1));
        }
        if matches!(beside, Beside::Compact) {
            engine.compact(TABLE);
            settle(&mut engine, Seconds(1));
        }
    }
    engine
}

/// The digest of everything, read in pages.
fn digest(engine: &Engine, visited: u32) -> Digest {
    let mut digest = Digest::default();
    let mut hasher = Hasher::new(VIEW);
    let mut left = Piece::tokens(TokenRange::ALL);
    loop {
        let mut command = scan::command(TABLE, &left, VIEW);
        command.limits = Limits {
            visited,
            ..command.limits
        };
        let page = engine.read(&command).expect("nothing is damaged").page;
        for part in &page.partitions {
            let window = scan::window(&left, page.next.as_ref(), part);
            hasher.partition(&mut digest, &part.key, &part.partition, &window);
        }
        if page.next.is_none() {
            return digest;
        }
        left.after = page.next;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn equal_data_hashes_the_same_however_it_is_stored(
        writes in proptest::collection::vec((0_u8..3, write()), 1..16),
        beside in [proptest::collection::vec(beside(), 1..8), proptest::collection::vec(beside(), 1..8)],
        turn in 0_usize..16,
        visited in [1_u32..9, 1_u32..9],
        purge in any::<bool>(),
    ) {
        let one = filled(writes.iter(), &beside[0]);
        let mut order: Vec<&(u8, Partition)> = writes.iter().rev().collect();
        order.rotate_left(turn % writes.len());
        // Some come twice, as from a hint.
        let mut other = filled(order.into_iter().chain(&writes[..writes.len() / 2]), &beside[1]);
        let before = digest(&one, visited[0]);
        prop_assert!(before.agrees(&digest(&other, visited[1])));
        if purge {
            other.set_purge(TABLE, PurgePolicy::After { grace: VIEW.grace });
            other.flush_all();
            other.compact(TABLE);
            settle(&mut other, VIEW.now);
        }
        prop_assert!(before.agrees(&digest(&other, visited[1])), "purged or not");
        // Another write is seen.
        let newest = Mutation {
            table: TABLE,
            key: key("new"),
            partition: {
                let mut partition = Partition::default();
                partition.add_row(clustering(1), row_of("new", 99));
                partition
            },
        };
        other.apply(&newest).expect("there is room");
        prop_assert!(!before.agrees(&digest(&other, visited[1])));
    }
}

//! A read touches nothing but what was named before it: all else may as well be damaged.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use bytes::Bytes;
use proptest::prelude::*;
use starling_model::{
    Clustering, ClusteringRange, Deletion, KeyRange, Limits, Mutation, Partition, Position, RangeTombstone,
    ReadCommand, Seconds, Timestamp, TokenRange,
};

use super::cold::{Pages, warm};
use crate::{
    Engine,
    fixtures::{TABLE, everything, insert, key, open, settle, simple_row},
    fs::{MemoryFs, Residency},
    read::Never,
    table::{
        Table,
        key::{self as table_key, Kind},
    },
};

const ROWS: u32 = 600;

fn clustering(row: u32) -> Bytes {
    Bytes::copy_from_slice(&row.to_be_bytes())
}

/// What a partition has beside its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    StaticRow,
    RangeTombstones,
}

fn beside(what: Beside) -> Vec<Partition> {
    match what {
        Beside::Nothing => Vec::new(),
        Beside::StaticRow => {
            let mut partition = Partition::default();
            partition.add_static(simple_row(1, &[3; 40]));
            vec![partition]
        }
        Beside::RangeTombstones => (0..ROWS / 4)
            .map(|number| {
                let mut partition = Partition::default();
                partition.delete_range(RangeTombstone {
                    range: ClusteringRange {
                        start: clustering(4 * number),
                        end: Some(clustering(4 * number + 2)),
                    },
                    deletion: Deletion {
                        timestamp: Timestamp(5),
                        at: Seconds(5),
                    },
                });
                partition
            })
            .collect(),
    }
}

/// An engine with one table: a wide partition (key 1), and small ones around it.
fn engine(fs: &MemoryFs, what: Beside) -> Engine {
    let mut engine = open(fs);
    let apply = |engine: &mut Engine, write: &Mutation| {
        engine.apply(write).unwrap();
        engine.log().sync().unwrap();
    };
    for number in [0, 2, 3] {
        apply(&mut engine, &insert(key(number), b"", 1, &[7; 40]));
    }
    for partition in beside(what) {
        let write = Mutation {
            table: TABLE,
            key: key(1),
            partition,
        };
        apply(&mut engine, &write);
    }
    for row in 0..ROWS {
        apply(&mut engine, &insert(key(1), &clustering(row), 9, &[7; 40]));
        if row % 50 == 49 {
            settle(&mut engine, Seconds(40));
        }
    }
    engine.flush_all();
    settle(&mut engine, Seconds(50));
    engine.compact(TABLE);
    settle(&mut engine, Seconds(60));
    engine
}

/// Where the blocks lie that hold the partition and its neighbours.
fn blocks(table: &Table) -> BTreeSet<(u64, u64)> {
    let prefix = table_key::prefix(&key(1));
    let mut keys: Vec<Vec<u8>> = (0..4).map(|number| table_key::prefix(&key(number))).collect();
    for row in 0..ROWS {
        for kind in [Kind::Static, Kind::Range, Kind::Row] {
            keys.push(table_key::entry(&prefix, kind, &clustering(row)));
        }
    }
    keys.iter()
        .map(|key| table.block_of(key).unwrap())
        .map(|range| (range.start, range.end))
        .collect()
}

/// Damages all blocks that are not in memory.
fn damage_the_rest(fs: &MemoryFs, engine: &Engine, pages: &Pages) -> usize {
    let mut damaged = 0;
    for table in engine.tables[&TABLE].tables.live() {
        for (start, end) in blocks(table) {
            let range = start as usize..end as usize;
            if pages.is_resident(range.clone()) {
                continue;
            }
            damaged += 1;
            let Range { start, end } = range;
            fs.damage(table.path(), |bytes| bytes[start..end].fill(0xEE))
                .unwrap();
        }
    }
    damaged
}

fn check(what: Beside, command: &ReadCommand) {
    let fs = MemoryFs::new();
    let expected = engine(&fs, what).read_encoded(command, &mut Never).unwrap();
    let pages = Arc::new(Pages::default());
    fs.set_residency(Arc::clone(&pages) as Arc<dyn Residency>);
    let cold = open(&fs);
    assert!(warm(&cold, command) <= 3, "named in few rounds");
    let damaged = damage_the_rest(&fs, &cold, &pages);
    assert!(damaged > 100, "{damaged}");
    drop(cold);
    let found = open(&fs).read_encoded(command, &mut Never);
    assert_eq!(found.unwrap().page, expected.page, "{what:?} {command:?}");
}

fn slice(start: u32, reversed: bool) -> ReadCommand {
    ReadCommand {
        keys: KeyRange::Partition(key(1)),
        slices: vec![ClusteringRange {
            start: clustering(start),
            end: Some(clustering(start + 100)),
        }],
        reversed,
        limits: Limits {
            rows: 3,
            ..Limits::NONE
        },
        ..everything()
    }
}

/// The wide partition's beginning is far from the slice.
#[test]
fn a_slice_of_a_cold_wide_partition_touches_what_was_named() {
    for what in [Beside::Nothing, Beside::StaticRow, Beside::RangeTombstones] {
        for reversed in [false, true] {
            check(what, &slice(400, reversed));
        }
    }
}

#[test]
fn a_scan_that_goes_on_in_a_cold_wide_partition_touches_what_was_named() {
    for what in [Beside::Nothing, Beside::StaticRow, Beside::RangeTombstones] {
        let command = ReadCommand {
            keys: KeyRange::Tokens(TokenRange::ALL),
            after: Some(Position {
                key: key(1),
                clustering: Some(Clustering(clustering(300))),
                rows: 10,
            }),
            slices: vec![ClusteringRange::ALL],
            ..slice(0, false)
        };
        check(what, &command);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn wherever_a_slice_is_it_touches_what_was_named(
        start in 0_u32..500,
        reversed: bool,
        what in prop_oneof![Just(Beside::StaticRow), Just(Beside::RangeTombstones)],
    ) {
        check(what, &slice(start, reversed));
    }
}

//! What a read needs of the disk is named before it is read, and nothing else is touched.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use starling_model::{Clustering, ClusteringRange, KeyRange, Limits, ReadCommand, Seconds};

use crate::{
    Engine,
    fixtures::{everything, insert, key, open, settle},
    fs::{MemoryFs, Residency},
    read::Never,
};

const PAGE_BYTES: usize = 256;

/// Pages that were loaded; no others are in memory.
#[derive(Debug, Default)]
pub(super) struct Pages(Mutex<BTreeSet<usize>>);

fn pages(range: Range<usize>) -> Range<usize> {
    range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES)
}

impl Residency for Pages {
    fn is_resident(&self, range: Range<usize>) -> bool {
        let loaded = self.0.lock().unwrap();
        pages(range).all(|page| loaded.contains(&page))
    }

    fn load(&self, range: Range<usize>) {
        self.0.lock().unwrap().extend(pages(range));
    }
}

/// An engine with one table of a wide partition (key 1) and some small ones, of which nothing is in memory.
fn cold_engine(rows: u32) -> (Engine, Arc<Pages>) {
    let fs = MemoryFs::new();
    let pages = Arc::new(Pages::default());
    fs.set_residency(Arc::clone(&pages) as Arc<dyn Residency>);
    let mut engine = open(&fs);
    for row in 0..rows {
        let write = insert(key(1), &row.to_be_bytes(), 1, &[7; 40]);
        engine.apply(&write).unwrap();
        if row % 1000 == 999 {
            engine.log().sync().unwrap();
            settle(&mut engine, Seconds(40));
        }
    }
    for other in 2..20 {
        engine.apply(&insert(key(other), b"", 1, &[7; 40])).unwrap();
    }
    engine.log().sync().unwrap();
    engine.flush_all();
    settle(&mut engine, Seconds(50));
    engine.compact(crate::fixtures::TABLE);
    settle(&mut engine, Seconds(60));
    pages.0.lock().unwrap().clear();
    drop(engine);
    let engine = open(&fs);
    (engine, pages)
}

fn of_partition(command: ReadCommand, number: u8) -> ReadCommand {
    ReadCommand {
        keys: KeyRange::Partition(key(number)),
        ..command
    }
}

/// Loads what is named until nothing is; how often that was.
pub(super) fn warm(engine: &Engine, command: &ReadCommand) -> usize {
    for round in 0..10 {
        match engine.cold(command) {
            Some(cold) => {
                assert!(cold.bytes() > 0);
                cold.load();
            }
            None => return round,
        }
    }
    panic!("what was loaded is asked for again");
}

#[test]
fn a_cold_read_is_named_in_two_steps_and_then_is_warm() {
    let (engine, _) = cold_engine(200);
    let command = of_partition(everything(), 3);
    assert_eq!(warm(&engine, &command), 2, "index and filter, then the block");
    assert_eq!(engine.read_encoded(&command, &mut Never).unwrap().live, 1);
    assert_eq!(warm(&engine, &command), 0);
}

#[test]
fn what_is_in_no_table_needs_no_block() {
    let (engine, _) = cold_engine(200);
    let mut asked = 0;
    for missing in 100..120 {
        asked = warm(&engine, &of_partition(everything(), missing)).max(asked);
    }
    assert!(asked <= 2, "{asked}");
}

#[test]
fn a_slice_of_a_wide_partition_needs_a_part_of_it() {
    let (engine, pages) = cold_engine(20_000);
    let row = |row: u32| ClusteringRange::row(&Clustering::from(row.to_be_bytes().to_vec()));
    for reversed in [false, true] {
        let command = ReadCommand {
            slices: vec![ClusteringRange {
                start: row(10_000).start,
                end: row(19_000).end,
            }],
            reversed,
            limits: Limits {
                rows: 10,
                ..Limits::NONE
            },
            ..of_partition(everything(), 1)
        };
        warm(&engine, &command);
        let found = engine.read_encoded(&command, &mut Never).unwrap();
        assert_eq!(found.live, 10);
    }
    let loaded = pages.0.lock().unwrap().len() * PAGE_BYTES;
    assert!(loaded < 64 << 10, "{loaded} bytes for twenty rows");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Whatever is read: naming what is cold ends, and it is all within the tables.
    #[test]
    fn naming_ends(start in 0_u32..400, rows in 1_u32..50, number in 0_u8..25, scan: bool, reversed: bool) {
        let (engine, _) = cold_engine(300);
        let mut command = everything();
        command.limits.rows = rows;
        if !scan {
            command = of_partition(command, number);
            command.reversed = reversed;
            command.slices = vec![ClusteringRange { start: start.to_be_bytes().to_vec().into(), end: None }];
        }
        prop_assert!(warm(&engine, &command) <= 3);
    }
}

//! Hints on a disk that fails, and hints that outlast their node's process.

use std::{ops::Range, path::PathBuf, time::Duration};

use starling_model::{Consistency, TableId};
use starling_sstable::fs::{Fs, memory::Faults};

use super::scene::{LATER, left_alone, without_last, write_rows};
use crate::testing::{TestCluster, insert, key};

/// The segments of hints that a node keeps, oldest first.
fn segments(cluster: &TestCluster, number: usize) -> Vec<PathBuf> {
    let disk = cluster.disk(number);
    let targets = disk.list(&PathBuf::from("hints")).expect("it keeps hints");
    let files = targets
        .iter()
        .flat_map(|dir| disk.list(dir).expect("it is a directory"));
    files
        .filter(|file| file.extension().is_none() && !file.ends_with("progress"))
        .collect()
}

/// Writes rows, of which the hints are durable then.
fn keep_rows(cluster: &TestCluster, table: TableId, rows: Range<u32>) {
    write_rows(cluster, table, rows);
    cluster.run_for(Duration::from_secs(1));
}

fn kept(cluster: &TestCluster) -> u64 {
    let members = cluster.node(1).status().members;
    members.iter().map(|member| member.hint_bytes).sum()
}

#[test]
fn a_damaged_hint_is_counted_and_those_behind_it_are_delivered() {
    let (mut cluster, table) = without_last(2);
    keep_rows(&cluster, table, 0..100);
    let files = segments(&cluster, 1);
    let [file] = &files[..] else {
        panic!("one segment was written: {files:?}");
    };
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
    };
    cluster.disk(1).damage(file, flip).expect("it is there");
    cluster.restart(2);
    cluster.run_for(LATER);
    assert_eq!(cluster.stored(2, table, &key("a")).rows.len(), 99);
    let counters = cluster.node(1).status().counters;
    assert_eq!((counters.hints_delivered, counters.hints_damaged), (99, 1));
    assert_eq!(kept(&cluster), 0);
}

#[test]
fn a_file_that_can_not_be_read_stops_neither_the_start_nor_the_hints_behind_it() {
    let (mut cluster, table) = without_last(2);
    keep_rows(&cluster, table, 0..10);
    cluster.kill(1);
    cluster.restart(1);
    cluster.run_for(LATER);
    keep_rows(&cluster, table, 10..30);
    let files = segments(&cluster, 1);
    let [first, _second] = &files[..] else {
        panic!("one segment was written before the restart, and one after it: {files:?}");
    };
    cluster.kill(1);
    cluster.disk(1).refuse_reads(first);
    cluster.restart(1);
    cluster.restart(2);
    cluster.run_for(LATER);
    assert_eq!(cluster.stored(2, table, &key("a")).rows.len(), 20);
    let counters = cluster.node(1).status().counters;
    assert_eq!((counters.hints_delivered, counters.hints_damaged), (20, 1));
    assert_eq!(kept(&cluster), 0);
    let aside = first.with_extension("unreadable");
    assert!(
        cluster.disk(1).exists(&aside).expect("the disk works"),
        "it is the operator's"
    );
}

#[test]
fn a_directory_of_hints_that_can_not_be_listed_does_not_stop_the_start() {
    let (mut cluster, table) = without_last(2);
    keep_rows(&cluster, table, 0..10);
    cluster.kill(1);
    cluster.disk(1).refuse_reads(&PathBuf::from("hints"));
    cluster.restart(1);
    cluster.run_for(LATER);
    assert_eq!(cluster.node(1).status().counters.hints_damaged, 1);
    keep_rows(&cluster, table, 10..20);
    cluster.restart(2);
    cluster.run_for(LATER);
    assert_eq!(
        cluster.stored(2, table, &key("a")).rows.len(),
        10,
        "new hints are kept"
    );
}

#[test]
fn a_larger_window_makes_no_old_hint_valid_again() {
    let mut config = TestCluster::config(1);
    config.bounds.hint_age = Duration::from_mins(10);
    let (mut cluster, table) = left_alone(2, config.clone());
    keep_rows(&cluster, table, 0..10);
    cluster.kill(1);
    cluster.reconnect(1);
    config.bounds.hint_age = Duration::from_hours(3);
    cluster.start_with(1, config).expect("it starts again");
    cluster.run_for(Duration::from_mins(9));
    keep_rows(&cluster, table, 10..20);
    cluster.run_for(Duration::from_mins(2));
    cluster.restart(2);
    cluster.run_for(Duration::from_mins(2));
    let rows = cluster.stored(2, table, &key("a")).rows.len();
    assert_eq!(rows, 10, "those that the larger window was in force for");
    assert_eq!(cluster.node(1).status().counters.hints_expired, 10);
    assert_eq!(kept(&cluster), 0);
}

#[test]
fn truncate_fails_before_data_is_removed_if_hints_can_not_be_forgotten() {
    let mut cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    cluster
        .cql(
            1,
            "CREATE TABLE ks.other (k text, c int, v text, PRIMARY KEY (k, c))",
        )
        .expect("the table is made");
    cluster.run_for(LATER);
    let snapshot = cluster.node(1).views.load();
    let other = snapshot.schema.table("ks", "other").expect("it exists").id;
    cluster.kill(3);
    cluster.run_for(LATER);
    for table in [table, other] {
        cluster
            .write(1, insert(table, "a", 1, "x", 10), Consistency::Quorum)
            .expect("two are enough");
    }
    cluster.run_for(Duration::from_millis(100));
    // n3 is back and its hints are not delivered yet. Those for the other table must be written anew.
    cluster.restart(3);
    cluster.run_for(Duration::from_millis(300));
    let fail_syncs = |fail_syncs| {
        let faults = Faults {
            fail_syncs,
            ..Default::default()
        };
        cluster.disk(1).set_faults(faults);
    };
    fail_syncs(true);
    let error = cluster
        .cql(1, "TRUNCATE ks.t")
        .expect_err("the hint is still there");
    assert!(error.message.contains("no data was removed"), "{error}");
    for number in 1..=2 {
        assert!(!cluster.stored(number, table, &key("a")).is_empty(), "n{number}");
    }
    fail_syncs(false);
    cluster.cql(1, "TRUNCATE ks.t").expect("the disk works again");
    cluster.run_for(LATER);
    for number in 1..=3 {
        assert!(cluster.stored(number, table, &key("a")).is_empty(), "n{number}");
        assert!(!cluster.stored(number, other, &key("a")).is_empty(), "n{number}");
    }
}

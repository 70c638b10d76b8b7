//! Reads that need this node only.

use std::time::Duration;

use starling_model::Consistency;

use super::{LATER, cluster, read_all};
use crate::{
    env::StoreError,
    testing::{TestCluster, insert, whole_partition},
};

#[test]
fn a_read_at_one_asks_nobody_else() {
    let (cluster, table) = cluster();
    let write = insert(table, "a", 1, "x", 10);
    cluster.write(1, write, Consistency::All).expect("all are alive");
    cluster.world.start_log();
    for level in [Consistency::One, Consistency::LocalOne] {
        assert_eq!(read_all(&cluster, 1, table, level), ["a/1=x"]);
    }
    let log = cluster.world.take_log();
    assert!(!log.iter().any(|line| line.contains("read")), "{log:?}");
}

#[test]
fn others_answer_for_a_node_whose_own_storage_fails() {
    let (cluster, table) = cluster();
    let write = insert(table, "a", 1, "x", 10);
    cluster.write(1, write, Consistency::All).expect("all are alive");
    let fault = StoreError::Disk("it burns".to_owned());
    cluster.store(1).set_fault(Some(fault));
    assert_eq!(read_all(&cluster, 1, table, Consistency::One), ["a/1=x"]);
}

#[test]
fn others_answer_for_a_node_whose_own_disk_is_slow() {
    let (cluster, table) = cluster();
    let write = insert(table, "a", 1, "x", 10);
    cluster.write(1, write, Consistency::All).expect("all are alive");
    cluster.store(1).hold_reads(true);
    let before = cluster.world.executor.now();
    assert_eq!(read_all(&cluster, 1, table, Consistency::One), ["a/1=x"]);
    let took = cluster.world.executor.now().saturating_sub(before);
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(cluster.node(1).status().counters.speculative_reads, 1);
}

#[test]
fn a_node_with_the_only_replica_says_that_it_timed_out_or_failed() {
    let cluster = TestCluster::new(1);
    let table = cluster.make_table(1);
    let write = insert(table, "a", 1, "x", 10);
    cluster.write(1, write, Consistency::All).expect("it is alone");
    cluster.store(1).hold_reads(true);
    let read = || cluster.read(1, whole_partition(table, "a", cluster.now()), Consistency::One);
    let error = read().expect_err("it waits for the disk");
    assert!(error.to_string().contains("0 of 1"), "{error}");
    cluster.store(1).hold_reads(false);
    let fault = StoreError::Disk("it burns".to_owned());
    cluster.store(1).set_fault(Some(fault));
    let error = read().expect_err("the disk fails");
    assert!(error.to_string().contains("it burns"), "{error}");
    cluster.store(1).set_fault(None);
    cluster.run_for(LATER);
    assert_eq!(read_all(&cluster, 1, table, Consistency::Quorum), ["a/1=x"]);
}

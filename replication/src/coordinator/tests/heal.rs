//! A replica whose storage is damaged gets its data back from the others, and nobody notices.

use std::time::Duration;

use starling_model::{Consistency, TableId, TokenRange};

use super::read_all;
use crate::{
    env::Damaged,
    testing::{Link, TestCluster, insert, key},
};

fn filled(size: usize, factor: usize) -> (TestCluster, TableId) {
    let cluster = TestCluster::new(size);
    let table = cluster.make_table(factor);
    let level = if size < factor {
        Consistency::Quorum
    } else {
        Consistency::All
    };
    for row in 0..20 {
        let mutation = insert(table, "a", row, "value", 10 + i64::from(row));
        cluster.write(1, mutation, level).expect("the write succeeds");
    }
    cluster.run_for(Duration::from_secs(1));
    (cluster, table)
}

fn damage(cluster: &TestCluster, node: usize, table: TableId) {
    cluster.store(node).damage(Damaged {
        table,
        tokens: TokenRange::ALL,
    });
}

#[test]
fn what_is_damaged_comes_back_from_the_others() {
    let (cluster, table) = filled(3, 3);
    let before = cluster.stored(1, table, &key("a"));
    let rows = read_all(&cluster, 1, table, Consistency::Quorum);
    damage(&cluster, 1, table);
    assert!(cluster.stored(1, table, &key("a")).is_empty());
    // Reads by the damaged node itself go on meanwhile, and so do writes.
    assert_eq!(read_all(&cluster, 1, table, Consistency::Quorum), rows);
    cluster
        .write(2, insert(table, "a", 99, "new", 500), Consistency::All)
        .expect("a damaged replica takes writes");
    cluster.run_for(Duration::from_secs(5));
    assert_eq!(cluster.node(1).status().counters.healed, 1);
    let after = cluster.stored(1, table, &key("a"));
    assert_eq!(after.rows.len(), before.rows.len() + 1);
    assert_eq!(
        read_all(&cluster, 1, table, Consistency::All).len(),
        rows.len() + 1
    );
}

#[test]
fn too_few_others_are_waited_for() {
    let (mut cluster, table) = filled(3, 3);
    cluster.kill(3);
    damage(&cluster, 1, table);
    cluster.run_for(Duration::from_secs(30));
    // What was acknowledged at QUORUM may be on the node that is down, and here.
    assert_eq!(cluster.node(1).status().counters.healed, 0);
    cluster.restart(3);
    cluster.run_for(Duration::from_secs(30));
    assert_eq!(cluster.node(1).status().counters.healed, 1);
    assert_eq!(
        cluster.stored(1, table, &key("a")),
        cluster.stored(2, table, &key("a"))
    );
}

/// Four of seven have a write that a quorum acknowledged, and two of these nodes have left.
#[test]
fn where_nodes_lack_as_many_others_are_read_as_with_all_of_them() {
    let (mut cluster, table) = filled(5, 7);
    let mutation = insert(table, "a", 100, "of two", 500);
    for node in [1, 5] {
        cluster.store(node).apply_now(mutation.clone());
    }
    cluster.kill(5);
    damage(&cluster, 1, table);
    cluster.run_for(Duration::from_secs(30));
    assert_eq!(cluster.node(1).status().counters.healed, 0);
    cluster.restart(5);
    cluster.run_for(Duration::from_secs(30));
    assert_eq!(cluster.node(1).status().counters.healed, 1);
    let healed = cluster.stored(1, table, &key("a"));
    assert_eq!(healed.rows.len(), 21);
}

#[test]
fn the_only_replica_stays_damaged_and_says_so() {
    let (cluster, table) = filled(1, 1);
    damage(&cluster, 1, table);
    cluster.run_for(Duration::from_secs(10));
    assert_eq!(cluster.node(1).status().counters.healed, 0);
    let now = cluster.now();
    let read = cluster.read(
        1,
        crate::testing::whole_partition(table, "a", now),
        Consistency::One,
    );
    assert!(read.is_err(), "never silently less");
}

#[test]
fn what_a_datacenter_acknowledged_is_fetched_from_it() {
    let mut cluster = TestCluster::prepared(6);
    for number in 1..=6 {
        let mut config = TestCluster::config(number);
        config.datacenter = if number <= 3 { "near" } else { "far" }.to_owned();
        cluster.start_with(number, config).expect("a node starts");
    }
    cluster.run_for(Duration::from_secs(3));
    let keyspace =
        "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'near': 3, 'far': 3}";
    for statement in [
        keyspace,
        "CREATE TABLE ks.t (k text, c int, v text, PRIMARY KEY (k, c))",
    ] {
        cluster.cql(1, statement).expect("the schema is made");
    }
    let table = cluster.table(1);
    // Acknowledged at LOCAL_QUORUM, and not come to the others yet.
    for node in [1, 2] {
        cluster.store(node).apply_now(insert(table, "a", 1, "value", 10));
    }
    damage(&cluster, 1, table);
    cluster.partition(&[1], &[2], Link::Refused);
    cluster.run_for(Duration::from_secs(20));
    // Four of the other five are a quorum of all, and none of them has the row.
    assert_eq!(cluster.node(1).status().counters.healed, 0);
    cluster.partition(&[1], &[2], Link::Good);
    cluster.run_for(Duration::from_secs(20));
    assert_eq!(cluster.node(1).status().counters.healed, 1);
    assert_eq!(
        cluster.stored(1, table, &key("a")),
        cluster.stored(2, table, &key("a"))
    );
}

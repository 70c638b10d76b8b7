//! Rings with fewer nodes than replicas are asked for, and how they come to be.

use std::{sync::Arc, time::Duration};

use starling_model::{Consistency, NodeId, TableId};

use super::{
    super::ChangeError,
    scene::{assert_readable, id, let_die, name, ring_of, spawn, until, with_data},
};
use crate::testing::{Link, TestCluster, insert, key, rows_of, whole_partition};

/// Rows of which each is on two replicas of three, and not on the third: what QUORUM acknowledges.
const ROWS: u32 = 40;

/// Three nodes, and for each row the two that have it; n3 is one of them each time.
fn with_rows_on_two() -> (TestCluster, TableId) {
    let (cluster, table) = with_data(5);
    for row in 0..ROWS {
        let mutation = insert(table, &format!("two{row}"), row, "v", 2_000);
        for node in [1 + row as usize % 2, 3] {
            cluster.store(node).apply_now(mutation.clone());
        }
    }
    (cluster, table)
}

fn has(cluster: &TestCluster, table: TableId, node: usize, row: u32) -> bool {
    !cluster.stored(node, table, &key(&format!("two{row}"))).is_empty()
}

/// Whether QUORUM through this node shows the row.
fn is_seen(cluster: &TestCluster, table: TableId, node: usize, row: u32) -> bool {
    let command = whole_partition(table, &format!("two{row}"), cluster.now());
    let page = cluster.read(node, command, Consistency::Quorum);
    let page = page.unwrap_or_else(|error| panic!("row {row} through n{node}: {error}"));
    !rows_of(&page, cluster.now()).is_empty()
}

/// Waits for an operator's order, and returns what he is told.
fn told(cluster: &TestCluster, outcome: &super::scene::Outcome) -> Result<(), ChangeError> {
    until(cluster, "the operator is told", || outcome.lock().is_some());
    outcome.lock().take().expect("he is told")
}

fn leave(cluster: &TestCluster, node: usize, force: bool) -> Result<(), ChangeError> {
    let leaving = Arc::clone(cluster.node(node));
    let outcome = spawn(cluster, async move { leaving.decommission(force).await });
    told(cluster, &outcome)
}

fn remove(cluster: &TestCluster, gone: Vec<NodeId>, force: bool) -> Result<(), ChangeError> {
    let node = Arc::clone(cluster.node(1));
    let outcome = spawn(cluster, async move { node.remove(&gone, force).await });
    told(cluster, &outcome)
}

fn join(cluster: &mut TestCluster, number: usize) {
    cluster.start(number).expect("it finds the cluster");
    until(cluster, "it is in the ring", || {
        cluster.node(number).is_ready() && ring_of(cluster, 1).contains(&number)
    });
}

#[test]
fn a_ring_with_too_few_nodes_left_is_refused_and_says_why() {
    let (mut cluster, table) = with_data(4);
    let refused = leave(&cluster, 3, false).expect_err("two are too few for three replicas");
    let why = refused.to_string();
    assert!(
        why.contains("keyspace ks asks for 3 replicas") && why.contains("2 nodes"),
        "{why}"
    );
    assert!(
        why.contains("--force") && why.contains("nothing was changed"),
        "{why}"
    );
    // A fourth can be spared.
    join(&mut cluster, 4);
    assert_eq!(leave(&cluster, 4, false), Ok(()));
    let dead = let_die(&mut cluster, &[3]);
    let refused = remove(&cluster, dead.clone(), false).expect_err("two are too few");
    assert!(refused.to_string().contains("--replace"), "{refused}");
    assert_eq!(ring_of(&cluster, 1), [1, 2, 3].into());
    assert_eq!(remove(&cluster, dead, true), Ok(()));
    assert_eq!(ring_of(&cluster, 1), [1, 2].into());
    assert_readable(&cluster, table, &[1, 2], super::scene::ROWS);
}

#[test]
fn what_a_quorum_has_survives_a_ring_that_shrinks_and_grows() {
    let (mut cluster, table) = with_rows_on_two();
    let dead = let_die(&mut cluster, &[3]);
    assert_eq!(remove(&cluster, dead, true), Ok(()));
    assert!((0..ROWS).all(|row| has(&cluster, table, 1, row) != has(&cluster, table, 2, row)));
    join(&mut cluster, 4);
    // Either of the others may be the one that has it.
    let lacking: Vec<u32> = (0..ROWS).filter(|row| !has(&cluster, table, 4, *row)).collect();
    assert!(lacking.is_empty(), "n4 lacks {lacking:?}");
    for (absent, reader) in [(1, 2), (2, 1)] {
        cluster.partition(&[reader, 4], &[absent], Link::Refused);
        assert!((0..ROWS).all(|row| is_seen(&cluster, table, reader, row)));
        cluster.partition(&[reader, 4], &[absent], Link::Good);
        cluster.run_for(Duration::from_secs(5));
    }
}

#[test]
fn who_leaves_nobody_in_its_place_leaves_its_data_to_all() {
    let (mut cluster, table) = with_rows_on_two();
    assert_eq!(leave(&cluster, 3, true), Ok(()));
    for node in [1, 2] {
        assert!((0..ROWS).all(|row| has(&cluster, table, node, row)), "n{node}");
    }
    // Down to one, which has all that there ever was.
    let only = insert(table, "last", 0, "v", 3_000);
    cluster.store(2).apply_now(only);
    assert_eq!(leave(&cluster, 2, true), Ok(()));
    assert!(!cluster.stored(1, table, &key("last")).is_empty());
    assert!((0..ROWS).all(|row| has(&cluster, table, 1, row)));
    let refused = cluster
        .write(1, insert(table, &name(0), 0, "w", 4_000), Consistency::Quorum)
        .expect_err("two of three replicas are needed");
    let why = &refused.message;
    assert!(why.contains("needs 2 replicas and 1 are alive"), "{why}");
    assert!(
        why.contains("asks for 3 replicas and there are nodes for 1") && why.contains("ALTER KEYSPACE"),
        "{why}"
    );
    for number in [4, 5] {
        join(&mut cluster, number);
    }
    cluster.partition(&[4, 5], &[1], Link::Refused);
    assert!((0..ROWS).all(|row| is_seen(&cluster, table, 4, row)));
    assert!(cluster.node(4).ring_state().serves(id(&cluster, 5)));
}

#[test]
fn who_has_the_only_replicas_of_a_keyspace_does_not_leave() {
    let mut cluster = TestCluster::prepared(3);
    for number in 1..=3 {
        let mut config = TestCluster::config(number);
        config.datacenter = if number <= 2 { "east" } else { "west" }.to_owned();
        cluster.start_with(number, config).expect("a node starts");
    }
    cluster.run_for(Duration::from_secs(3));
    let make = |name: &str, replication: &str| {
        let statement = format!(
            "CREATE KEYSPACE {name} WITH replication = {{'class': 'NetworkTopologyStrategy', {replication}}}"
        );
        cluster.cql(1, &statement).expect("it is made");
    };
    make("both", "'east': 1, 'west': 1");
    assert!(leave(&cluster, 3, false).is_err());
    make("far", "'west': 1");
    let refused = leave(&cluster, 3, true).expect_err("its data has no place to go");
    let why = refused.to_string();
    assert!(
        why.contains("keyspace far") && why.contains("nothing was changed"),
        "{why}"
    );
    cluster.cql(1, "DROP KEYSPACE far").expect("it is dropped");
    assert_eq!(leave(&cluster, 3, true), Ok(()));
    assert_eq!(ring_of(&cluster, 1), [1, 2].into());
}

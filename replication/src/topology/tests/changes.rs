//! Changes of the ring, from the first word to the last, among nodes that serve meanwhile.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_model::{Consistency, NodeId, TableId};

use super::super::ChangeError;
use crate::{
    config::Config,
    start_error::StartError,
    testing::{Link, TestCluster, TestEnv, address, insert, key, rows_of, whole_partition},
};

const ROWS: u32 = 60;
const STEP: Duration = Duration::from_millis(20);

/// Three nodes with a table of three replicas and some rows, and room for more nodes.
fn with_data(size: usize) -> (TestCluster, TableId) {
    let mut cluster = TestCluster::prepared(size);
    for number in 1..=3 {
        cluster.start(number).expect("a node starts");
    }
    cluster.run_for(Duration::from_secs(3));
    let table = cluster.make_table(3);
    cluster.run_for(Duration::from_secs(1));
    for row in 0..ROWS {
        write(&cluster, table, 1 + row as usize % 3, row);
    }
    (cluster, table)
}

fn name(row: u32) -> String {
    format!("key{row}")
}

fn write(cluster: &TestCluster, table: TableId, node: usize, row: u32) {
    let mutation = insert(table, &name(row), row, "v", 1_000);
    let written = cluster.write(node, mutation, Consistency::Quorum);
    assert_eq!(written, Ok(()), "row {row} through n{node}");
}

fn assert_readable(cluster: &TestCluster, table: TableId, nodes: &[usize], rows: u32) {
    for node in nodes {
        for row in 0..rows {
            let command = whole_partition(table, &name(row), cluster.now());
            let page = cluster.read(*node, command, Consistency::Quorum);
            let page = page.unwrap_or_else(|error| panic!("row {row} through n{node}: {error}"));
            assert_eq!(
                rows_of(&page, cluster.now()),
                [format!("{}/{row}=v", name(row))],
                "row {row} through n{node}"
            );
        }
    }
}

/// The members of the ring as a node knows it, by number.
fn ring_of(cluster: &TestCluster, node: usize) -> BTreeSet<usize> {
    let state = cluster.node(node).ring_state();
    let members = state
        .members()
        .into_iter()
        .filter_map(|member| state.address(member.id));
    members
        .map(|at| {
            (1..=cluster.envs.len())
                .find(|n| address(*n) == at)
                .expect("a node of the test")
        })
        .collect()
}

fn id(cluster: &TestCluster, node: usize) -> NodeId {
    cluster.node(node).id
}

/// Lets time pass, and rows be written, until all these nodes know this ring and no change.
fn settle(cluster: &TestCluster, table: TableId, nodes: &[usize], ring: &[usize], rows: &mut u32) {
    let ring: BTreeSet<usize> = ring.iter().copied().collect();
    let there = |node: &usize| ring_of(cluster, *node) == ring && cluster.node(*node).ring_change().is_none();
    for _ in 0..2_000 {
        if nodes.iter().all(there) {
            return;
        }
        cluster.run_for(STEP);
        if (*rows).is_multiple_of(2) || cluster.node(nodes[0]).ring_change().is_some() {
            write(cluster, table, nodes[*rows as usize % nodes.len().min(2)], *rows);
            *rows += 1;
        }
    }
    let seen: Vec<_> = nodes
        .iter()
        .map(|node| (ring_of(cluster, *node), cluster.node(*node).ring_change()))
        .collect();
    panic!("the ring does not become {ring:?}: {seen:?}");
}

type Outcome = Arc<Mutex<Option<Result<(), ChangeError>>>>;

fn spawn(
    cluster: &TestCluster,
    work: impl Future<Output = Result<(), ChangeError>> + Send + 'static,
) -> Outcome {
    let outcome = Outcome::default();
    let slot = Arc::clone(&outcome);
    cluster.world.executor.spawn(async move {
        let done = work.await;
        *slot.lock() = Some(done);
    });
    outcome
}

fn decommission(cluster: &TestCluster, node: usize) -> Outcome {
    let node = Arc::clone(cluster.node(node));
    spawn(cluster, async move { node.decommission().await })
}

fn remove(cluster: &TestCluster, through: usize, gone: Vec<NodeId>) -> Outcome {
    let node = Arc::clone(cluster.node(through));
    spawn(cluster, async move { node.remove(&gone).await })
}

#[test]
fn a_node_joins_a_cluster_with_data() {
    let (mut cluster, table) = with_data(4);
    cluster.start(4).expect("it finds the cluster");
    let refused = cluster.cql(4, "SELECT * FROM ks.t").expect_err("it joins");
    assert_eq!(refused.kind, starling_cql::ErrorKind::Bootstrapping);
    let mut rows = ROWS;
    settle(&cluster, table, &[1, 2, 3, 4], &[1, 2, 3, 4], &mut rows);
    cluster.run_for(Duration::from_secs(2));
    assert!(cluster.node(4).is_ready());
    assert_readable(&cluster, table, &[1, 4], rows);
    // It has the data itself, of the ranges that it is a replica of.
    let snapshot = cluster.node(1).views.load();
    let placement = snapshot.placement("ks").expect("the keyspace exists");
    let me = id(&cluster, 4);
    let owned = (0..rows).filter(|row| placement.replicas(key(&name(*row)).token).contains(&me));
    let mut held = 0;
    for row in owned {
        let partition = cluster.stored(4, table, &key(&name(row)));
        assert_eq!(partition.rows.len(), 1, "row {row}");
        held += 1;
    }
    assert!(held > 5, "{held} of {rows}");
}

#[test]
fn nodes_that_join_at_the_same_time_come_in_one_after_the_other() {
    let (mut cluster, table) = with_data(6);
    for number in 4..=6 {
        cluster.start(number).expect("it finds the cluster");
    }
    let mut rows = ROWS;
    settle(
        &cluster,
        table,
        &[1, 2, 3, 4, 5, 6],
        &[1, 2, 3, 4, 5, 6],
        &mut rows,
    );
    assert_readable(&cluster, table, &[2, 6], rows);
}

#[test]
fn a_node_leaves_and_its_data_stays() {
    let (mut cluster, table) = with_data(4);
    cluster.start(4).expect("it finds the cluster");
    let mut rows = ROWS;
    settle(&cluster, table, &[1, 2, 3, 4], &[1, 2, 3, 4], &mut rows);
    let left = decommission(&cluster, 2);
    settle(&cluster, table, &[1, 3, 4, 2], &[1, 3, 4], &mut rows);
    cluster.run_for(STEP);
    assert_eq!(left.lock().take(), Some(Ok(())));
    assert!(!cluster.node(2).is_ready());
    // Who is connected to it is served until it stops.
    assert_readable(&cluster, table, &[2], 3);
    cluster.kill(2);
    cluster.run_for(Duration::from_secs(10));
    assert_readable(&cluster, table, &[1, 4], rows);
    let status = cluster.node(1).status();
    assert!(status.members.iter().all(|member| member.address != address(2)));
    for other in 1..=4 {
        cluster.world.set_link(address(2), address(other), Link::Good);
    }
    assert_eq!(cluster.start(2), Err(StartError::Left));
}

#[test]
fn a_dead_node_is_removed_and_does_not_come_back() {
    let (mut cluster, table) = with_data(4);
    cluster.start(4).expect("it finds the cluster");
    let mut rows = ROWS;
    settle(&cluster, table, &[1, 2, 3, 4], &[1, 2, 3, 4], &mut rows);
    let gone = id(&cluster, 3);
    let living = remove(&cluster, 1, vec![gone]);
    cluster.run_for(Duration::from_secs(1));
    let refused = living.lock().take();
    assert!(
        matches!(refused, Some(Err(ChangeError::Refused(_)))),
        "{refused:?}"
    );
    cluster.kill(3);
    cluster.run_for(Duration::from_secs(20));
    let left = decommission(&cluster, 4);
    cluster.run_for(Duration::from_secs(1));
    let refused = left.lock().take();
    assert!(
        matches!(refused, Some(Err(ChangeError::Down { .. }))),
        "{refused:?}"
    );
    let removed = remove(&cluster, 1, vec![gone]);
    settle(&cluster, table, &[1, 2, 4], &[1, 2, 4], &mut rows);
    cluster.run_for(STEP);
    assert_eq!(removed.lock().take(), Some(Ok(())));
    // Any two replicas have everything.
    cluster.partition(&[1, 4], &[2], Link::Refused);
    assert_readable(&cluster, table, &[1], rows);
    cluster.partition(&[1, 4], &[2], Link::Good);
    cluster.restart(3);
    cluster.run_for(Duration::from_secs(5));
    assert!(matches!(cluster.node(3).failure(), Some(StartError::Removed(_))));
    assert_eq!(ring_of(&cluster, 1), BTreeSet::from([1, 2, 4]));
}

#[test]
fn a_new_node_takes_a_dead_ones_place() {
    let (mut cluster, table) = with_data(4);
    let dead = id(&cluster, 2);
    cluster.kill(2);
    cluster.run_for(Duration::from_secs(20));
    let config = Config {
        replace: Some(address(2).to_string()),
        ..TestCluster::config(4)
    };
    cluster.start_with(4, config).expect("it finds the cluster");
    let mut rows = ROWS;
    settle(&cluster, table, &[1, 3, 4], &[1, 3, 4], &mut rows);
    cluster.partition(&[1, 4], &[3], Link::Refused);
    assert_readable(&cluster, table, &[1], rows);
    assert!(!cluster.node(1).ring_state().serves(dead));
}

#[test]
fn a_second_change_is_refused_with_what_is_under_way() {
    let (mut cluster, table) = with_data(5);
    for number in 4..=5 {
        cluster.start(number).expect("it finds the cluster");
    }
    let mut rows = ROWS;
    settle(&cluster, table, &[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5], &mut rows);
    // The change waits until n5 has it durably.
    cluster.envs[4].set_disk_delay(Duration::from_secs(3));
    let first = decommission(&cluster, 1);
    cluster.run_for(Duration::from_secs(1));
    assert!(cluster.node(1).ring_change().is_some());
    let second = decommission(&cluster, 2);
    cluster.run_for(STEP);
    let refused = second.lock().take();
    assert!(
        matches!(&refused, Some(Err(ChangeError::Busy { what, .. })) if what.contains("leaves")),
        "{refused:?}"
    );
    cluster.envs[4].set_disk_delay(Duration::ZERO);
    settle(&cluster, table, &[2, 3, 4, 5], &[2, 3, 4, 5], &mut rows);
    cluster.run_for(STEP);
    assert_eq!(first.lock().take(), Some(Ok(())));
}

/// The node's disk is slow from now on: no step of a change is confirmed by it.
fn hold(cluster: &TestCluster, node: usize) {
    cluster.envs[node - 1].set_disk_delay(Duration::from_secs(10));
}

fn release(cluster: &TestCluster, node: usize) {
    cluster.envs[node - 1].set_disk_delay(Duration::ZERO);
}

fn until(cluster: &TestCluster, what: &str, there: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if there() {
            return;
        }
        cluster.run_for(Duration::from_millis(10));
    }
    panic!("{what}");
}

/// A cluster whose fourth node died while it joined.
fn with_a_joiner_that_died() -> (TestCluster, TableId) {
    let (mut cluster, table) = with_data(4);
    hold(&cluster, 2);
    cluster.start(4).expect("it finds the cluster");
    until(&cluster, "it joins", || {
        (1..=3).all(|node| cluster.node(node).ring_change().is_some())
    });
    cluster.kill(4);
    release(&cluster, 2);
    cluster.run_for(Duration::from_secs(20));
    assert!(cluster.node(1).ring_change().is_some(), "and is waited for");
    (cluster, table)
}

#[test]
fn a_joiner_that_died_goes_on_when_it_is_back() {
    let (mut cluster, table) = with_a_joiner_that_died();
    let mut rows = ROWS;
    for _ in 0..10 {
        write(&cluster, table, 3, rows);
        rows += 1;
    }
    assert_readable(&cluster, table, &[1], rows);
    cluster.restart(4);
    settle(&cluster, table, &[1, 2, 3, 4], &[1, 2, 3, 4], &mut rows);
    assert_readable(&cluster, table, &[4], rows);
}

#[test]
fn a_change_whose_coordinator_is_dead_is_given_up() {
    let (mut cluster, table) = with_a_joiner_that_died();
    let node = Arc::clone(cluster.node(3));
    let aborted = spawn(&cluster, async move { node.abort_ring_change().await });
    let mut rows = ROWS;
    settle(&cluster, table, &[1, 2, 3], &[1, 2, 3], &mut rows);
    until(&cluster, "it is told", || aborted.lock().is_some());
    assert_eq!(aborted.lock().take(), Some(Ok(())));
    // Should it come back, it begins anew.
    cluster.restart(4);
    settle(&cluster, table, &[1, 2, 3, 4], &[1, 2, 3, 4], &mut rows);
    assert_readable(&cluster, table, &[2, 4], rows);
}

#[test]
fn a_node_moves_to_another_rack() {
    let (mut cluster, table) = with_data(3);
    cluster.kill(2);
    cluster.run_for(Duration::from_secs(2));
    for other in 1..=3 {
        cluster.world.set_link(address(2), address(other), Link::Good);
    }
    let config = Config {
        rack: "rack2".to_owned(),
        ..TestCluster::config(2)
    };
    cluster.start_with(2, config).expect("it comes back");
    cluster.run_for(Duration::from_secs(20));
    let racks = |node: usize| {
        let members = cluster.node(node).ring_state().members();
        members
            .into_iter()
            .map(|member| member.rack)
            .collect::<BTreeSet<_>>()
    };
    for node in 1..=3 {
        assert_eq!(
            racks(node),
            BTreeSet::from(["rack1".to_owned(), "rack2".to_owned()]),
            "n{node}"
        );
    }
    assert_readable(&cluster, table, &[1, 2], ROWS);
}

#[test]
fn a_wiped_disk_does_not_bring_old_tokens_back() {
    let (mut cluster, _) = with_data(3);
    cluster.kill(3);
    cluster.run_for(Duration::from_secs(20));
    cluster.envs[2] = TestEnv::new(&cluster.world, address(3));
    cluster.restart(3);
    cluster.run_for(Duration::from_secs(10));
    // The node that it was is dead, and has to be removed or replaced first.
    assert!(!cluster.node(3).is_ready());
    assert_eq!(cluster.node(1).ring_state().members().len(), 3);
}

//! Clusters whose ring changes: with data, with rows that come meanwhile, and nodes that hold a step up.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_model::{Consistency, NodeId, TableId};

use crate::{
    start_error::StartError,
    testing::{TestCluster, address, insert, rows_of, whole_partition},
    topology::{ChangeError, Phase},
};

pub(super) const ROWS: u32 = 60;
pub(super) const STEP: Duration = Duration::from_millis(20);
/// Long enough for a dead node to be taken for dead.
pub(super) const A_WHILE: Duration = Duration::from_secs(20);

/// Three nodes with a table of three replicas and some rows, and room for more nodes.
pub(super) fn with_data(size: usize) -> (TestCluster, TableId) {
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

/// The same and a fourth node, which has joined meanwhile, and how many rows there are by then.
pub(super) fn with_four(size: usize) -> (TestCluster, TableId, u32) {
    let (mut cluster, table) = with_data(size);
    cluster.start(4).expect("it finds the cluster");
    let mut rows = ROWS;
    settle(&cluster, table, &[1, 2, 3, 4], &mut rows);
    (cluster, table, rows)
}

pub(super) fn name(row: u32) -> String {
    format!("key{row}")
}

pub(super) fn write(cluster: &TestCluster, table: TableId, node: usize, row: u32) {
    let mutation = insert(table, &name(row), row, "v", 1_000);
    let written = cluster.write(node, mutation, Consistency::Quorum);
    assert_eq!(written, Ok(()), "row {row} through n{node}");
}

pub(super) fn assert_readable(cluster: &TestCluster, table: TableId, nodes: &[usize], rows: u32) {
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
pub(super) fn ring_of(cluster: &TestCluster, node: usize) -> BTreeSet<usize> {
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

pub(super) fn id(cluster: &TestCluster, node: usize) -> NodeId {
    cluster.node(node).id
}

/// How far the change is that a node knows of.
pub(super) fn phase(cluster: &TestCluster, node: usize) -> Option<Phase> {
    cluster.node(node).ring_change().map(|change| change.phase)
}

/// Lets time pass, and rows be written, until all members of this ring know it and no change.
pub(super) fn settle(cluster: &TestCluster, table: TableId, ring: &[usize], rows: &mut u32) {
    settle_seen_by(cluster, table, ring, ring, rows);
}

/// The same for these nodes to know it, which are not just its members. Rows are written through the first two.
pub(super) fn settle_seen_by(
    cluster: &TestCluster,
    table: TableId,
    nodes: &[usize],
    ring: &[usize],
    rows: &mut u32,
) {
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

pub(super) type Outcome = Arc<Mutex<Option<Result<(), ChangeError>>>>;

pub(super) fn spawn(
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

pub(super) fn decommission(cluster: &TestCluster, node: usize) -> Outcome {
    let node = Arc::clone(cluster.node(node));
    spawn(cluster, async move { node.decommission(false).await })
}

pub(super) fn remove(cluster: &TestCluster, through: usize, gone: Vec<NodeId>) -> Outcome {
    let node = Arc::clone(cluster.node(through));
    spawn(cluster, async move { node.remove(&gone, false).await })
}

pub(super) fn abort(cluster: &TestCluster, through: usize) -> Outcome {
    let node = Arc::clone(cluster.node(through));
    spawn(cluster, async move { node.abort_ring_change().await })
}

/// Whoever asked for it is told that it is done, sooner or later.
#[track_caller]
pub(super) fn assert_done(cluster: &TestCluster, outcome: &Outcome) {
    until(cluster, "it is told", || outcome.lock().is_some());
    assert_eq!(outcome.lock().take(), Some(Ok(())));
}

/// A dead node that comes back is refused.
#[track_caller]
pub(super) fn assert_refused(cluster: &mut TestCluster, node: usize) {
    cluster.restart(node);
    cluster.run_for(Duration::from_secs(5));
    let failure = cluster.node(node).failure();
    assert!(
        matches!(failure, Some(StartError::Removed(_) | StartError::Expelled)),
        "{failure:?}"
    );
    assert!(!cluster.node(node).is_ready());
}

/// The node's disk is slow from now on: no step of a change is confirmed by it.
pub(super) fn hold(cluster: &TestCluster, node: usize) {
    cluster.envs[node - 1].set_disk_delay(Duration::from_secs(10));
}

pub(super) fn release(cluster: &TestCluster, node: usize) {
    cluster.envs[node - 1].set_disk_delay(Duration::ZERO);
}

pub(super) fn until(cluster: &TestCluster, what: &str, there: impl Fn() -> bool) {
    // A fetch takes a dozen turns of a disk, which may be a slow one.
    for _ in 0..6_000 {
        if there() {
            return;
        }
        cluster.run_for(Duration::from_millis(10));
    }
    panic!("{what}");
}

/// Four nodes, and a fifth that joins, with room for `size`; the change is in this phase, and one node does not confirm it.
pub(super) fn held_up(size: usize, at: Phase, by: usize) -> (TestCluster, TableId, u32) {
    let (mut cluster, table, rows) = with_four(size);
    cluster.envs[by - 1].set_disk_delay(Duration::from_secs(2));
    cluster.start(5).expect("it finds the cluster");
    until(&cluster, "it joins", || phase(&cluster, 5) == Some(at));
    hold(&cluster, by);
    cluster.run_for(STEP * 5);
    assert_eq!(phase(&cluster, 5), Some(at));
    (cluster, table, rows)
}

/// These nodes die for good.
pub(super) fn let_die(cluster: &mut TestCluster, nodes: &[usize]) -> Vec<NodeId> {
    let ids = nodes.iter().map(|node| id(cluster, *node)).collect();
    for node in nodes {
        cluster.kill(*node);
    }
    (1..=cluster.envs.len()).for_each(|node| release(cluster, node));
    cluster.run_for(A_WHILE);
    ids
}

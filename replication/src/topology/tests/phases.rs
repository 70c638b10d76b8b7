//! Changes whose nodes die, or fall behind, between any two steps.

use std::{sync::Arc, time::Duration};

use starling_model::{Consistency, TableId};

use super::{
    super::{ChangeError, Phase},
    scene::{
        STEP, abort, assert_done, assert_readable, decommission, held_up, id, name, phase, ring_of, settle,
        settle_seen_by, until, with_four, write,
    },
};
use crate::testing::{Link, TestCluster, address, rows_of, whole_partition};

/// How long each step takes while one disk is slow.
const SLOW: Duration = Duration::from_secs(2);

/// Four nodes, and a fifth that joins; the change is in this phase, and n2 takes its time to confirm it.
fn while_joining(at: Phase) -> (TestCluster, TableId, u32) {
    let (mut cluster, table, rows) = with_four(5);
    cluster.envs[1].set_disk_delay(SLOW);
    cluster.start(5).expect("it finds the cluster");
    until(&cluster, "it joins", || phase(&cluster, 5) == Some(at));
    cluster.run_for(STEP * 5);
    (cluster, table, rows)
}

fn let_die(cluster: &mut TestCluster, node: usize) {
    cluster.kill(node);
    cluster.envs[1].set_disk_delay(Duration::ZERO);
    cluster.run_for(Duration::from_secs(20));
}

/// A replica that counts for the present ring and for the next one has just died, and nobody knows. Whoever is asked in its place may
/// count for one of the two only: then another one is asked for the other.
#[test]
fn a_level_is_met_past_a_replica_that_has_just_died() {
    for dead in [3, 4] {
        let (cluster, table, _) = held_up(5, Phase::Pending, 2);
        let dead_id = id(&cluster, dead);
        for row in 0..10 {
            cluster.partition(&[1], &[dead], Link::Refused);
            let command = whole_partition(table, &name(row), cluster.now());
            let page = cluster.read(1, command, Consistency::Two);
            cluster.partition(&[1], &[dead], Link::Good);
            let page = page.unwrap_or_else(|error| panic!("row {row} without n{dead}: {error}"));
            assert_eq!(
                rows_of(&page, cluster.now()).len(),
                1,
                "row {row} without n{dead}"
            );
            until(&cluster, "n1 sees it again", || {
                cluster.node(1).views.load().cluster.peers[&dead_id].alive
            });
        }
        assert_eq!(phase(&cluster, 1), Some(Phase::Pending), "the ring still changes");
    }
}

/// The same where nobody refuses: the replica is silent. Two are asked in its place then, one for each ring.
#[test]
fn a_level_is_met_past_a_replica_that_hangs() {
    for silent in [3, 4] {
        let (cluster, table, _) = held_up(5, Phase::Pending, 2);
        let silent_id = id(&cluster, silent);
        for row in 0..10 {
            // It is among the first that are asked.
            let latency = Arc::clone(&cluster.node(1).views.load().cluster.peers[&silent_id].latency);
            (0..100).for_each(|_| latency.record(Duration::from_micros(1)));
            cluster.partition(&[1], &[silent], Link::Silent);
            let before = cluster.world.executor.now();
            let command = whole_partition(table, &name(row), cluster.now());
            let page = cluster.read(1, command, Consistency::Two);
            let took = cluster.world.executor.now().saturating_sub(before);
            cluster.partition(&[1], &[silent], Link::Good);
            let page = page.unwrap_or_else(|error| panic!("row {row} without n{silent}: {error}"));
            assert_eq!(rows_of(&page, cluster.now()).len(), 1);
            assert!(
                took < Duration::from_millis(100),
                "row {row} without n{silent}: {took:?}"
            );
            cluster.run_for(Duration::from_secs(1));
            assert!(cluster.node(1).views.load().cluster.peers[&silent_id].alive);
        }
        assert_eq!(phase(&cluster, 1), Some(Phase::Pending), "the ring still changes");
    }
}

#[test]
fn a_joiner_that_dies_in_any_phase_goes_on_when_it_is_back() {
    for at in [Phase::Pending, Phase::Settling] {
        let (mut cluster, table, mut rows) = while_joining(at);
        let_die(&mut cluster, 5);
        for _ in 0..10 {
            write(&cluster, table, 3, rows);
            rows += 1;
        }
        assert_readable(&cluster, table, &[1], rows);
        assert_eq!(ring_of(&cluster, 1).len(), 4, "{at:?}: it is waited for");
        cluster.restart(5);
        settle(&cluster, table, &[1, 2, 3, 4, 5], &mut rows);
        assert_readable(&cluster, table, &[4, 5], rows);
    }
}

#[test]
fn a_change_whose_data_is_there_is_finished_by_another_when_its_coordinator_is_dead() {
    let (mut cluster, table, mut rows) = while_joining(Phase::Settling);
    let_die(&mut cluster, 5);
    assert_eq!(phase(&cluster, 3), Some(Phase::Settling));
    let ended = abort(&cluster, 3);
    settle_seen_by(&cluster, table, &[1, 2, 3, 4], &[1, 2, 3, 4, 5], &mut rows);
    assert_done(&cluster, &ended);
    assert_readable(&cluster, table, &[1], rows);
    cluster.restart(5);
    cluster.run_for(Duration::from_secs(5));
    assert_readable(&cluster, table, &[5], rows);
}

#[test]
fn who_leaves_and_dies_goes_on_when_it_is_back() {
    for at in [Phase::Pending, Phase::Settling] {
        let (mut cluster, table, mut rows) = with_four(4);
        cluster.envs[1].set_disk_delay(SLOW);
        decommission(&cluster, 4);
        until(&cluster, "it leaves", || phase(&cluster, 4) == Some(at));
        let_die(&mut cluster, 4);
        write(&cluster, table, 1, rows);
        rows += 1;
        cluster.restart(4);
        settle_seen_by(&cluster, table, &[1, 2, 3, 4], &[1, 2, 3], &mut rows);
        assert_readable(&cluster, table, &[1, 3], rows);
    }
}

#[test]
fn a_member_that_dies_is_waited_for() {
    let (mut cluster, table, mut rows) = while_joining(Phase::Pending);
    let_die(&mut cluster, 3);
    assert!(phase(&cluster, 5).is_some());
    write(&cluster, table, 1, rows);
    rows += 1;
    cluster.restart(3);
    settle(&cluster, table, &[1, 2, 3, 4, 5], &mut rows);
    assert_readable(&cluster, table, &[3, 5], rows);
}

#[test]
fn a_keyspace_keeps_its_replicas_meanwhile() {
    const ALTER: &str =
        "ALTER KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}";
    let (cluster, table, mut rows) = while_joining(Phase::Pending);
    let refused = cluster.cql(1, ALTER).expect_err("data is on its way");
    assert!(refused.message.contains("nothing was changed"), "{refused}");
    cluster.envs[1].set_disk_delay(Duration::ZERO);
    settle(&cluster, table, &[1, 2, 3, 4, 5], &mut rows);
    let warnings = cluster.cql(1, ALTER).expect("nothing is in its way").warnings;
    assert!(warnings.is_empty(), "{warnings:?}");
    let epoch = cluster.node(1).ring_state().epoch();
    cluster.cql(1, ALTER).expect("it is so");
    let now = cluster.node(1).ring_state().epoch();
    assert_eq!(now, epoch, "what says nothing new changes nothing");
    assert_readable(&cluster, table, &[1, 5], rows);
}

#[test]
fn who_commands_it_can_give_it_up() {
    let (cluster, table, mut rows) = while_joining(Phase::Pending);
    // From a node that does not carry it through.
    let aborted = abort(&cluster, 1);
    assert_done(&cluster, &aborted);
    // The node itself still wants to join, and does once nothing is in its way.
    cluster.envs[1].set_disk_delay(Duration::ZERO);
    settle(&cluster, table, &[1, 2, 3, 4, 5], &mut rows);
    assert_readable(&cluster, table, &[5], rows);
}

#[test]
fn an_aborted_decommission_is_told_so() {
    let (cluster, table, mut rows) = with_four(4);
    cluster.envs[1].set_disk_delay(SLOW);
    let left = decommission(&cluster, 4);
    until(&cluster, "it leaves", || phase(&cluster, 4).is_some());
    abort(&cluster, 4);
    until(&cluster, "it is told", || left.lock().is_some());
    assert_eq!(left.lock().take(), Some(Err(ChangeError::Aborted)));
    cluster.envs[1].set_disk_delay(Duration::ZERO);
    settle(&cluster, table, &[1, 2, 3, 4], &mut rows);
    assert_readable(&cluster, table, &[1, 4], rows);
}

#[test]
fn a_coordinator_that_missed_a_change_is_told_and_its_clients_see_nothing() {
    let (cluster, table, mut rows) = while_joining(Phase::Settling);
    // n3 has confirmed that all data is there, and does not hear that the change is done.
    for other in [1, 2, 4, 5] {
        cluster.world.set_link(address(other), address(3), Link::Silent);
        cluster.world.set_link(address(3), address(other), Link::Silent);
    }
    until(&cluster, "it is done", || ring_of(&cluster, 1).len() == 5);
    assert_eq!(phase(&cluster, 3), Some(Phase::Settling));
    let before = cluster.node(3).status().counters.old_rings;
    for other in [1, 2, 4, 5] {
        cluster.world.set_link(address(other), address(3), Link::Good);
        cluster.world.set_link(address(3), address(other), Link::Good);
    }
    for _ in 0..5 {
        write(&cluster, table, 3, rows);
        rows += 1;
    }
    assert!(cluster.node(3).status().counters.old_rings > before);
    assert_eq!(ring_of(&cluster, 3).len(), 5, "it knows now");
    assert_readable(&cluster, table, &[3], rows);
    assert!(cluster.node(3).ring_state().serves(id(&cluster, 5)));
}

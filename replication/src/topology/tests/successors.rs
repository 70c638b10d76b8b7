//! Changes that wait for a node which is dead for good, and whoever is started to take its place.

use std::{sync::Arc, time::Duration};

use starling_model::{NodeId, TableId, Timestamp, Token};

use super::{
    super::{ChangeError, ChangeKind, Phase, TopologyRequest, TopologyResponse},
    scene::{
        A_WHILE, Outcome, ROWS, abort, assert_done, assert_readable, assert_refused, decommission, held_up,
        hold, id, let_die, phase, release, remove, ring_of, settle, settle_seen_by, spawn, until, with_four,
        write,
    },
};
use crate::{
    config::Config,
    message::{PeerRequest, Request, Response},
    start_error::StartError,
    testing::{Link, TestCluster, address, insert, key},
};

/// A node that was never there is started to take this one's place.
fn succeed(cluster: &mut TestCluster, new: usize, dead: usize) {
    let config = Config {
        replace: Some(address(dead).to_string()),
        ..TestCluster::config(new)
    };
    cluster.start_with(new, config).expect("it finds the cluster");
}

fn tokens(cluster: &TestCluster, through: usize, node: usize) -> Vec<Token> {
    let me = id(cluster, node);
    let members = cluster.node(through).ring_state().members();
    let member = members.into_iter().find(|member| member.id == me);
    member.expect("it is in the ring").tokens
}

/// Four nodes, of whom the fourth leaves and dies in this phase; n2 had not confirmed it.
fn leaver_that_died(at: Phase) -> (TestCluster, TableId, u32, Vec<Token>) {
    let (mut cluster, table, rows) = with_four(6);
    let old = tokens(&cluster, 1, 4);
    cluster.envs[1].set_disk_delay(Duration::from_secs(2));
    decommission(&cluster, 4);
    until(&cluster, "it leaves", || phase(&cluster, 4) == Some(at));
    hold(&cluster, 2);
    cluster.run_for(Duration::from_millis(100));
    cluster.kill(4);
    release(&cluster, 2);
    cluster.run_for(A_WHILE);
    assert_eq!(phase(&cluster, 1), Some(at), "it is waited for");
    (cluster, table, rows, old)
}

#[test]
fn a_member_that_a_change_waits_for_is_replaced() {
    for at in [Phase::Pending, Phase::Settling] {
        let (mut cluster, table, mut rows) = held_up(6, at, 3);
        let old = tokens(&cluster, 1, 3);
        let_die(&mut cluster, &[3]);
        assert_eq!(phase(&cluster, 1), Some(at), "it is waited for");
        write(&cluster, table, 1, rows);
        rows += 1;
        succeed(&mut cluster, 6, 3);
        // Who wanted to join does in the end, in whichever order.
        settle(&cluster, table, &[1, 2, 4, 5, 6], &mut rows);
        assert_eq!(tokens(&cluster, 1, 6), old, "{at:?}");
        assert_readable(&cluster, table, &[1, 5, 6], rows);
        // Any two replicas have everything.
        cluster.partition(&[1, 4, 5, 6], &[2], Link::Refused);
        assert_readable(&cluster, table, &[1], rows);
        cluster.partition(&[1, 4, 5, 6], &[2], Link::Good);
        assert_refused(&mut cluster, 3);
    }
}

#[test]
fn who_died_while_it_joined_has_a_successor() {
    for at in [Phase::Pending, Phase::Settling] {
        let (mut cluster, table, mut rows) = held_up(6, at, 3);
        let_die(&mut cluster, &[5]);
        assert_eq!(phase(&cluster, 1), Some(at), "it is waited for");
        write(&cluster, table, 1, rows);
        rows += 1;
        let change = cluster.node(1).ring_change().expect("it is under way");
        let ChangeKind::Join { member, .. } = change.kind else {
            panic!("{change:?}");
        };
        succeed(&mut cluster, 6, 5);
        settle(&cluster, table, &[1, 2, 3, 4, 6], &mut rows);
        // Where nothing was there yet it comes in with tokens of its own.
        assert_eq!(tokens(&cluster, 1, 6) == member.tokens, at == Phase::Settling);
        assert_readable(&cluster, table, &[2, 6], rows);
        assert_refused(&mut cluster, 5);
    }
}

#[test]
fn who_died_while_it_left_has_a_successor() {
    for at in [Phase::Pending, Phase::Settling] {
        let (mut cluster, table, mut rows, old) = leaver_that_died(at);
        succeed(&mut cluster, 5, 4);
        settle(&cluster, table, &[1, 2, 3, 5], &mut rows);
        // What it had is where it was to go if all data was there.
        assert_eq!(tokens(&cluster, 1, 5) == old, at == Phase::Pending);
        assert_readable(&cluster, table, &[1, 5], rows);
        if at == Phase::Pending {
            assert_refused(&mut cluster, 4);
        } else {
            // It is told, for good.
            cluster.restart(4);
            cluster.run_for(Duration::from_secs(5));
            assert!(!cluster.node(4).is_ready());
            cluster.kill(4);
            cluster.reconnect(4);
            assert_eq!(cluster.start(4), Err(StartError::Left));
        }
    }
}

#[test]
fn a_successor_that_died_has_one_too() {
    for at in [Phase::Pending, Phase::Settling] {
        let (mut cluster, table, mut rows) = with_four(6);
        let old = tokens(&cluster, 1, 4);
        cluster.kill(4);
        cluster.run_for(A_WHILE);
        cluster.envs[1].set_disk_delay(Duration::from_secs(2));
        succeed(&mut cluster, 5, 4);
        until(&cluster, "it comes in", || phase(&cluster, 5) == Some(at));
        hold(&cluster, 2);
        cluster.run_for(Duration::from_millis(100));
        let_die(&mut cluster, &[5]);
        assert_eq!(phase(&cluster, 1), Some(at), "it is waited for");
        succeed(&mut cluster, 6, 5);
        settle(&cluster, table, &[1, 2, 3, 6], &mut rows);
        assert_eq!(tokens(&cluster, 1, 6), old, "{at:?}");
        assert_readable(&cluster, table, &[3, 6], rows);
    }
}

/// Until it is in it speaks for the one whose place it is to take.
#[test]
fn the_successor_of_a_successor_says_that_the_one_before_it_is_dead() {
    let (mut cluster, table) = of_five();
    let mut rows = ROWS;
    let old = tokens(&cluster, 1, 4);
    let_die(&mut cluster, &[4]);
    cluster.envs[1].set_disk_delay(Duration::from_secs(2));
    succeed(&mut cluster, 6, 4);
    until(&cluster, "it comes in", || {
        phase(&cluster, 6) == Some(Phase::Pending)
    });
    hold(&cluster, 2);
    let_die(&mut cluster, &[6]);
    // The next one waits for another that is down.
    let dead = let_die(&mut cluster, &[3]);
    succeed(&mut cluster, 7, 6);
    cluster.run_for(A_WHILE);
    assert!(cluster.node(1).ring_change().is_none() && !cluster.node(7).is_ready());
    // Which need not be removed together with the first of all.
    let node = Arc::clone(cluster.node(1));
    let removed = spawn(&cluster, async move { node.remove(&dead, true).await });
    assert_done(&cluster, &removed);
    settle(&cluster, table, &[1, 2, 5, 7], &mut rows);
    assert_eq!(tokens(&cluster, 1, 7), old);
    assert_readable(&cluster, table, &[2, 7], rows);
}

#[test]
fn a_change_is_not_ended_for_the_successor_of_who_is_alive() {
    for at in [Phase::Pending, Phase::Settling] {
        let (mut cluster, table, mut rows) = held_up(6, at, 3);
        let_die(&mut cluster, &[3]);
        succeed(&mut cluster, 6, 4);
        let goes_on = |cluster: &TestCluster| {
            cluster.run_for(A_WHILE);
            let change = cluster.node(1).ring_change().expect("it is under way");
            assert!(change.phase == at && change.lost.is_empty(), "{change:?}");
        };
        goes_on(&cluster);
        // Nor if it is dead for one member alone.
        if at == Phase::Settling {
            for node in [1, 2] {
                cluster.partition(&[node], &[4], Link::Silent);
                goes_on(&cluster);
                cluster.partition(&[node], &[4], Link::Good);
                goes_on(&cluster);
            }
        }
        cluster.restart(3);
        settle(&cluster, table, &[1, 2, 3, 4, 5], &mut rows);
        assert!(!cluster.node(6).is_ready());
        assert_readable(&cluster, table, &[4], rows);
    }
}

#[test]
fn a_change_that_waits_for_two_dead_nodes_ends_when_both_are_removed() {
    let (mut cluster, table, mut rows) = held_up(6, Phase::Settling, 3);
    let dead = let_die(&mut cluster, &[3, 5]);
    let removed = remove(&cluster, 1, vec![dead[1]]);
    until(&cluster, "it is refused", || removed.lock().is_some());
    let refused = removed.lock().take();
    assert!(
        matches!(refused, Some(Err(ChangeError::Down { .. }))),
        "{refused:?}"
    );
    let change = cluster.node(1).ring_change().expect("it is under way");
    assert!(change.lost.is_empty(), "one of the two is not said to be dead");
    let removed = remove(&cluster, 1, dead);
    until(&cluster, "it is told", || removed.lock().is_some());
    assert_eq!(ring_of(&cluster, 1), [1, 2, 4].into());
    write(&cluster, table, 1, rows);
    rows += 1;
    assert_readable(&cluster, table, &[2], rows);
}

#[test]
fn one_of_two_dead_nodes_is_removed_and_the_other_one_replaced() {
    let (mut cluster, table, mut rows) = held_up(6, Phase::Settling, 3);
    let old = tokens(&cluster, 1, 3);
    let dead = let_die(&mut cluster, &[3, 5]);
    succeed(&mut cluster, 6, 3);
    cluster.run_for(A_WHILE);
    let change = cluster.node(1).ring_change().expect("it is under way");
    assert!(change.lost.is_empty(), "one of the two is not said to be dead");
    let removed = remove(&cluster, 1, vec![dead[1]]);
    assert_done(&cluster, &removed);
    settle(&cluster, table, &[1, 2, 4, 6], &mut rows);
    assert_eq!(tokens(&cluster, 1, 6), old);
    assert_readable(&cluster, table, &[2, 6], rows);
    assert_refused(&mut cluster, 3);
    assert_refused(&mut cluster, 5);
}

/// Five nodes with five replicas of some rows, and room for four more nodes.
fn of_five() -> (TestCluster, TableId) {
    let mut cluster = TestCluster::prepared(9);
    for number in 1..=5 {
        cluster.start(number).expect("a node starts");
    }
    cluster.run_for(Duration::from_secs(3));
    let table = cluster.make_table(5);
    for row in 0..ROWS {
        write(&cluster, table, 1 + row as usize % 5, row);
    }
    (cluster, table)
}

/// The same, and a sixth that joins; the change is in this phase, and n3 does not confirm it.
fn of_five_and_one(at: Phase) -> (TestCluster, TableId) {
    let (mut cluster, table) = of_five();
    cluster.envs[2].set_disk_delay(Duration::from_secs(2));
    cluster.start(6).expect("it finds the cluster");
    until(&cluster, "it joins", || phase(&cluster, 6) == Some(at));
    hold(&cluster, 3);
    cluster.run_for(Duration::from_millis(100));
    assert_eq!(phase(&cluster, 6), Some(at));
    (cluster, table)
}

#[test]
fn two_that_died_while_nothing_was_under_way_have_a_successor_each() {
    let (mut cluster, table) = of_five();
    let mut rows = ROWS;
    let old = [3, 4].map(|node| tokens(&cluster, 1, node));
    // A quorum has it, of whom one is left.
    let quorum = insert(table, "three", 0, "v", 2_000);
    for node in [2, 3, 4] {
        cluster.store(node).apply_now(quorum.clone());
    }
    let dead = let_die(&mut cluster, &[3, 4]);
    succeed(&mut cluster, 6, 3);
    cluster.run_for(A_WHILE);
    // One alone does not speak for the other.
    assert!(cluster.node(1).ring_change().is_none() && !cluster.node(6).is_ready());
    let state = cluster.node(1).ring_state();
    assert!(dead.iter().all(|id| state.refused_since(*id).is_none()));
    succeed(&mut cluster, 7, 4);
    settle(&cluster, table, &[1, 2, 5, 6, 7], &mut rows);
    assert_eq!([6, 7].map(|node| tokens(&cluster, 1, node)), old);
    assert_readable(&cluster, table, &[1, 6, 7], rows);
    // A quorum has it again.
    for node in [6, 7] {
        assert!(!cluster.stored(node, table, &key("three")).is_empty(), "n{node}");
    }
    assert_refused(&mut cluster, 3);
    assert_refused(&mut cluster, 4);
}

#[test]
fn two_that_a_change_waits_for_have_a_successor_each() {
    for at in [Phase::Pending, Phase::Settling] {
        let (mut cluster, table) = of_five_and_one(at);
        let mut rows = ROWS;
        let old = [3, 4].map(|node| tokens(&cluster, 1, node));
        let_die(&mut cluster, &[3, 4]);
        assert_eq!(phase(&cluster, 1), Some(at), "it is waited for");
        succeed(&mut cluster, 7, 3);
        cluster.run_for(A_WHILE);
        assert!(!cluster.node(7).is_ready());
        succeed(&mut cluster, 8, 4);
        // Who wanted to join does in the end, in whichever order.
        settle(&cluster, table, &[1, 2, 5, 6, 7, 8], &mut rows);
        assert_eq!([7, 8].map(|node| tokens(&cluster, 1, node)), old, "{at:?}");
        assert_readable(&cluster, table, &[1, 6, 7, 8], rows);
        assert_refused(&mut cluster, 3);
        assert_refused(&mut cluster, 4);
    }
}

#[test]
fn who_dies_while_a_change_is_being_ended_without_another_has_a_successor_too() {
    let (mut cluster, table) = of_five_and_one(Phase::Settling);
    let mut rows = ROWS;
    let old = [3, 4].map(|node| tokens(&cluster, 1, node));
    let first = let_die(&mut cluster, &[3]);
    hold(&cluster, 4);
    succeed(&mut cluster, 7, 3);
    let lost = |cluster: &TestCluster| cluster.node(1).ring_change().map(|change| change.lost);
    until(&cluster, "it goes on without the first", || {
        lost(&cluster) == Some(first.iter().copied().collect())
    });
    let_die(&mut cluster, &[4]);
    assert_eq!(lost(&cluster).map(|lost| lost.len()), Some(1), "it is waited for");
    succeed(&mut cluster, 8, 4);
    settle(&cluster, table, &[1, 2, 5, 6, 7, 8], &mut rows);
    assert_eq!([7, 8].map(|node| tokens(&cluster, 1, node)), old);
    assert_readable(&cluster, table, &[1, 6, 7, 8], rows);
    assert_refused(&mut cluster, 3);
    assert_refused(&mut cluster, 4);
}

/// What a member answers to a successor of the dead one.
fn ask_to_end(cluster: &TestCluster, through: usize, dead: NodeId) -> TopologyResponse {
    let request = PeerRequest {
        sender: NodeId(77),
        ring: 0,
        epoch: 0,
        clock: Timestamp(0),
        deadline_ms: 5_000,
        tracing: false,
        era: 0,
        body: Request::Topology(TopologyRequest::End(dead)),
    };
    let answer = cluster.node(through).handle(address(9), request);
    match cluster.world.executor.run(answer).body {
        Response::Topology(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// All successors ask the same member first.
#[test]
fn who_ends_a_change_without_one_ends_it_without_another_too() {
    let (mut cluster, table) = of_five_and_one(Phase::Settling);
    let mut rows = ROWS;
    let first = let_die(&mut cluster, &[3])[0];
    hold(&cluster, 4);
    let answer = ask_to_end(&cluster, 1, first);
    assert!(matches!(answer, TopologyResponse::NotYet(_)), "{answer:?}");
    let second = let_die(&mut cluster, &[4])[0];
    let answer = ask_to_end(&cluster, 1, first);
    let TopologyResponse::Refused(reason) = answer else {
        panic!("{answer:?}");
    };
    assert!(reason.contains(&second.to_string()), "{reason}");
    assert_eq!(ask_to_end(&cluster, 1, second), TopologyResponse::Done);
    assert_eq!(ask_to_end(&cluster, 1, first), TopologyResponse::Done);
    let there = [1, 2, 5, 6];
    settle_seen_by(&cluster, table, &there, &[1, 2, 3, 4, 5, 6], &mut rows);
    assert_readable(&cluster, table, &there, rows);
}

fn end_without(cluster: &TestCluster, through: usize, dead: NodeId) -> Outcome {
    let changes = Arc::clone(&cluster.node(through).ring_changes);
    spawn(cluster, async move { changes.end_without(&[dead]).await })
}

#[test]
fn two_nodes_that_each_end_a_change_without_another_one_come_to_the_same_end() {
    let (mut cluster, table) = of_five_and_one(Phase::Settling);
    let mut rows = ROWS;
    let first = let_die(&mut cluster, &[3])[0];
    hold(&cluster, 4);
    let one = end_without(&cluster, 1, first);
    until(&cluster, "the other one has heard of it", || {
        let change = cluster.node(5).ring_change();
        change.is_some_and(|change| change.goes_on_without(first))
    });
    let second = id(&cluster, 4);
    cluster.kill(4);
    cluster.run_for(A_WHILE);
    assert_eq!(phase(&cluster, 1), Some(Phase::Settling), "it is waited for");
    let other = end_without(&cluster, 5, second);
    assert_done(&cluster, &one);
    assert_done(&cluster, &other);
    let there = [1, 2, 5, 6];
    settle_seen_by(&cluster, table, &there, &[1, 2, 3, 4, 5, 6], &mut rows);
    for node in there {
        let state = cluster.node(node).ring_state();
        assert_eq!(state, cluster.node(1).ring_state(), "n{node}");
        assert!(state.refused_since(first).is_some() && state.refused_since(second).is_some());
    }
    assert_readable(&cluster, table, &there, rows);
}

/// Who takes part where two of five have died, n6 is to succeed n3, and n7 n4.
struct Coming {
    /// The successor that comes in first, by a change that takes `back` for dead.
    first: usize,
    /// The other one.
    second: usize,
    /// Whom the second is to succeed.
    back: usize,
}

/// Such a cluster, with the change under way; n2 takes its time to confirm it.
fn where_one_of_two_comes_in() -> (TestCluster, TableId, Coming) {
    let (mut cluster, table) = of_five();
    let dead = let_die(&mut cluster, &[3, 4]);
    cluster.envs[1].set_disk_delay(Duration::from_secs(2));
    succeed(&mut cluster, 6, 3);
    succeed(&mut cluster, 7, 4);
    until(&cluster, "one of them comes in", || phase(&cluster, 1).is_some());
    let change = cluster.node(1).ring_change().expect("it is under way");
    assert_eq!(change.lost.len(), 1, "{change:?}");
    let (first, second, back) = if change.lost.contains(&dead[0]) {
        (7, 6, 3)
    } else {
        (6, 7, 4)
    };
    (cluster, table, Coming { first, second, back })
}

#[test]
fn who_was_taken_for_dead_serves_again_if_the_change_without_it_is_given_up() {
    let (mut cluster, table, coming) = where_one_of_two_comes_in();
    let Coming { first, second, back } = coming;
    let mut rows = ROWS;
    // The other successor is gone, and who it was for was not dead.
    cluster.kill(second);
    let aborted = abort(&cluster, 1);
    assert_done(&cluster, &aborted);
    cluster.restart(back);
    release(&cluster, 2);
    settle(&cluster, table, &[1, 2, 5, back, first], &mut rows);
    assert!(cluster.node(back).is_ready());
    assert_readable(&cluster, table, &[1, back, first], rows);
}

/// It may be the only one left that has what a quorum acknowledged.
#[test]
fn who_was_taken_for_dead_and_is_back_is_not_expelled() {
    let (mut cluster, table, coming) = where_one_of_two_comes_in();
    let Coming { first, second, back } = coming;
    let mut rows = ROWS;
    hold(&cluster, 2);
    assert_eq!(phase(&cluster, 1), Some(Phase::Pending));
    cluster.kill(second);
    cluster.restart(back);
    cluster.run_for(A_WHILE);
    release(&cluster, 2);
    // The change is made anew, and waits for nobody who was taken for dead.
    settle(&cluster, table, &[1, 2, 5, back, first], &mut rows);
    assert!(cluster.node(back).is_ready());
    assert_readable(&cluster, table, &[1, back, first], rows);
}

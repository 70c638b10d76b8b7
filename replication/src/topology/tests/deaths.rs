//! Changes that wait for a node which is dead for good, and whoever is asked to remove it.

use std::{sync::Arc, time::Duration};

use starling_model::{Consistency, Timestamp};

use super::{
    super::{ChangeError, Phase},
    scene::{
        A_WHILE, STEP, abort, assert_done, assert_readable, assert_refused, held_up, id, let_die, name,
        phase, release, remove, settle, until, with_data, with_four, write,
    },
};
use crate::{
    message::{Failure, PeerRequest, Request, Response, WriteReason},
    testing::{Link, TestCluster, address, insert, key, rows_of, whole_partition},
};

/// What who gives the change up is told within some seconds.
fn told_of_abort(cluster: &TestCluster, through: usize) -> Option<Result<(), ChangeError>> {
    let outcome = abort(cluster, through);
    cluster.run_for(Duration::from_secs(5));
    outcome.lock().take()
}

#[test]
fn a_change_whose_data_is_there_goes_on_without_who_is_removed() {
    // Whether it had confirmed that or not.
    for slow in [2, 3] {
        let (mut cluster, table, mut rows) = held_up(5, Phase::Settling, slow);
        let dead = if slow == 3 {
            let_die(&mut cluster, &[3])
        } else {
            // It has, and is gone before the last one has.
            let dead = vec![id(&cluster, 3)];
            cluster.kill(3);
            cluster.run_for(A_WHILE);
            release(&cluster, 2);
            dead
        };
        cluster.run_for(A_WHILE);
        if slow == 3 {
            assert_eq!(phase(&cluster, 1), Some(Phase::Settling), "it is waited for");
            let refused = told_of_abort(&cluster, 1);
            assert!(
                matches!(refused, Some(Err(ChangeError::Down { .. }))),
                "{refused:?}"
            );
        }
        write(&cluster, table, 1, rows);
        rows += 1;
        let removed = remove(&cluster, 1, dead.clone());
        settle(&cluster, table, &[1, 2, 4, 5], &mut rows);
        assert_done(&cluster, &removed);
        assert_readable(&cluster, table, &[1, 5], rows);
        assert_refused(&mut cluster, 3);
    }
}

#[test]
fn a_change_whose_coordinator_is_dead_too_goes_on_without_both() {
    let (mut cluster, table, mut rows) = held_up(5, Phase::Settling, 3);
    let dead = let_die(&mut cluster, &[3, 5]);
    let refused = told_of_abort(&cluster, 1);
    assert!(
        matches!(refused, Some(Err(ChangeError::Down { .. }))),
        "{refused:?}"
    );
    let removed = remove(&cluster, 2, dead);
    settle(&cluster, table, &[1, 2, 4], &mut rows);
    assert_done(&cluster, &removed);
    cluster.partition(&[1, 2], &[4], Link::Refused);
    assert_readable(&cluster, table, &[1], rows);
}

#[test]
fn a_change_whose_data_is_not_there_is_given_up_for_who_is_removed() {
    let (mut cluster, table, mut rows) = held_up(5, Phase::Pending, 3);
    let dead = let_die(&mut cluster, &[3]);
    assert_eq!(phase(&cluster, 1), Some(Phase::Pending));
    let removed = remove(&cluster, 1, dead.clone());
    assert_done(&cluster, &removed);
    // Who wanted to join still does.
    settle(&cluster, table, &[1, 2, 4, 5], &mut rows);
    assert_readable(&cluster, table, &[4, 5], rows);
}

/// Runs until the coordinator of the change has been told to give it up, and not done so.
fn await_told(cluster: &TestCluster, coordinator: usize) {
    for _ in 0..5_000 {
        if !cluster.node(coordinator).ring_changes.unwanted.lock().is_empty() {
            // Its answer is on the way; it asks a slow member something at this time.
            cluster.run_for(STEP);
            assert_eq!(phase(cluster, coordinator), Some(Phase::Pending));
            return;
        }
        cluster.run_for(Duration::from_micros(200));
    }
    panic!("the coordinator is not told");
}

#[test]
fn a_change_is_given_up_whose_coordinator_dies_when_it_is_told() {
    let (mut cluster, table, mut rows) = held_up(5, Phase::Pending, 3);
    let aborted = abort(&cluster, 1);
    await_told(&cluster, 5);
    let_die(&mut cluster, &[5]);
    assert_done(&cluster, &aborted);
    settle(&cluster, table, &[1, 2, 3, 4], &mut rows);
    assert_readable(&cluster, table, &[3], rows);
}

#[test]
fn a_change_is_given_up_whose_coordinator_restarts_when_it_is_told() {
    let (mut cluster, table, mut rows) = held_up(5, Phase::Pending, 3);
    let aborted = abort(&cluster, 1);
    await_told(&cluster, 5);
    cluster.kill(5);
    cluster.restart(5);
    assert_done(&cluster, &aborted);
    release(&cluster, 3);
    // It wants to join still.
    settle(&cluster, table, &[1, 2, 3, 4, 5], &mut rows);
    assert_readable(&cluster, table, &[5], rows);
}

#[test]
fn who_was_coming_in_and_is_removed_does_not_come_back() {
    for at in [Phase::Pending, Phase::Settling] {
        let (mut cluster, table, mut rows) = held_up(5, at, 3);
        let dead = let_die(&mut cluster, &[5]);
        write(&cluster, table, 1, rows);
        rows += 1;
        let removed = remove(&cluster, 2, dead.clone());
        assert_done(&cluster, &removed);
        settle(&cluster, table, &[1, 2, 3, 4], &mut rows);
        // Once more: there is nothing to remove.
        let again = remove(&cluster, 1, dead);
        cluster.run_for(Duration::from_secs(1));
        let refused = again.lock().take();
        assert!(
            matches!(refused, Some(Err(ChangeError::Refused(_)))),
            "{refused:?}"
        );
        assert_refused(&mut cluster, 5);
        assert_readable(&cluster, table, &[3], rows);
    }
}

#[test]
fn a_change_does_not_go_on_without_who_is_alive() {
    let (mut cluster, table, mut rows) = held_up(5, Phase::Settling, 3);
    let dead = let_die(&mut cluster, &[3]);
    let living = id(&cluster, 4);
    let both = remove(&cluster, 1, vec![dead[0], living]);
    cluster.run_for(Duration::from_secs(2));
    let refused = both.lock().take();
    assert!(
        matches!(refused, Some(Err(ChangeError::Refused(_)))),
        "{refused:?}"
    );
    assert!(
        cluster
            .node(1)
            .ring_change()
            .is_some_and(|change| change.lost.is_empty())
    );
    // Nor without who is dead for this node alone.
    cluster.partition(&[1], &[4], Link::Silent);
    cluster.run_for(A_WHILE);
    let both = remove(&cluster, 1, vec![dead[0], living]);
    cluster.run_for(Duration::from_secs(10));
    let refused = both.lock().take();
    assert!(
        matches!(refused, Some(Err(ChangeError::Refused(_)))),
        "{refused:?}"
    );
    assert!(
        cluster
            .node(1)
            .ring_change()
            .is_some_and(|change| change.lost.is_empty())
    );
    cluster.partition(&[1], &[4], Link::Good);
    cluster.restart(3);
    settle(&cluster, table, &[1, 2, 3, 4, 5], &mut rows);
    assert_readable(&cluster, table, &[3], rows);
}

#[test]
fn what_was_written_after_the_dead_one_had_decided_alone_is_not_lost() {
    let (mut cluster, table, mut rows) = with_four(5);
    cluster.envs[4].set_disk_delay(Duration::from_millis(300));
    cluster.start(5).expect("it finds the cluster");
    until(&cluster, "it joins", || {
        phase(&cluster, 5) == Some(Phase::Settling)
    });
    // Two members don't hear of it, and one of them gives the change up.
    cluster.partition(&[3, 4], &[1, 2, 5], Link::Silent);
    release(&cluster, 5);
    until(&cluster, "it is taken for dead", || {
        let members = cluster.node(3).status().members;
        members
            .iter()
            .all(|member| member.address != address(5) || !member.up)
    });
    assert_eq!(phase(&cluster, 1), Some(Phase::Settling));
    assert_eq!(phase(&cluster, 3), Some(Phase::Pending));
    assert_eq!(told_of_abort(&cluster, 3), Some(Ok(())));
    assert_eq!(phase(&cluster, 4), None);
    let acknowledged: Vec<u32> = (1_000..1_060)
        .filter(|row| {
            let mutation = insert(table, &name(*row), *row, "v", 1_000);
            cluster.write(3, mutation, Consistency::Quorum).is_ok()
        })
        .collect();
    assert!(!acknowledged.is_empty());

    let dead = vec![id(&cluster, 3)];
    cluster.kill(3);
    cluster.partition(&[4], &[1, 2, 5], Link::Good);
    cluster.run_for(A_WHILE);
    let removed = remove(&cluster, 1, dead);
    settle(&cluster, table, &[1, 2, 4, 5], &mut rows);
    assert_done(&cluster, &removed);
    assert_readable(&cluster, table, &[1, 4, 5], rows);
    for row in acknowledged {
        let command = whole_partition(table, &name(row), cluster.now());
        let page = cluster.read(5, command, Consistency::Quorum).expect("all are up");
        assert_eq!(rows_of(&page, cluster.now()), [format!("{}/{row}=v", name(row))]);
    }
}

#[test]
fn a_request_that_was_planned_on_an_unknown_ring_waits_until_it_is_known() {
    let (cluster, table) = with_data(3);
    let node = Arc::clone(cluster.node(2));
    let known = node.ring_state().stamp();
    let mutation = insert(table, "a", 1, "v", 10).encode();
    let request = |epoch, ring| PeerRequest {
        sender: id(&cluster, 1),
        ring,
        epoch,
        clock: Timestamp(0),
        deadline_ms: 500,
        tracing: false,
        era: 0,
        body: Request::Write {
            mutations: vec![mutation.clone()],
            reason: WriteReason::Client,
        },
    };
    let answer = |request| {
        let answer = node.handle(address(1), request);
        cluster.world.executor.run(answer).body
    };
    let unknown = answer(request(known.epoch + 1, known.digest ^ 1));
    assert_eq!(unknown, Response::Failed(Failure::Late));
    assert!(
        cluster.stored(2, table, &key("a")).is_empty(),
        "nothing was written"
    );
    assert_eq!(answer(request(known.epoch, known.digest)), Response::Done);
    let old = answer(request(known.epoch - 1, known.digest ^ 1));
    let epoch = known.epoch;
    assert_eq!(old, Response::Failed(Failure::OldRing { epoch }));
}

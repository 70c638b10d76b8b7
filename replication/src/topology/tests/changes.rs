//! Changes of the ring, from the first word to the last, among nodes that serve meanwhile.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_cql::WriteType;
use starling_model::{Consistency, TableId};

use super::{
    super::ChangeError,
    scene::{
        ROWS, STEP, abort, assert_done, assert_readable, assert_refused, decommission, hold, id, name,
        release, remove, ring_of, settle, settle_seen_by, until, with_data, with_four, write,
    },
};
use crate::{
    config::Config,
    start_error::StartError,
    testing::{Link, TestCluster, TestEnv, address, insert, key},
    tracing::Tracer,
};

#[test]
fn a_node_joins_a_cluster_with_data() {
    let (mut cluster, table) = with_data(4);
    cluster.start(4).expect("it finds the cluster");
    let refused = cluster.cql(4, "SELECT * FROM ks.t").expect_err("it joins");
    assert_eq!(refused.kind, starling_cql::ErrorKind::Bootstrapping);
    let mut rows = ROWS;
    settle(&cluster, table, &[1, 2, 3, 4], &mut rows);
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
    settle(&cluster, table, &[1, 2, 3, 4, 5, 6], &mut rows);
    assert_readable(&cluster, table, &[2, 6], rows);
}

#[test]
fn a_node_leaves_and_its_data_stays() {
    let (mut cluster, table, mut rows) = with_four(4);
    let left = decommission(&cluster, 2);
    settle_seen_by(&cluster, table, &[1, 3, 4, 2], &[1, 3, 4], &mut rows);
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

/// Gossip tells that a node has left while the ring without it is still on its way to that node's disk, and nobody else is
/// told of that ring. It is asked as before.
#[test]
fn who_does_not_know_yet_that_a_node_has_left_serves_all_levels() {
    let (cluster, table, mut rows) = with_four(4);
    cluster.envs[1].set_disk_delay(Duration::from_millis(400));
    let left = decommission(&cluster, 2);
    let before = rows;
    let written = Arc::new(Mutex::new(Vec::new()));
    let mut begun_late = 0;
    while ring_of(&cluster, 1).contains(&2) {
        begun_late += u32::from(!ring_of(&cluster, 2).contains(&2));
        let (coordinator, written) = (Arc::clone(&cluster.node(1).coordinator), Arc::clone(&written));
        let mutation = insert(table, &name(rows), rows, "v", 1_000);
        let now = cluster.world.executor.now();
        cluster.world.executor.spawn(async move {
            let (level, write_type) = (Consistency::All, WriteType::Simple);
            let outcome = coordinator
                .write(vec![mutation], level, write_type, now, &Tracer::OFF)
                .await;
            written.lock().push(outcome);
        });
        rows += 1;
        cluster.run_for(STEP);
    }
    assert!(begun_late > 0, "n2 knows it before n1");
    assert_done(&cluster, &left);
    let all = || written.lock().len() == (rows - before) as usize;
    until(&cluster, "they are answered", all);
    assert_eq!(written.lock().iter().find(|outcome| outcome.is_err()), None);
    assert_readable(&cluster, table, &[1, 3, 4], rows);
}

#[test]
fn a_dead_node_is_removed_and_does_not_come_back() {
    let (mut cluster, table, mut rows) = with_four(4);
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
    settle(&cluster, table, &[1, 2, 4], &mut rows);
    cluster.run_for(STEP);
    assert_eq!(removed.lock().take(), Some(Ok(())));
    // Any two replicas have everything.
    cluster.partition(&[1, 4], &[2], Link::Refused);
    assert_readable(&cluster, table, &[1], rows);
    cluster.partition(&[1, 4], &[2], Link::Good);
    assert_refused(&mut cluster, 3);
    assert!(cluster.node(1).is_ready(), "only the removed node is refused");
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
    settle(&cluster, table, &[1, 3, 4], &mut rows);
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
    settle(&cluster, table, &[1, 2, 3, 4, 5], &mut rows);
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
    settle(&cluster, table, &[2, 3, 4, 5], &mut rows);
    cluster.run_for(STEP);
    assert_eq!(first.lock().take(), Some(Ok(())));
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
    settle(&cluster, table, &[1, 2, 3, 4], &mut rows);
    assert_readable(&cluster, table, &[4], rows);
}

#[test]
fn hints_that_come_to_a_replica_go_to_the_coming_one_too() {
    let (mut cluster, table) = with_a_joiner_that_died();
    let names: Vec<String> = (0..40).map(|number| format!("hinted{number}")).collect();
    cluster.deliver_hints(1, table, &names);
    let status = cluster.node(1).status();
    let rerouted = status.counters.hints_rerouted;
    assert!((1..40).contains(&rerouted), "{rerouted}");
    let joiner = status.members.iter().find(|member| member.address == address(4));
    assert!(
        joiner.is_some_and(|member| member.hint_bytes > 0),
        "it is down, so they wait for it"
    );
    cluster.restart(4);
    settle(&cluster, table, &[1, 2, 3, 4], &mut { ROWS });
    cluster.run_for(Duration::from_mins(1));
    let there = names
        .iter()
        .filter(|name| !cluster.stored(4, table, &key(name)).is_empty());
    assert!(
        there.count() as u64 >= rerouted,
        "n4 lacks some of what was meant for it"
    );
}

#[test]
fn a_change_whose_coordinator_is_dead_is_given_up() {
    let (mut cluster, table) = with_a_joiner_that_died();
    let aborted = abort(&cluster, 3);
    let mut rows = ROWS;
    settle(&cluster, table, &[1, 2, 3], &mut rows);
    assert_done(&cluster, &aborted);
    // Should it come back, it begins anew.
    cluster.restart(4);
    settle(&cluster, table, &[1, 2, 3, 4], &mut rows);
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

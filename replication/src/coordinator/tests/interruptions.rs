//! What comes between: the ring changes as damage heals, and a replica dies as an operator accepts a loss.

use std::{sync::Arc, time::Duration};

use starling_cql::{QueryParameters, Statement};
use starling_model::Consistency;

use super::losses::{A_WHILE, EVERYTHING, accept, counters, damage, has, request, with_rows};
use crate::{
    DamageStatus,
    testing::{Link, TestCluster, address, insert, key, whole_partition},
};

/// How long a message takes where one is to be overtaken.
const SLOW: Duration = Duration::from_millis(200);

fn waiting(cluster: &TestCluster, node: usize) -> DamageStatus {
    cluster.node(node).status().damage
}

/// Runs until n1 has asked n2 for data.
fn await_fetch(cluster: &TestCluster) {
    for _ in 0..1_000 {
        cluster.world.start_log();
        cluster.run_for(Duration::from_millis(10));
        let sent = cluster.world.take_log();
        if sent.iter().any(|line| line.starts_with("n1 -> n2: read data")) {
            return;
        }
    }
    panic!("nothing is fetched");
}

/// Who gives tokens away forgets them, and others may have taken writes since. So what was fetched by a ring that is over heals
/// nothing: it is fetched again, by the ring that came after it.
#[test]
fn what_was_fetched_by_a_ring_that_is_over_heals_nothing() {
    let (cluster, table) = with_rows();
    // What n1 asks takes a while, and what others tell it does not.
    let set_links = |link| [2, 3].map(|other| cluster.world.set_link(address(1), address(other), link));
    set_links(Link::Slow(SLOW));
    damage(&cluster, 1, table, EVERYTHING);
    await_fetch(&cluster);
    // The others have read it, by the ring that there is, and their answers are on the way.
    cluster.run_for(SLOW * 3 / 2);
    assert_eq!(counters(&cluster, 1), (0, 0));
    let before = cluster.node(1).views.load().cluster.stamp;
    let node = Arc::clone(cluster.node(2));
    cluster.world.executor.spawn(async move {
        let text =
            "ALTER KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}";
        let parameters = QueryParameters::with_consistency(Consistency::Quorum);
        let altered = node
            .execute(Statement::Text(text.to_owned()), parameters, false)
            .await;
        altered.expect("it is altered");
    });
    cluster.run_for(SLOW);
    assert_ne!(
        cluster.node(1).views.load().cluster.stamp,
        before,
        "the ring changes"
    );
    assert_eq!(counters(&cluster, 1), (0, 0));
    let damage = waiting(&cluster, 1);
    assert_eq!(
        (damage.waiting, damage.for_operator),
        (1, 0),
        "nobody need do anything: {damage:?}"
    );
    assert_eq!(damage.stretches[0].why, "the ring changed meanwhile");

    set_links(Link::Good);
    cluster.run_for(A_WHILE * 3);
    assert!(counters(&cluster, 1).0 > 0);
    for node in 1..=3 {
        assert_eq!(waiting(&cluster, node), DamageStatus::default());
        for name in ["12", "13", "23", "all"] {
            let command = whole_partition(table, name, cluster.now());
            let page = cluster
                .read(node, command, Consistency::All)
                .expect("all are alive");
            assert_eq!(page.partitions.len(), 1, "{name} through n{node}");
        }
    }
}

/// n1 and n2 have lost the same, and n2 is told to take what is left for all there is. n1 dies on the way, at every moment of it.
#[test]
fn who_dies_on_the_way_leaves_nothing_half_given_up() {
    let (mut done, mut given_up, mut nothing) = (0, 0, 0);
    for moment in 1..20 {
        let (mut cluster, table) = with_rows();
        for node in [1, 2] {
            damage(&cluster, node, table, EVERYTHING);
            let left = insert(table, &format!("left of {node}"), 0, "v", 20);
            cluster.store(node).apply_now(left);
        }
        cluster.run_for(A_WHILE);
        cluster.partition(&[2], &[1, 3], Link::Slow(SLOW));
        let world = cluster.world.clone();
        cluster.world.executor.spawn(async move {
            world.executor.sleep(moment * SLOW / 2).await;
            world.hang_up(address(1));
        });
        let outcome = accept(&cluster, 2, request(&[]));
        cluster.partition(&[2], &[1, 3], Link::Good);
        match &outcome {
            Ok(losses) => assert!(losses.len() == 1 && losses[0].accepted, "{losses:?}"),
            Err(error) => {
                let is_told = error.message.contains("nothing was changed")
                    || error.message.starts_with("0 stretches")
                        && error.message.contains("was not on this node");
                assert!(is_told, "{error}");
            }
        }
        let is_done = outcome.is_ok();
        assert_eq!(
            counters(&cluster, 2).1,
            u64::from(is_done),
            "{moment}: {outcome:?}"
        );
        let first_is_done = counters(&cluster, 1).1 > 0;
        assert!(first_is_done || !is_done, "{moment}: this node is the last");
        cluster.kill(1);
        cluster.restart(1);
        // Who did not tell what is damaged there is not asked for a minute.
        cluster.run_for(A_WHILE * 5);
        // Whoever gave up has all that is left, and then the others get it from there without an operator.
        for node in [1, 2] {
            let told = waiting(&cluster, node);
            assert_eq!(told.for_operator, u64::from(!first_is_done), "{moment}: {told:?}");
        }
        if !first_is_done {
            let again = accept(&cluster, 2, request(&[]));
            assert_eq!(again.map(|losses| losses.len()), Ok(1), "{moment}");
        }
        cluster.run_for(A_WHILE);
        for node in 1..=3 {
            assert_eq!(waiting(&cluster, node), DamageStatus::default(), "{moment}");
            for name in ["13", "23", "all", "left of 1", "left of 2"] {
                assert!(has(&cluster, node, table, name), "{moment}: {name} on {node}");
            }
        }
        done += u32::from(is_done);
        given_up += u32::from(first_is_done && !is_done);
        nothing += u32::from(!first_is_done);
    }
    assert!(
        done > 0 && given_up > 0 && nothing > 0,
        "{done}, {given_up} and {nothing} of them"
    );
}

/// It streams to n4, which is no replica of anything before its change is over, and finds that some of that is bad already.
#[test]
fn what_is_damaged_before_a_node_owns_it_is_told_and_heals_afterwards() {
    let (mut cluster, table) = with_rows();
    // Its disk is slow: it confirms no step of a change soon.
    cluster.envs[1].set_disk_delay(Duration::from_secs(10));
    cluster.start(4).expect("it finds the cluster");
    let is_coming = |cluster: &TestCluster| cluster.node(4).ring_change().is_some();
    for _ in 0..1_000 {
        if is_coming(&cluster) {
            break;
        }
        cluster.run_for(Duration::from_millis(10));
    }
    assert!(is_coming(&cluster), "it comes in");
    damage(&cluster, 4, table, EVERYTHING);
    cluster.run_for(Duration::from_secs(5));
    let told = waiting(&cluster, 4);
    assert!(told.waiting > 0 && told.for_operator == 0, "{told:?}");
    let why = &told.stretches[0].why;
    assert!(
        why.contains("no replica of these tokens yet") && told.stretches[0].table == "ks.t",
        "{told:?}"
    );
    assert!(is_coming(&cluster), "nothing went on meanwhile");
    cluster.envs[1].set_disk_delay(Duration::ZERO);
    cluster.run_for(A_WHILE * 3);
    assert!(!is_coming(&cluster));
    assert_eq!(waiting(&cluster, 4), DamageStatus::default());
    for name in ["12", "13", "23", "all"] {
        let command = whole_partition(table, name, cluster.now());
        let page = cluster.read(4, command, Consistency::All).expect("all are alive");
        assert_eq!(page.partitions.len(), 1, "{name}");
    }
}

/// What was fetched before the table was truncated heals nothing: the damage heals with what there is then.
#[test]
fn what_was_fetched_before_a_truncation_heals_nothing() {
    let (cluster, table) = with_rows();
    let set_links = |link| [2, 3].map(|other| cluster.world.set_link(address(1), address(other), link));
    set_links(Link::Slow(SLOW));
    damage(&cluster, 1, table, EVERYTHING);
    await_fetch(&cluster);
    cluster.run_for(SLOW * 3 / 2);
    set_links(Link::Good);
    cluster.cql(2, "TRUNCATE ks.t").expect("all are alive");
    cluster.run_for(A_WHILE * 3);
    for name in ["12", "13", "23", "all"] {
        let left = cluster.stored(1, table, &key(name));
        assert!(left.is_empty(), "{name}");
    }
}

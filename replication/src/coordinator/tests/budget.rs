//! What is taken from the budget is given back, whatever becomes of the peers and of those who ask.

use std::{pin::pin, sync::Arc};

use futures::future::select;

use super::*;
use crate::{budget::Budget, env::Env, tracing::Tracer};

/// Large enough to be counted.
const VALUE: usize = 100 << 10;

/// Longer than any request, with the hint for it, may take.
const REQUEST_AND_HINT: Duration = Duration::from_secs(6);

/// Nodes with a budget of so many bytes each.
fn cluster_of_budget(bytes: usize) -> (TestCluster, TableId) {
    let mut cluster = TestCluster::prepared(3);
    for number in 1..=3 {
        let mut config = TestCluster::config(number);
        config.budget = Arc::new(Budget::new(bytes));
        cluster.start_with(number, config).expect("a node starts");
    }
    cluster.run_for(Duration::from_secs(3));
    let table = cluster.make_table(3);
    (cluster, table)
}

fn value(letter: char) -> String {
    std::iter::repeat_n(letter, VALUE).collect()
}

/// What each node holds, pool by pool.
fn held(cluster: &TestCluster) -> Vec<(usize, &'static str, usize)> {
    let nodes = cluster.nodes.iter().enumerate();
    nodes
        .filter_map(|(at, node)| Some((at + 1, node.as_ref()?)))
        .flat_map(|(number, node)| {
            let pools = node.config.budget.pools();
            pools.map(|(name, pool)| (number, name, pool.held()))
        })
        .filter(|(_, _, held)| *held > 0)
        .collect()
}

/// Starts writes and reads of large values on all nodes, of which a third is given up at once, and a third
/// soon.
fn storm(cluster: &TestCluster, table: TableId, rounds: u32) {
    for round in 0..rounds {
        for number in 1..=3 {
            let coordinator = Arc::clone(&cluster.node(number).coordinator);
            let mutation = insert(table, "a", round % 5, &value('x'), i64::from(round) + 10);
            let command = whole_partition(table, "a", cluster.now());
            let patience = Duration::from_millis([0, 3, 60_000][round as usize % 3]);
            let gone = cluster.world.executor.sleep(patience);
            cluster.world.executor.spawn(async move {
                let work = async {
                    let (level, claim) = (Consistency::Quorum, coordinator.claim());
                    let now = coordinator.env.monotonic();
                    let write =
                        coordinator.write(vec![mutation], level, WriteType::Simple, now, &Tracer::OFF);
                    let read = coordinator.read(command, level, claim, now, &Tracer::OFF);
                    let _ = futures::join!(write, read);
                };
                select(pin!(work), pin!(gone)).await;
            });
        }
        cluster.run_for(Duration::from_millis(2));
    }
}

#[test]
fn a_storm_leaves_nothing_behind() {
    for link in [
        Link::Good,
        Link::Refused,
        Link::Silent,
        Link::Deaf,
        Link::Slow(Duration::from_millis(300)),
    ] {
        let (cluster, table) = cluster_of_budget(8 << 20);
        cluster
            .write(1, insert(table, "a", 1, &value('o'), 5), Consistency::All)
            .expect("all are there");
        cluster.world.set_link(address(1), address(3), link);
        cluster
            .world
            .set_link(address(3), address(2), Link::Slow(Duration::from_millis(20)));
        storm(&cluster, table, 60);
        assert!(!held(&cluster).is_empty(), "{link:?}: the storm takes room");
        cluster.world.set_link(address(1), address(3), Link::Good);
        cluster.run_for(REQUEST_AND_HINT);
        assert_eq!(held(&cluster), [], "{link:?}");
        for number in 1..=3 {
            let budget = &cluster.node(number).config.budget;
            assert!(budget.requests.peak() > 0);
            let waiting = budget.pools().map(|(_, pool)| pool.waiting());
            assert_eq!(waiting, [0; 6]);
            assert!(budget.pages.peak() <= budget.pages.limit(), "{link:?}");
        }
    }
}

/// A replica that never answers gets its hint again and again: that is one message at a time, whatever the
/// number of writes that it missed.
#[test]
fn a_silent_replica_costs_one_message_at_a_time() {
    let (cluster, table) = cluster_of_budget(64 << 20);
    cluster.world.set_link(address(1), address(3), Link::Silent);
    for row in 0..20 {
        cluster
            .write(1, insert(table, "a", row, &value('x'), 10), Consistency::Quorum)
            .expect("two of three are enough");
    }
    let requests = &cluster.node(1).config.budget.requests;
    assert!(requests.held() >= 20 * VALUE, "{}", requests.held());
    let counters = &cluster.node(1).counters;
    for _ in 0..100 {
        cluster.run_for(Duration::from_millis(310));
        if counters.hints_written.get() >= 20 {
            // A chunk ends with the hint that fills it.
            assert!(requests.held() < (256 << 10) + 2 * VALUE, "{}", requests.held());
        }
    }
    assert_eq!(counters.hints_written.get(), 20);
    assert_eq!(counters.hints_delivered.get(), 0);
    cluster.world.set_link(address(1), address(3), Link::Good);
    cluster.run_for(LATER);
    assert_eq!(counters.hints_delivered.get(), 20);
    assert_eq!(held(&cluster), []);
}

#[test]
fn a_page_that_finds_no_room_in_time_is_refused_as_overloaded() {
    let (cluster, table) = cluster_of_budget(8 << 20);
    cluster
        .write(1, insert(table, "a", 1, &value('x'), 10), Consistency::All)
        .expect("all are there");
    let full: Vec<_> = [2, 3]
        .into_iter()
        .map(|number| {
            let pages = &cluster.node(number).config.budget.pages;
            pages.owe(pages.limit())
        })
        .collect();
    // Its own copy is empty, so that it needs the page of another.
    cluster.envs[0].store.forget_all();
    let overloaded = || -> u64 {
        let of = |number| cluster.node(number).counters.overloaded.get();
        of(2) + of(3)
    };
    let read = || cluster.read(1, whole_partition(table, "a", cluster.now()), Consistency::Quorum);
    let error = read().expect_err("no page finds room");
    assert!(
        matches!(
            error.kind,
            ErrorKind::ReadFailure {
                received: 1,
                failures: 2,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(overloaded(), 2);
    let waiting = |number| cluster.node(number).config.budget.pages.waiting();
    assert_eq!((waiting(2), waiting(3)), (0, 0), "who gave up left the queue");
    let before = overloaded();
    drop(full);
    assert_eq!(read().expect("there is room").partitions.len(), 1);
    assert_eq!(overloaded(), before);
    assert_eq!(held(&cluster), []);
}

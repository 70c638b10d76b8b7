//! Hints for nodes that carry out little in the time that a message has.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use parking_lot::Mutex;
use starling_cql::{QueryParameters, Statement};
use starling_model::{Consistency, TableId};

use super::scene::{LATER, left_alone, without_last, write_rows};
use crate::{
    env::Env,
    message::{Failure, PeerRequest, PeerResponse, Request, Response},
    peers::AskError,
    testing::{Link, TestCluster, address, key, rows_of, whole_partition},
};

/// So many hints a slow node carries out before their time is over.
const IN_TIME: usize = 20;
const ROWS: u32 = 300;

/// Two nodes, of which the second missed some writes.
fn missed() -> (TestCluster, TableId) {
    let (mut cluster, table) = without_last(2);
    write_rows(&cluster, table, 0..ROWS);
    cluster.restart(2);
    (cluster, table)
}

/// Puts a node that never ends a large message of hints in time in the place of the second; `answers`: it says so.
fn slow_down(cluster: &TestCluster, answers: bool) {
    let node = Arc::clone(cluster.node(2));
    let handler = move |from, request: PeerRequest| {
        let too_many = matches!(&request.body, Request::Hints(hints) if hints.len() > IN_TIME);
        if !too_many {
            return node.handle(from, request).boxed();
        }
        if !answers {
            return futures::future::pending().boxed();
        }
        let late = PeerResponse {
            sender: node.id,
            clock: request.clock,
            trace: Vec::new(),
            body: Response::Failed(Failure::Late),
        };
        futures::future::ready(late).boxed()
    };
    cluster.world.listen(address(2), Arc::new(handler));
}

#[test]
fn a_node_that_takes_few_hints_in_time_gets_all_of_them() {
    for answers in [true, false] {
        let (cluster, table) = missed();
        slow_down(&cluster, answers);
        cluster.run_for(Duration::from_mins(4));
        let rows = cluster.stored(2, table, &key("a")).rows.len();
        assert_eq!(rows, ROWS as usize, "answers: {answers}");
        assert_eq!(cluster.node(1).status().counters.hints_delivered, u64::from(ROWS));
    }
}

/// They are hardly any bytes, but each is a write.
#[test]
fn small_hints_come_few_at_a_time_and_no_more_in_a_second_than_the_rate_allows() {
    let mut config = TestCluster::config(1);
    config.bounds.hint_rate = 512 << 10;
    let (mut cluster, table) = left_alone(2, config);
    write_rows(&cluster, table, 0..ROWS);
    cluster.restart(2);
    let messages = Arc::new(Mutex::new(Vec::new()));
    let (node, env, came) = (
        Arc::clone(cluster.node(2)),
        cluster.envs[1].clone(),
        Arc::clone(&messages),
    );
    let handler = move |from, request: PeerRequest| {
        if let Request::Hints(hints) = &request.body {
            came.lock().push((env.monotonic(), hints.len()));
        }
        node.handle(from, request).boxed()
    };
    cluster.world.listen(address(2), Arc::new(handler));
    cluster.run_for(LATER);
    assert_eq!(cluster.stored(2, table, &key("a")).rows.len(), ROWS as usize);
    let messages = messages.lock();
    let most = messages.iter().map(|(_, hints)| *hints).max();
    assert_eq!(most, Some(64), "{messages:?}");
    for pair in messages.windows(2) {
        let [(before, hints), (after, _)] = pair else {
            continue;
        };
        // Of 2 KiB each at 512 KiB a second.
        let least = Duration::from_secs(1) * *hints as u32 / 256;
        assert!(after.saturating_sub(*before) >= least, "{messages:?}");
    }
}

/// Each way takes a tenth of a second, and the hints have ten seconds: passed on one after the other they take more.
#[test]
fn hints_are_passed_on_together() {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(1);
    let slow = Link::Slow(Duration::from_millis(100));
    cluster.partition(&[2], &[1, 3], slow);
    let names: Vec<String> = (0..150).map(|number| format!("k{number}")).collect();
    cluster.deliver_hints(2, table, &names);
    cluster.partition(&[2], &[1, 3], Link::Good);
    for name in &names {
        let page = cluster.read(3, whole_partition(table, name, cluster.now()), Consistency::One);
        let rows = rows_of(&page.expect("all are alive"), cluster.now());
        assert_eq!(rows.len(), 1, "{name} is where nobody looks for it");
    }
    assert!(cluster.node(2).status().counters.hints_rerouted > 60);
}

/// Hints that were kept for busy replicas would be passed on by these in their turn, to replicas as busy, and multiply: while the
/// range changes hands.
#[test]
fn what_a_replica_does_not_take_makes_no_more_hints() {
    hints_do_not_multiply(true);
    hints_do_not_multiply(false);
}

/// While all ranges change hands, with replicas that refuse what is passed on to them, or never answer.
fn hints_do_not_multiply(do_answer: bool) {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(1);
    let busy = |is_busy: bool| {
        for number in [1, 3] {
            let node = Arc::clone(cluster.node(number));
            let handler = move |from, request: PeerRequest| {
                if !is_busy || !matches!(request.body, Request::Write { .. }) {
                    return node.handle(from, request).boxed();
                }
                if !do_answer {
                    return futures::future::pending().boxed();
                }
                let refused = PeerResponse {
                    sender: node.id,
                    clock: request.clock,
                    trace: Vec::new(),
                    body: Response::Failed(Failure::Overloaded),
                };
                futures::future::ready(refused).boxed()
            };
            cluster.world.listen(address(number), Arc::new(handler));
        }
    };
    cluster.envs[2].set_disk_delay(Duration::from_secs(5));
    let node = Arc::clone(cluster.node(1));
    cluster.world.executor.spawn(async move {
        let more =
            "ALTER KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}";
        let parameters = QueryParameters::with_consistency(Consistency::Quorum);
        drop(
            node.execute(Statement::Text(more.to_owned()), parameters, false)
                .await,
        );
    });
    cluster.run_for(Duration::from_secs(2));
    assert!(cluster.node(2).ring_change().is_some(), "all ranges change hands");
    busy(true);
    let names: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
    let offered = cluster.offer_hints(2, table, &names);
    assert_eq!(
        offered,
        Err(AskError::Failed(Failure::Overloaded)),
        "who brought them keeps them"
    );
    assert_eq!(cluster.node(2).status().counters.hints_written, 0);
    busy(false);
    cluster.envs[2].set_disk_delay(Duration::ZERO);
    cluster.run_for(Duration::from_mins(2));
    assert!(cluster.node(2).ring_change().is_none());
    cluster.deliver_hints(2, table, &names);
    assert_eq!(cluster.node(2).status().counters.hints_taken, 20);
}

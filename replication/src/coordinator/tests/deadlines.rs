//! What waited in a queue has less time, and is not begun once it has none.

use std::{sync::Arc, time::Duration};

use starling_cql::{ErrorKind, QueryParameters, Statement};
use starling_model::{Consistency, NodeId, TableId};

use super::cluster;
use crate::{
    config::Timeouts,
    env::Env,
    message::{Failure, PeerRequest, Request, Response, WriteReason},
    testing::{Link, TestCluster, address, insert, key, whole_partition},
};

/// The time of the requests of these tests.
const TIME: Duration = Duration::from_secs(2);

/// A peer's request as n1 would send it.
fn envelope(cluster: &TestCluster, body: Request) -> PeerRequest {
    let node = cluster.node(1);
    let planned = node.views.load().cluster.stamp;
    node.peers.envelope(body, TIME, false, planned, 0)
}

fn write(table: TableId, row: u32) -> Request {
    Request::Write {
        mutations: vec![insert(table, "a", row, "x", 10).encode()],
        reason: WriteReason::Client,
    }
}

/// What n2 answers to a request that has waited there, and how long that takes.
fn ask(cluster: &TestCluster, request: PeerRequest, waited: Duration) -> (Response, Duration) {
    let executor = &cluster.world.executor;
    let before = executor.now();
    let answer = cluster.node(2).handle_queued(address(1), request, waited);
    let answer = executor.run(answer).body;
    (answer, executor.now().saturating_sub(before))
}

fn rows(cluster: &TestCluster, node: usize, table: TableId) -> usize {
    cluster.stored(node, table, &key("a")).rows.len()
}

#[test]
fn work_that_waited_past_its_time_is_not_begun() {
    let (cluster, table) = cluster();
    let read = Request::Read {
        command: whole_partition(table, "a", cluster.now()),
        digest: false,
    };
    let kept = Request::BatchStore {
        id: 7,
        mutations: Vec::new(),
    };
    for (late, body) in (1..).zip([write(table, 1), read, kept]) {
        let (answer, _) = ask(&cluster, envelope(&cluster, body), TIME);
        assert_eq!(answer, Response::Failed(Failure::Late));
        assert_eq!(cluster.node(2).status().counters.late, late);
    }
    assert_eq!(rows(&cluster, 2, table), 0);
    let almost = TIME.saturating_sub(Duration::from_millis(1));
    let (answer, _) = ask(&cluster, envelope(&cluster, write(table, 1)), almost);
    assert_eq!(answer, Response::Done);
    assert_eq!(rows(&cluster, 2, table), 1);
    assert_eq!(cluster.node(2).status().counters.late, 3);
}

/// That a batch is done is worth knowing whenever it comes: it would be carried out else.
#[test]
fn news_is_taken_however_late() {
    let (cluster, table) = cluster();
    let kept = Request::BatchStore {
        id: 7,
        mutations: vec![insert(table, "a", 1, "x", 10).encode()],
    };
    let (answer, _) = ask(&cluster, envelope(&cluster, kept), Duration::ZERO);
    assert_eq!(answer, Response::Done);
    let (answer, _) = ask(&cluster, envelope(&cluster, Request::BatchRemove(7)), TIME * 2);
    assert_eq!(answer, Response::Done);
    cluster.run_for(super::LATER);
    assert_eq!(cluster.node(2).status().counters.batches_replayed, 0);
    assert_eq!(rows(&cluster, 2, table), 0);
}

/// A request on a ring that nobody has heard of waits until its time is over.
#[test]
fn what_it_waited_is_taken_from_its_time() {
    let (cluster, table) = cluster();
    for waited in [Duration::ZERO, TIME / 4, TIME / 2] {
        let mut request = envelope(&cluster, write(table, 1));
        request.sender = NodeId(99);
        request.ring ^= 1;
        request.epoch += 1;
        let (answer, took) = ask(&cluster, request, waited);
        assert_eq!(answer, Response::Failed(Failure::Late));
        assert_eq!(took, TIME.saturating_sub(waited));
    }
    assert_eq!(rows(&cluster, 2, table), 0);
}

/// A client's statement through n1, which has waited there.
fn execute(cluster: &TestCluster, text: &str, waited: Duration) -> Result<(), ErrorKind> {
    let node = Arc::clone(cluster.node(1));
    let statement = Statement::Text(text.to_owned());
    let parameters = QueryParameters::with_consistency(Consistency::All);
    let executed = cluster
        .world
        .executor
        .run(async move { node.execute_queued(statement, parameters, false, waited).await });
    executed.map(drop).map_err(|error| error.kind)
}

#[test]
fn a_statement_that_waited_past_its_time_is_refused_and_leaves_no_hint() {
    let (cluster, table) = cluster();
    let timeouts = Timeouts::default();
    // Nothing has waited for longer than its node has run.
    cluster.run_for(timeouts.truncate * 2);
    let insert = "INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'x')";
    let select = "SELECT * FROM ks.t WHERE k = 'a'";
    let logged = "BEGIN BATCH INSERT INTO ks.t (k, c) VALUES ('a', 2); INSERT INTO ks.t (k, c) VALUES ('b', 2) APPLY BATCH";
    let texts = [
        (insert, timeouts.write),
        (logged, timeouts.write),
        (select, timeouts.read),
        ("SELECT * FROM ks.t", timeouts.range),
        ("TRUNCATE ks.t", timeouts.truncate),
    ];
    for (late, (text, timeout)) in (1..).zip(texts) {
        assert_eq!(
            execute(&cluster, text, timeout),
            Err(ErrorKind::Overloaded),
            "{text}"
        );
        assert_eq!(cluster.node(1).status().counters.late, late, "{text}");
    }
    cluster.run_for(super::LATER);
    let counters = cluster.node(1).status().counters;
    assert_eq!((counters.hints_written, counters.batches_replayed), (0, 0));
    assert_eq!((1..=3).map(|node| rows(&cluster, node, table)).sum::<usize>(), 0);
    for (text, timeout) in texts {
        let almost = timeout.saturating_sub(Duration::from_millis(10));
        assert_eq!(execute(&cluster, text, almost), Ok(()), "{text}");
    }
}

/// The clients' time goes on while their requests wait here.
#[test]
fn what_a_statement_waited_is_taken_from_its_time() {
    let timeouts = Timeouts::default();
    for (text, timeout) in [
        ("INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'x')", timeouts.write),
        ("SELECT * FROM ks.t WHERE k = 'a'", timeouts.read),
    ] {
        let (cluster, _) = cluster();
        cluster.run_for(timeout);
        cluster.partition(&[1], &[2, 3], Link::Silent);
        let before = cluster.envs[0].monotonic();
        let outcome = execute(&cluster, text, timeout / 4);
        assert!(
            matches!(
                outcome,
                Err(ErrorKind::WriteTimeout { .. } | ErrorKind::ReadTimeout { .. })
            ),
            "{text}: {outcome:?}"
        );
        let took = cluster.envs[0].monotonic().saturating_sub(before);
        let left = timeout * 3 / 4;
        // And the time of a hint's sync.
        let most = left + Duration::from_millis(10);
        assert!((left..most).contains(&took), "{text}: {took:?}");
    }
}

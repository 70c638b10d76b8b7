//! TRUNCATE beside what is under way: nothing of a write that was acknowledged before it comes back.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use parking_lot::Mutex;
use starling_model::{Consistency, TableId, Timestamp};

use super::{LATER, cluster, kill_and_notice, read_all};
use crate::{
    env::{Env, StoreError},
    message::{Failure, Hint, PeerRequest, PeerResponse, Request, Response, WriteReason},
    testing::{Link, TestCluster, address, insert, key, rows_of, whole_partition},
    tracing::Tracer,
    truncations::Origin,
};

/// How long a message takes that is overtaken; so much less than a write has that the sender waits for its answer.
const SLOW: Duration = Duration::from_millis(900);

const NOTHING: [&str; 0] = [];

fn assert_empty(cluster: &TestCluster, table: TableId) {
    for number in 1..=3 {
        assert!(cluster.stored(number, table, &key("a")).is_empty(), "n{number}");
    }
}

/// What n1 asks of n3 takes so long from now on.
fn slow_down(cluster: &TestCluster, delay: Duration) {
    cluster.world.set_link(address(1), address(3), Link::Slow(delay));
}

fn speed_up(cluster: &TestCluster) {
    cluster.world.set_link(address(1), address(3), Link::Good);
}

/// As a node would begin a truncation now.
fn origin(cluster: &TestCluster, number: usize) -> Origin {
    let node = cluster.node(number);
    Origin {
        sender: node.id,
        era: node.coordinator.replica.truncations.era(),
    }
}

/// Begins to read at n1 and ALL, beside the caller; what it shows in the end.
fn begin_to_read(cluster: &TestCluster, table: TableId) -> Arc<Mutex<Option<Vec<String>>>> {
    let seen = Arc::new(Mutex::new(None));
    let (coordinator, now) = (Arc::clone(&cluster.node(1).coordinator), cluster.now());
    let told = Arc::clone(&seen);
    cluster.world.executor.spawn(async move {
        let command = whole_partition(table, "a", now);
        let claim = coordinator.claim();
        let arrived = coordinator.env.monotonic();
        let read = coordinator.read(command, Consistency::All, claim, arrived, &Tracer::OFF);
        if let Ok(page) = read.await {
            *told.lock() = Some(rows_of(&page, now));
        }
    });
    seen
}

/// The write's message to n3 is lost, and the coordinator waits for its answer when the table is truncated: a hint that it
/// kept then would bring the row back.
#[test]
fn no_hint_is_kept_for_a_write_of_before() {
    for truncating in 1..=3 {
        let (cluster, table) = cluster();
        cluster.partition(&[1], &[3], Link::Silent);
        cluster
            .write(1, insert(table, "a", 1, "x", 10), Consistency::Quorum)
            .expect("two of three are enough");
        cluster.partition(&[1], &[3], Link::Good);
        cluster.run_for(Duration::from_millis(500));
        cluster.cql(truncating, "TRUNCATE ks.t").expect("all are alive");
        cluster.run_for(LATER);
        assert_empty(&cluster, table);
        assert_eq!(cluster.node(1).status().counters.hints_delivered, 0);
    }
}

#[test]
fn a_write_that_comes_late_is_not_applied() {
    for statement in ["", "INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'x')"] {
        let (cluster, table) = cluster();
        slow_down(&cluster, SLOW);
        let written = if statement.is_empty() {
            cluster.write(1, insert(table, "a", 1, "x", 10), Consistency::Quorum)
        } else {
            // Stamped by the coordinator.
            cluster.cql(1, statement).map(drop)
        };
        written.expect("two of three are enough");
        speed_up(&cluster);
        cluster.cql(2, "TRUNCATE ks.t").expect("all are alive");
        assert_empty(&cluster, table);
        cluster.run_for(LATER);
        assert_empty(&cluster, table);
    }
}

/// A read has a page of a replica that was not truncated yet, and one of a replica that was. Both the reader's own storage and
/// another one lack what the first has.
#[test]
fn a_read_from_before_repairs_nothing() {
    let (cluster, table) = cluster();
    cluster.store(2).apply_now(insert(table, "a", 1, "x", 10));
    slow_down(&cluster, SLOW);
    let seen = begin_to_read(&cluster, table);
    // n3's digest comes, and then its data is asked for.
    cluster.run_for(SLOW * 3);
    speed_up(&cluster);
    cluster.cql(2, "TRUNCATE ks.t").expect("all are alive");
    assert_eq!(*seen.lock(), None, "n3's page is on its way");
    assert_empty(&cluster, table);
    cluster.run_for(LATER);
    assert_empty(&cluster, table);
    // It was carried out anew.
    assert_eq!(seen.lock().take(), Some(Vec::new()));
}

#[test]
fn a_repair_that_comes_late_is_not_applied() {
    let (cluster, table) = cluster();
    cluster.store(2).apply_now(insert(table, "a", 1, "x", 10));
    slow_down(&cluster, SLOW);
    let _seen = begin_to_read(&cluster, table);
    // A digest and data from n3, and then the repair is sent there.
    cluster.world.start_log();
    cluster.run_for(SLOW * 4 + Duration::from_millis(1));
    let sent = cluster.world.take_log();
    assert!(
        sent.contains(&"n1 -> n3: write 1 (Repair)".to_owned()),
        "{sent:?}"
    );
    speed_up(&cluster);
    cluster.cql(2, "TRUNCATE ks.t").expect("all are alive");
    cluster.run_for(LATER);
    assert_empty(&cluster, table);
}

/// All that writes: what began before is refused by a replica that was truncated, and what began after is taken.
#[test]
fn whatever_a_node_began_before_is_refused() {
    let (cluster, table) = cluster();
    let mutation = insert(table, "a", 1, "x", 10).encode();
    let mutations = vec![mutation.clone()];
    let hint = Hint {
        at: cluster.now(),
        mutation,
    };
    let write = |reason| Request::Write {
        mutations: mutations.clone(),
        reason,
    };
    let bodies = [
        write(WriteReason::Client),
        write(WriteReason::Repair),
        write(WriteReason::Hint),
        Request::WriteStamped {
            mutations: mutations.clone(),
            stamp: Timestamp(10),
        },
        Request::Hints(vec![hint]),
        Request::BatchStore {
            id: 1,
            mutations: mutations.clone(),
        },
    ];
    let node = Arc::clone(cluster.node(2));
    let sender = cluster.node(1).views.load().cluster.me;
    let answer = |era, body: &Request| {
        let planned = node.ring_state().stamp();
        let request = PeerRequest {
            sender,
            ring: planned.digest,
            epoch: planned.epoch,
            clock: Timestamp(0),
            deadline_ms: 500,
            tracing: false,
            era,
            body: body.clone(),
        };
        let answer = node.handle(address(1), request);
        cluster.world.executor.run(answer).body
    };
    let truncations = &cluster.node(1).coordinator.replica.truncations;
    let before = truncations.era();
    cluster.cql(3, "TRUNCATE ks.t").expect("all are alive");
    for body in &bodies {
        let refused = Response::Failed(Failure::Truncated);
        assert_eq!(answer(before, body), refused, "{body:?}");
        assert!(cluster.stored(2, table, &key("a")).is_empty(), "{body:?}");
    }
    for body in &bodies {
        let taken = answer(truncations.era(), body);
        assert!(
            matches!(taken, Response::Done | Response::Behind(_)),
            "{body:?}: {taken:?}"
        );
        assert!(!cluster.stored(2, table, &key("a")).is_empty(), "{body:?}");
    }
}

/// A table that was truncated is used as any other: written to, hinted, and repaired by reads.
#[test]
fn what_is_written_after_it_stays() {
    let (cluster, table) = cluster();
    cluster.cql(3, "TRUNCATE ks.t").expect("all are alive");
    cluster.partition(&[1], &[3], Link::Silent);
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::Quorum)
        .expect("two of three are enough");
    cluster.partition(&[1], &[3], Link::Good);
    cluster.store(1).apply_now(insert(table, "a", 2, "y", 10));
    assert_eq!(read_all(&cluster, 2, table, Consistency::All), ["a/1=x", "a/2=y"]);
    cluster.run_for(LATER);
    assert_eq!(cluster.node(1).status().counters.hints_delivered, 1);
    for number in 1..=3 {
        assert_eq!(cluster.stored(number, table, &key("a")).rows.len(), 2);
    }
}

/// A node that restarts between the rounds has forgotten what it is to refuse: it removes nothing, and confirms nothing.
#[test]
fn a_truncation_that_a_node_does_not_know_is_refused() {
    let (cluster, table) = cluster();
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::All)
        .expect("all are alive");
    let peers = Arc::clone(&cluster.node(1).peers);
    let ask = |body| {
        let peers = Arc::clone(&peers);
        cluster.world.executor.run(async move {
            let timeout = Duration::from_secs(1);
            peers.ask_address(address(2), body, timeout, &Tracer::OFF).await
        })
    };
    let id = 1 << 77;
    let eras = Vec::new();
    assert!(ask(Request::Truncate { table, id, eras }).is_err());
    assert!(ask(Request::Truncated { table, id }).is_err());
    assert_eq!(cluster.stored(2, table, &key("a")).rows.len(), 1);
}

/// Reads that have to repair wait for the end of a truncation. When it has failed they do not wait for its time to pass.
#[test]
fn a_truncation_that_failed_holds_up_no_reads() {
    let (cluster, table) = cluster();
    let broken = StoreError::Disk("it burns".to_owned());
    cluster.store(3).set_fault(Some(broken));
    let error = cluster.cql(2, "TRUNCATE ks.t").expect_err("n3 can't");
    assert!(
        error.message.contains("did not truncate its data"),
        "{}",
        error.message
    );
    cluster.store(3).set_fault(None);
    cluster.run_for(Duration::from_millis(10));
    cluster.store(2).apply_now(insert(table, "a", 1, "x", 10));
    assert_eq!(read_all(&cluster, 1, table, Consistency::All), ["a/1=x"]);
    cluster.cql(2, "TRUNCATE ks.t").expect("n3 is well again");
    assert_eq!(read_all(&cluster, 1, table, Consistency::All), NOTHING);
}

/// The statement's third round: reads wait while it may still succeed, and tell why if that takes too long.
#[test]
fn reads_that_have_to_repair_wait_for_the_end() {
    let (cluster, table) = cluster();
    cluster.store(2).apply_now(insert(table, "a", 1, "x", 10));
    // As if the truncation had gone no further than this.
    let truncations = &cluster.node(1).coordinator.replica.truncations;
    let now = cluster.world.executor.now();
    let coordinator = origin(&cluster, 2);
    assert!(truncations.begin(table, 1, coordinator, now + LATER));
    let read = |level| cluster.read(1, whole_partition(table, "a", cluster.now()), level);
    let error = read(Consistency::All).expect_err("n1 and n3 lack the row");
    assert!(error.message.contains("being truncated"), "{}", error.message);
    assert!(cluster.stored(1, table, &key("a")).is_empty());
    assert!(truncations.end(table, 1));
    assert!(read(Consistency::All).is_ok());
    assert_eq!(cluster.stored(1, table, &key("a")).rows.len(), 1);
}

/// Nobody waits until the time of a TRUNCATE is over whose coordinator has died.
#[test]
fn a_truncation_whose_coordinator_died_is_given_up() {
    let (mut cluster, table) = cluster();
    let coordinator = origin(&cluster, 3);
    let now = cluster.world.executor.now();
    for number in [1, 2] {
        let truncations = &cluster.node(number).coordinator.replica.truncations;
        assert!(truncations.begin(table, 1, coordinator, now + LATER * 100));
    }
    cluster.store(2).apply_now(insert(table, "a", 1, "x", 10));
    kill_and_notice(&mut cluster, 3);
    assert_eq!(read_all(&cluster, 1, table, Consistency::Quorum), ["a/1=x"]);
    let truncations = &cluster.node(1).coordinator.replica.truncations;
    assert!(!truncations.end(table, 1), "should it go on, it fails");
}

/// It comes back so soon that nobody took it for dead.
#[test]
fn a_truncation_whose_coordinator_started_anew_is_given_up() {
    let (mut cluster, table) = cluster();
    let now = cluster.world.executor.now();
    let coordinator = origin(&cluster, 3);
    let truncations = Arc::clone(&cluster.node(1).coordinator.replica.truncations);
    assert!(truncations.begin(table, 1, coordinator, now + LATER * 100));
    cluster.restart(3);
    cluster.run_for(Duration::from_secs(3));
    let now = cluster.world.executor.now();
    assert!(!truncations.is_under_way(table, now));
}

/// The end of a truncation that failed is told again where it was not heard.
#[test]
fn who_does_not_hear_that_a_truncation_failed_is_told_again() {
    let (cluster, table) = cluster();
    let broken = StoreError::Disk("it burns".to_owned());
    cluster.store(3).set_fault(Some(broken));
    let cut = Arc::clone(cluster.node(2));
    // n2 takes part in the first two rounds, and loses the first message that tells of the end.
    let lost = Arc::new(Mutex::new(0));
    let count = Arc::clone(&lost);
    let handler = move |from, request: PeerRequest| {
        if matches!(request.body, Request::Truncated { .. }) {
            *count.lock() += 1;
            if *count.lock() == 1 {
                return futures::future::ready(PeerResponse {
                    sender: cut.id,
                    clock: request.clock,
                    trace: Vec::new(),
                    body: Response::Failed(Failure::Overloaded),
                })
                .boxed();
            }
        }
        cut.handle(from, request).boxed()
    };
    cluster.world.listen(address(2), Arc::new(handler));
    assert!(cluster.cql(1, "TRUNCATE ks.t").is_err());
    cluster.run_for(Duration::from_secs(2));
    let truncations = &cluster.node(2).coordinator.replica.truncations;
    assert!(!truncations.is_under_way(table, cluster.world.executor.now()));
    assert_eq!(*lost.lock(), 2);
}

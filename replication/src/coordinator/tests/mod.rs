//! Coordinator flows as transcripts: what is sent, what is answered, what each replica holds in the end.

mod alone;
mod budget;
mod deadlines;
mod heal;
mod interruptions;
mod large;
mod losses;
mod overlaps;
mod paging;
mod releases;
mod repair;
mod scan;
mod stamped;
mod truncate;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use starling_cql::{ErrorKind, FailureReason, ReplicaFailure, WriteType};
use starling_model::{
    Clustering, Consistency, Deletion, KeyRange, Limits, Mutation, Partition, Row, TableId, Timestamp,
    TokenRange,
};

use crate::{
    env::StoreError,
    testing::{Link, TestCluster, address, insert, key, rows_of, whole_partition},
};

const LATER: Duration = Duration::from_secs(30);

fn cluster() -> (TestCluster, TableId) {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    (cluster, table)
}

/// Kills a node and lets the others find out.
fn kill_and_notice(cluster: &mut TestCluster, number: usize) {
    cluster.kill(number);
    cluster.run_for(LATER);
}

fn read_all(cluster: &TestCluster, node: usize, table: TableId, level: Consistency) -> Vec<String> {
    let now = cluster.now();
    let page = cluster
        .read(node, whole_partition(table, "a", now), level)
        .expect("the read succeeds");
    rows_of(&page, now)
}

/// A mutation that deletes a row.
fn delete(table: TableId, row: u32, timestamp: i64, cluster: &TestCluster) -> Mutation {
    let mut partition = Partition::default();
    let deletion = Deletion {
        timestamp: Timestamp(timestamp),
        at: cluster.now(),
    };
    let tombstone = Row {
        deletion: Some(deletion),
        ..Row::default()
    };
    let clustering = Clustering(Bytes::copy_from_slice(&row.to_be_bytes()));
    partition.add_row(clustering, tombstone);
    Mutation {
        table,
        key: key("a"),
        partition,
    }
}

/// Two replicas are asked in the order of the ring, which depends on their tokens: each two lines are sorted.
fn both_in_order(mut log: Vec<String>) -> Vec<String> {
    log.chunks_mut(2).for_each(<[String]>::sort);
    log
}

#[test]
fn a_write_goes_to_all_replicas_at_once() {
    let (cluster, table) = cluster();
    cluster.world.start_log();
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::Quorum)
        .expect("the write succeeds");
    cluster.run_for(Duration::from_millis(1));
    assert_eq!(
        both_in_order(cluster.world.take_log()),
        [
            "n1 -> n2: write 1 (Client)",
            "n1 -> n3: write 1 (Client)",
            "n2 -> n1: done",
            "n3 -> n1: done",
        ]
    );
    for node in 1..=3 {
        assert_eq!(
            cluster.stored(node, table, &key("a")).rows.len(),
            1,
            "n{node} has the row"
        );
    }
}

#[test]
fn with_one_replica_dead_quorum_goes_on_and_a_hint_brings_it_up_to_date() {
    let (mut cluster, table) = cluster();
    kill_and_notice(&mut cluster, 3);
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::Quorum)
        .expect("two of three are enough");
    assert_eq!(read_all(&cluster, 2, table, Consistency::Quorum), ["a/1=x"]);
    assert!(cluster.stored(3, table, &key("a")).is_empty());
    cluster.run_for(Duration::from_millis(100));
    let status = cluster.node(1).status();
    assert_eq!(status.counters.hints_written, 1);
    assert!(
        status
            .members
            .iter()
            .any(|member| member.hint_bytes > 0 && !member.up)
    );

    cluster.restart(3);
    cluster.run_for(LATER);
    assert_eq!(
        cluster.stored(3, table, &key("a")).rows.len(),
        1,
        "the hint was delivered"
    );
    let status = cluster.node(1).status();
    assert_eq!(status.counters.hints_delivered, 1);
    assert!(status.members.iter().all(|member| member.hint_bytes == 0));
}

#[test]
fn hints_survive_a_restart_of_their_keeper() {
    let (mut cluster, table) = cluster();
    kill_and_notice(&mut cluster, 3);
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::One)
        .expect("one is enough");
    cluster.run_for(Duration::from_millis(100));
    cluster.kill(1);
    cluster.restart(1);
    cluster.restart(3);
    cluster.run_for(LATER);
    assert_eq!(cluster.stored(3, table, &key("a")).rows.len(), 1);
}

#[test]
fn a_write_that_dies_on_the_way_is_hinted_too() {
    let (cluster, table) = cluster();
    cluster.partition(&[1], &[3], Link::Silent);
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::Quorum)
        .expect("two of three are enough");
    cluster.partition(&[1], &[3], Link::Good);
    cluster.run_for(LATER);
    assert_eq!(
        cluster.stored(3, table, &key("a")).rows.len(),
        1,
        "the late replica got a hint"
    );
}

#[test]
fn unavailable_has_the_numbers_of_the_level_and_comes_at_once() {
    let (mut cluster, table) = cluster();
    kill_and_notice(&mut cluster, 2);
    kill_and_notice(&mut cluster, 3);
    let before = cluster.world.executor.now();
    let unavailable = |level| {
        let write = cluster.write(1, insert(table, "a", 1, "x", 10), level);
        let read = cluster.read(1, whole_partition(table, "a", cluster.now()), level);
        let numbers = |kind| match kind {
            ErrorKind::Unavailable {
                consistency,
                required,
                alive,
            } => {
                assert_eq!(consistency, level);
                (required, alive)
            }
            other => panic!("{level}: {other:?}"),
        };
        let write = numbers(write.expect_err("too few are alive").kind);
        assert_eq!(numbers(read.expect_err("too few are alive").kind), write);
        write
    };
    assert_eq!(unavailable(Consistency::Two), (2, 1));
    assert_eq!(unavailable(Consistency::Three), (3, 1));
    assert_eq!(unavailable(Consistency::Quorum), (2, 1));
    assert_eq!(unavailable(Consistency::LocalQuorum), (2, 1));
    assert_eq!(unavailable(Consistency::EachQuorum), (2, 1));
    assert_eq!(unavailable(Consistency::All), (3, 1));
    assert_eq!(cluster.world.executor.now(), before, "nobody was waited for");
    assert!(
        cluster.stored(1, table, &key("a")).is_empty(),
        "nothing was changed"
    );
    for level in [Consistency::One, Consistency::LocalOne, Consistency::Any] {
        cluster
            .write(1, insert(table, "a", 2, "y", 10), level)
            .expect("one is enough");
    }
    assert_eq!(read_all(&cluster, 1, table, Consistency::One), ["a/2=y"]);
}

#[test]
fn serial_levels_are_refused() {
    let (cluster, table) = cluster();
    for level in [Consistency::Serial, Consistency::LocalSerial] {
        let error = cluster.write(1, insert(table, "a", 1, "x", 10), level);
        assert_eq!(error.expect_err("not a level of writes").kind, ErrorKind::Invalid);
    }
    let read = cluster.read(1, whole_partition(table, "a", cluster.now()), Consistency::Any);
    assert_eq!(read.expect_err("not a level of reads").kind, ErrorKind::Invalid);
}

#[test]
fn silent_replicas_are_a_timeout_and_failing_ones_a_failure() {
    let (cluster, table) = cluster();
    cluster.partition(&[1], &[2, 3], Link::Silent);
    let error = cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::Quorum)
        .expect_err("nobody else answers");
    assert_eq!(
        error.kind,
        ErrorKind::WriteTimeout {
            consistency: Consistency::Quorum,
            received: 1,
            required: 2,
            write_type: WriteType::Simple,
        }
    );
    cluster.partition(&[1], &[2, 3], Link::Good);
    cluster.run_for(LATER);
    for node in [2, 3] {
        let broken = StoreError::Disk("it burns".to_owned());
        cluster.envs[node - 1].store.set_fault(Some(broken));
    }
    let error = cluster
        .write(1, insert(table, "a", 2, "x", 10), Consistency::Quorum)
        .expect_err("two disks burn");
    assert!(error.message.contains("it burns"), "{}", error.message);
    let ErrorKind::WriteFailure {
        received,
        required,
        reasons,
        ..
    } = error.kind
    else {
        panic!("{error:?}")
    };
    assert_eq!((received, required), (1, 2));
    let failed: Vec<ReplicaFailure> = [2, 3]
        .map(|node| ReplicaFailure {
            address: address(node).ip(),
            reason: FailureReason::Unknown,
        })
        .into();
    assert!(
        !reasons.is_empty() && reasons.iter().all(|reason| failed.contains(reason)),
        "{reasons:?}"
    );
    let error = cluster
        .read(1, whole_partition(table, "a", cluster.now()), Consistency::Quorum)
        .expect_err("two disks burn");
    assert!(
        error.message.contains("2 failed (one of them 10.0.0.") && error.message.contains("it burns"),
        "{}",
        error.message
    );
    let ErrorKind::ReadFailure {
        consistency: Consistency::Quorum,
        received: 1,
        required: 2,
        failures: 2,
        mut reasons,
        data_present: true,
    } = error.kind
    else {
        panic!("{error:?}")
    };
    reasons.sort_by_key(|failure| failure.address);
    assert_eq!(reasons, failed);
}

#[test]
fn a_quorum_read_asks_for_one_digest() {
    let (cluster, table) = cluster();
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::All)
        .expect("the write succeeds");
    cluster.world.start_log();
    assert_eq!(read_all(&cluster, 1, table, Consistency::Quorum), ["a/1=x"]);
    let log = cluster.world.take_log();
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log[0].ends_with("read digest"), "{log:?}");
    assert!(log[1].ends_with("digest"), "{log:?}");
}

#[test]
fn a_mismatch_repairs_the_stale_replica_before_the_answer() {
    let (cluster, table) = cluster();
    for node in 1..=3 {
        cluster.envs[node - 1]
            .store
            .apply_now(insert(table, "a", 1, "old", 10));
    }
    // Only n1 took the second write.
    cluster.envs[0].store.apply_now(insert(table, "a", 1, "new", 20));
    cluster.world.start_log();
    assert_eq!(read_all(&cluster, 1, table, Consistency::All), ["a/1=new"]);
    assert_eq!(
        both_in_order(cluster.world.take_log()),
        [
            "n1 -> n2: read digest",
            "n1 -> n3: read digest",
            "n2 -> n1: digest",
            "n3 -> n1: digest",
            "n1 -> n2: read data",
            "n1 -> n3: read data",
            "n2 -> n1: page",
            "n3 -> n1: page",
            "n1 -> n2: write 1 (Repair)",
            "n1 -> n3: write 1 (Repair)",
            "n2 -> n1: done",
            "n3 -> n1: done",
        ]
    );
    for node in 1..=3 {
        let now = cluster.now();
        let own = cluster.envs[node - 1]
            .store
            .read_now(&whole_partition(table, "a", now));
        assert_eq!(
            rows_of(&own, now),
            ["a/1=new"],
            "n{node} before the answer was given"
        );
    }
}

/// Until there is anti-entropy repair, this is what brings such a write to the replica that missed it.
#[test]
fn a_write_whose_coordinator_died_without_a_hint_is_missing_at_one_until_a_quorum_reads_it() {
    let (mut cluster, table) = cluster();
    cluster.partition(&[1], &[3], Link::Silent);
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::Quorum)
        .expect("n1 and n2 have it");
    // It waits for n3's answer still, so it kept no hint.
    cluster.kill(1);
    cluster.run_for(LATER);
    let none: [&str; 0] = [];
    assert_eq!(read_all(&cluster, 3, table, Consistency::One), none);
    assert_eq!(read_all(&cluster, 3, table, Consistency::Quorum), ["a/1=x"]);
    assert_eq!(read_all(&cluster, 3, table, Consistency::One), ["a/1=x"]);
    assert_eq!(cluster.stored(3, table, &key("a")).rows.len(), 1);
}

#[test]
fn quorum_reads_are_monotonic() {
    let (cluster, table) = cluster();
    // A write that reached only one replica, and was not acknowledged.
    cluster.envs[0].store.apply_now(insert(table, "a", 1, "x", 10));
    assert_eq!(read_all(&cluster, 1, table, Consistency::Quorum), ["a/1=x"]);
    cluster.partition(&[1], &[2, 3], Link::Refused);
    for node in [2, 3] {
        assert_eq!(
            read_all(&cluster, node, table, Consistency::Quorum),
            ["a/1=x"],
            "n{node} sees what was once read"
        );
    }
}

#[test]
fn a_repair_that_is_not_acknowledged_fails_the_read() {
    let (cluster, table) = cluster();
    cluster.envs[0].store.apply_now(insert(table, "a", 1, "x", 10));
    cluster.partition(&[1], &[3], Link::Refused);
    // n3 refuses, so n2 is asked for data at once; it comes after 400 microseconds, and the repair that is
    // sent then is not answered.
    let world = cluster.world.clone();
    let (a, b) = (cluster.envs[0].address, cluster.envs[1].address);
    let executor = world.executor.clone();
    let cut = executor.sleep(Duration::from_micros(300));
    executor.spawn(async move {
        cut.await;
        world.set_link(a, b, Link::Deaf);
    });
    let error = cluster
        .read(1, whole_partition(table, "a", cluster.now()), Consistency::Quorum)
        .expect_err("the repair is not acknowledged");
    assert!(
        matches!(
            error.kind,
            ErrorKind::ReadTimeout {
                received: 1,
                required: 2,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_slow_replica_is_speculated_around() {
    let (cluster, table) = cluster();
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::All)
        .expect("the write succeeds");
    // n1 asks itself and one other: both others are slow, one more than the other.
    cluster.partition(&[1], &[2], Link::Slow(Duration::from_millis(900)));
    let before = cluster.world.executor.now();
    for _ in 0..3 {
        assert_eq!(read_all(&cluster, 1, table, Consistency::Quorum), ["a/1=x"]);
    }
    let took = cluster.world.executor.now().saturating_sub(before);
    assert!(took < Duration::from_millis(900), "{took:?}");
    cluster.partition(&[1], &[2], Link::Good);
}

#[test]
fn whoever_is_asked_in_a_silent_replicas_place_may_be_silent_too() {
    // n1 is no replica of all tokens.
    let cluster = TestCluster::new(4);
    let table = cluster.make_table(3);
    let away = (0..).map(|number| format!("k{number}"));
    let names: Vec<String> = away
        .filter(|name| {
            let written = cluster.write(1, insert(table, name, 1, "x", 10), Consistency::All);
            written.expect("all are alive");
            cluster.stored(1, table, &key(name)).is_empty()
        })
        .take(3)
        .collect();
    for (name, answers) in names.iter().zip([2, 3, 4]) {
        let silent: Vec<usize> = (2..=4).filter(|node| *node != answers).collect();
        for node in [2, 3, 4] {
            // Who answers is asked last.
            let node_id = cluster.node(node).id;
            let latency = Arc::clone(&cluster.node(1).views.load().cluster.peers[&node_id].latency);
            let usual = if node == answers { 2_000 } else { 1 };
            (0..100).for_each(|_| latency.record(Duration::from_micros(usual)));
        }
        cluster.partition(&[1], &silent, Link::Silent);
        let before = cluster.world.executor.now();
        let asked = cluster.node(1).status().counters.speculative_reads;
        let page = cluster.read(1, whole_partition(table, name, cluster.now()), Consistency::One);
        let page = page.unwrap_or_else(|error| panic!("n{answers} answers: {error}"));
        assert_eq!(rows_of(&page, cluster.now()), [format!("{name}/1=x")]);
        let took = cluster.world.executor.now().saturating_sub(before);
        assert!(took < Duration::from_millis(100), "{took:?}");
        let now = cluster.node(1).status().counters.speculative_reads;
        assert_eq!(now - asked, 2, "one after the other");
        cluster.partition(&[1], &silent, Link::Good);
        cluster.run_for(Duration::from_secs(1));
    }
}

#[test]
fn a_read_goes_on_when_a_contacted_replica_refuses() {
    let (cluster, table) = cluster();
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::All)
        .expect("the write succeeds");
    for dead in [2, 3] {
        cluster.partition(&[1], &[dead], Link::Refused);
        assert_eq!(read_all(&cluster, 1, table, Consistency::Quorum), ["a/1=x"]);
        cluster.partition(&[1], &[dead], Link::Good);
        cluster.run_for(LATER);
    }
}

#[test]
fn short_reads_do_not_bring_deleted_rows_back() {
    let (cluster, table) = cluster();
    for node in 1..=3 {
        for row in 0..8 {
            cluster.envs[node - 1]
                .store
                .apply_now(insert(table, "a", row, "x", 10));
        }
    }
    // n1 missed that rows 0 to 4 were deleted, n2 and n3 that 5 was.
    for row in 0..5 {
        for node in [2, 3] {
            cluster.envs[node - 1]
                .store
                .apply_now(delete(table, row, 20, &cluster));
        }
    }
    cluster.envs[0].store.apply_now(delete(table, 5, 20, &cluster));
    let now = cluster.now();
    let mut command = whole_partition(table, "a", now);
    command.limits.rows = 2;
    let mut seen = Vec::new();
    loop {
        let page = cluster
            .read(1, command.clone(), Consistency::All)
            .expect("the read succeeds");
        seen.extend(rows_of(&page, now));
        match page.next {
            Some(next) => command.after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, ["a/6=x", "a/7=x"]);
}

#[test]
fn a_scan_visits_every_partition_once_in_token_order() {
    for (nodes, factor) in [(1, 1), (3, 1), (3, 2), (4, 3)] {
        let cluster = TestCluster::new(nodes);
        let table = cluster.make_table(factor);
        let mut expected = Vec::new();
        for number in 0..60 {
            let name = format!("k{number}");
            cluster
                .write(1, insert(table, &name, 0, "x", 10), Consistency::All)
                .expect("the write succeeds");
            expected.push((key(&name).token, format!("{name}/0=x")));
        }
        expected.sort();
        let expected: Vec<String> = expected.into_iter().map(|(_, row)| row).collect();
        let now = cluster.now();
        for page_rows in [1, 7, 60, 1000] {
            let mut command = whole_partition(table, "", now);
            command.keys = KeyRange::Tokens(TokenRange::ALL);
            command.limits = Limits {
                rows: page_rows,
                ..Limits::NONE
            };
            let mut seen = Vec::new();
            loop {
                let page = cluster
                    .read(nodes, command.clone(), Consistency::Quorum)
                    .expect("the read succeeds");
                let rows = rows_of(&page, now);
                assert!(rows.len() <= page_rows as usize);
                seen.extend(rows);
                match page.next {
                    Some(next) => command.after = Some(next),
                    None => break,
                }
            }
            assert_eq!(
                seen, expected,
                "{nodes} nodes, factor {factor}, pages of {page_rows}"
            );
        }
    }
}

#[test]
fn late_work_is_dropped() {
    let (cluster, table) = cluster();
    cluster.partition(&[1], &[2, 3], Link::Slow(Duration::from_secs(10)));
    let error = cluster.write(1, insert(table, "a", 1, "x", 10), Consistency::Quorum);
    assert!(matches!(
        error.expect_err("too slow").kind,
        ErrorKind::WriteTimeout { received: 1, .. }
    ));
}

#[test]
fn truncate_needs_everybody_and_empties_everybody() {
    let (mut cluster, table) = cluster();
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::All)
        .expect("the write succeeds");
    cluster.cql(2, "TRUNCATE ks.t").expect("all are alive");
    for node in 1..=3 {
        assert!(cluster.stored(node, table, &key("a")).is_empty(), "n{node}");
    }
    kill_and_notice(&mut cluster, 3);
    let error = cluster.cql(1, "TRUNCATE ks.t").expect_err("n3 is down");
    assert_eq!(
        error.kind,
        ErrorKind::Unavailable {
            consistency: Consistency::All,
            required: 3,
            alive: 2
        }
    );
}

#[test]
fn replicas_that_died_a_moment_ago_are_no_failures() {
    let (cluster, table) = cluster();
    // Nobody has noticed yet: to the failure detector they are alive.
    cluster.partition(&[1], &[2, 3], Link::Refused);
    let error = cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::Quorum)
        .expect_err("one of three is not enough");
    assert!(
        matches!(
            error.kind,
            ErrorKind::WriteTimeout {
                received: 1,
                required: 2,
                ..
            }
        ),
        "it was written here, and so is not Unavailable: {error}"
    );

    let (cluster, table) = self::cluster();
    cluster.partition(&[1], &[2, 3], Link::Refused);
    let error = cluster
        .read(1, whole_partition(table, "a", cluster.now()), Consistency::Quorum)
        .expect_err("one of three is not enough");
    assert_eq!(
        error.kind,
        ErrorKind::Unavailable {
            consistency: Consistency::Quorum,
            required: 2,
            alive: 1
        }
    );
}

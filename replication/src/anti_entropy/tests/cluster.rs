//! Sessions in a cluster: what is repaired, and what it costs on the wire.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::StreamExt;
use starling_model::{Clustering, ClusteringRange, Mutation, Partition, TableId};

use crate::{
    anti_entropy::{
        demand::{RepairProgress, RepairRequest},
        schedule,
        session::{Manner, SessionError},
        wire::{Moment, Piece, SessionRequest},
    },
    deadline::Deadline,
    env::StoreError,
    message::Failure,
    testing::{Link, TestCluster, address, clustering, insert, key, row_of},
};

/// A cluster of three whose background sessions are off, and its table of three replicas.
pub(super) fn quiet() -> (TestCluster, TableId) {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    (cluster, table)
}

pub(super) fn repair(cluster: &TestCluster, number: usize, request: RepairRequest) -> RepairProgress {
    let progress = cluster.node(number).repair(request).expect("the repair begins");
    let all: Vec<RepairProgress> = cluster.world.executor.run(progress.collect());
    let last = all.last().expect("a repair ends with a word").clone();
    assert!(last.finished);
    last
}

pub(super) fn everything() -> RepairRequest {
    RepairRequest::default()
}

/// Puts a row into one node's storage behind everybody's back.
fn smuggle(cluster: &TestCluster, number: usize, mutation: Mutation) {
    cluster.store(number).apply_now(mutation);
}

fn fill(cluster: &TestCluster, table: TableId, partitions: u32, rows: u32) {
    for number in 1..=3 {
        for partition in 0..partitions {
            let mut content = Partition::default();
            for row in 0..rows {
                content.add_row(clustering(row), row_of("a value of some length", 10));
            }
            smuggle(
                cluster,
                number,
                Mutation {
                    table,
                    key: key(&format!("key {partition}")),
                    partition: content,
                },
            );
        }
    }
}

fn is_equal(cluster: &TestCluster, table: TableId, name: &str) -> bool {
    let all: Vec<Partition> = (1..=3)
        .map(|number| cluster.stored(number, table, &key(name)))
        .collect();
    all.windows(2).all(|pair| pair[0] == pair[1])
}

#[test]
fn equal_replicas_cost_a_question_for_each_range() {
    let (cluster, table) = quiet();
    fill(&cluster, table, 300, 3);
    repair(&cluster, 1, everything());
    let before = cluster.world.bytes();
    let done = repair(&cluster, 1, everything());
    assert_eq!((done.differing, done.written, done.incomplete), (0, 0, 0));
    assert_eq!(done.rows, 900);
    let bytes = cluster.world.bytes() - before;
    // For each range a question and an answer of each of two other replicas, and word that it is repaired.
    assert!(
        bytes < 900 * done.ranges,
        "{bytes} bytes for {} ranges",
        done.ranges
    );
}

#[test]
fn one_row_among_many_costs_little() {
    let (cluster, table) = quiet();
    fill(&cluster, table, 3_000, 3);
    repair(&cluster, 2, everything());
    let quiet_before = cluster.world.bytes();
    repair(&cluster, 2, everything());
    let quiet = cluster.world.bytes() - quiet_before;
    smuggle(&cluster, 3, insert(table, "key 77", 1, "newer", 20));
    let before = cluster.world.bytes();
    let done = repair(&cluster, 2, everything());
    let bytes = cluster.world.bytes() - before - quiet;
    assert_eq!((done.differing, done.written), (1, 2));
    assert!(bytes < 20_000, "{bytes} bytes for one row");
    assert!(is_equal(&cluster, table, "key 77"));
}

#[test]
fn one_row_of_a_wide_partition_costs_little() {
    let (cluster, table) = quiet();
    fill(&cluster, table, 1, 20_000);
    repair(&cluster, 1, everything());
    smuggle(&cluster, 2, insert(table, "key 0", 12_345, "newer", 20));
    let before = cluster.world.bytes();
    let done = repair(&cluster, 1, everything());
    let bytes = cluster.world.bytes() - before;
    assert_eq!((done.differing, done.written), (1, 2));
    assert!(bytes < 70_000, "{bytes} bytes, of which the ranges take most");
    assert!(is_equal(&cluster, table, "key 0"));
}

#[test]
fn an_empty_replica_gets_everything() {
    let (cluster, table) = quiet();
    fill(&cluster, table, 40, 100);
    cluster.store(2).forget_all();
    let done = repair(&cluster, 1, everything());
    assert_eq!(done.incomplete, 0);
    for partition in 0..40 {
        assert!(is_equal(&cluster, table, &format!("key {partition}")));
    }
    assert_eq!(repair(&cluster, 3, everything()).differing, 0);
}

#[test]
fn deletions_of_every_kind_are_repaired() {
    let (cluster, table) = quiet();
    fill(&cluster, table, 4, 50);
    cluster.node(1);
    for statement in [
        "DELETE FROM ks.t WHERE k = 'key 0'",
        "DELETE FROM ks.t WHERE k = 'key 1' AND c > 3 AND c < 10",
        "DELETE FROM ks.t WHERE k = 'key 2' AND c = 7",
        "DELETE v FROM ks.t WHERE k = 'key 3' AND c = 7",
    ] {
        // The third node hears nothing of it, and no hint is kept for long.
        cluster.partition(&[1, 2], &[3], Link::Refused);
        cluster.cql(1, statement).expect("two of three suffice");
    }
    cluster.partition(&[1, 2], &[3], Link::Good);
    cluster.run_for(Duration::from_secs(30));
    repair(&cluster, 3, everything());
    for partition in 0..4 {
        assert!(
            is_equal(&cluster, table, &format!("key {partition}")),
            "partition {partition}"
        );
    }
}

#[test]
fn a_preview_tells_and_changes_nothing() {
    let (cluster, table) = quiet();
    fill(&cluster, table, 10, 3);
    smuggle(&cluster, 3, insert(table, "key 5", 9, "more", 20));
    let request = RepairRequest {
        preview: true,
        ..everything()
    };
    let told = repair(&cluster, 1, request.clone());
    assert_eq!((told.differing, told.written), (1, 0));
    assert!(!is_equal(&cluster, table, "key 5"));
    assert_eq!(repair(&cluster, 1, request).differing, 1);
}

#[test]
fn the_live_ones_are_repaired_while_one_is_down() {
    let (mut cluster, table) = quiet();
    fill(&cluster, table, 10, 3);
    smuggle(&cluster, 2, insert(table, "key 5", 9, "more", 20));
    cluster.kill(3);
    cluster.run_for(Duration::from_secs(30));
    let done = repair(&cluster, 1, everything());
    assert_eq!(done.incomplete, done.ranges);
    assert_eq!((done.differing, done.written), (1, 1));
    let message = done.message;
    assert_eq!(message, None);
}

#[test]
fn a_session_does_not_bring_truncated_rows_back() {
    let (cluster, table) = quiet();
    fill(&cluster, table, 3, 3);
    cluster.cql(1, "TRUNCATE ks.t").expect("all are alive");
    // As if one replica had been read before it was truncated.
    smuggle(&cluster, 3, insert(table, "key 1", 1, "old", 10));
    let done = repair(&cluster, 1, everything());
    assert_eq!((done.written, done.incomplete), (0, 1));
    assert!(cluster.stored(1, table, &key("key 1")).is_empty());
    // A session that begins when the truncation is over everywhere is let in.
    cluster.run_for(Duration::from_mins(2));
    let done = repair(&cluster, 1, everything());
    assert_eq!((done.written, done.incomplete), (2, 0));
}

#[test]
fn what_does_not_exist_is_refused() {
    let (cluster, _) = quiet();
    let of = |keyspace: &str, table: &str| RepairRequest {
        keyspace: Some(keyspace.to_owned()),
        table: Some(table.to_owned()),
        ..everything()
    };
    assert!(cluster.node(1).repair(of("nope", "t")).is_err());
    assert!(cluster.node(1).repair(of("ks", "nope")).is_err());
    assert!(cluster.node(1).repair(of("ks", "t")).is_ok());
}

#[test]
fn many_differences_are_all_repaired() {
    let (cluster, table) = quiet();
    fill(&cluster, table, 200, 20);
    for number in 1..=3_usize {
        for partition in (0..200).filter(|n| n % 3 == number - 1) {
            let mut content = Partition::default();
            let row = Clustering(bytes::Bytes::copy_from_slice(&100_u32.to_be_bytes()));
            content.add_row(row, row_of("other", 30));
            smuggle(
                &cluster,
                number,
                Mutation {
                    table,
                    key: key(&format!("key {partition}")),
                    partition: content,
                },
            );
        }
    }
    let done = repair(&cluster, 1, everything());
    assert_eq!((done.differing, done.written), (200, 400));
    assert_eq!(repair(&cluster, 2, everything()).differing, 0);
}

/// One replica lacks a row in each of many partitions that lie all over the table: they are found and written many at a
/// time, so neither the round trips nor the bytes of each add up.
#[test]
fn many_differences_share_their_round_trips() {
    let (cluster, table) = quiet();
    fill(&cluster, table, 6_000, 3);
    repair(&cluster, 1, everything());
    let idle = cost(&cluster);
    for partition in 0..1_000 {
        let row = insert(table, &format!("key {}", partition * 6), 1, "newer", 20);
        smuggle(&cluster, 1, row.clone());
        smuggle(&cluster, 2, row);
    }
    cluster.world.start_log();
    let bytes = cluster.world.bytes();
    let done = repair(&cluster, 1, everything());
    assert_eq!((done.differing, done.written), (1_000, 1_000));
    let questions = asked(&cluster.world.take_log());
    let each = (cluster.world.bytes() - bytes - idle.1) / 1_000;
    assert!(
        questions < idle.0 + 1_000,
        "{questions} questions, {} of none",
        idle.0
    );
    assert!(each < 1_000, "{each} bytes for each row");
    assert_eq!(repair(&cluster, 2, everything()).differing, 0);
}

/// Questions and bytes of a repair.
fn cost(cluster: &TestCluster) -> (usize, u64) {
    let bytes = cluster.world.bytes();
    cluster.world.start_log();
    repair(cluster, 1, everything());
    let questions = asked(&cluster.world.take_log());
    (questions, cluster.world.bytes() - bytes)
}

/// How many questions one node asked another.
fn asked(log: &[String]) -> usize {
    log.iter().filter(|line| line.contains("->")).count()
}

/// What two replicas agree on, one is asked for both.
#[test]
fn of_replicas_that_agree_one_is_asked() {
    let (cluster, table) = quiet();
    fill(&cluster, table, 500, 3);
    repair(&cluster, 1, everything());
    smuggle(&cluster, 3, insert(table, "key 7", 1, "newer", 20));
    cluster.world.start_log();
    let done = repair(&cluster, 1, everything());
    assert_eq!((done.differing, done.written), (1, 2));
    let log = cluster.world.take_log();
    let deeper = |to: &str| {
        let to = format!("n1 -> {to}: ");
        let questions = log.iter().filter_map(|line| line.strip_prefix(&to));
        questions
            .filter(|what| !matches!(*what, "digests of 1" | "repaired" | "repair 1"))
            .count()
    };
    assert_eq!(deeper("n2"), 0, "{log:?}");
    assert!(deeper("n3") > 0, "{log:?}");
}

/// Rows that don't fit an answer together are read one after the other.
#[test]
fn large_rows_are_repaired_too() {
    let (cluster, table) = quiet();
    fill(&cluster, table, 30, 3);
    let large = "x".repeat(200 << 10);
    for partition in 0..30 {
        let number = 1 + partition % 3;
        let row = insert(table, &format!("key {partition}"), 2, &large, 20);
        smuggle(&cluster, number, row);
    }
    let done = repair(&cluster, 1, everything());
    assert_eq!((done.differing, done.written, done.incomplete), (30, 60, 0));
    for partition in 0..30 {
        assert!(is_equal(&cluster, table, &format!("key {partition}")));
    }
}

/// Makes one replica differ from the others in many places.
fn diverge(cluster: &TestCluster, table: TableId) {
    fill(cluster, table, 600, 3);
    for partition in 0..600 {
        let row = insert(table, &format!("key {partition}"), 7, "newer", 20);
        smuggle(cluster, 3, row);
    }
}

#[test]
fn a_repair_that_nobody_waits_for_ends() {
    let (cluster, table) = quiet();
    diverge(&cluster, table);
    let progress = cluster.node(1).repair(everything()).expect("it begins");
    drop(progress);
    cluster.run_for(Duration::from_secs(1));
    let bytes = cluster.world.bytes();
    cluster.run_for(Duration::from_mins(1));
    assert_eq!(cluster.world.bytes(), bytes, "nothing is asked any more");
    let status = cluster.node(1).status().counters;
    assert!(status.repair_writes < 1_200, "{} writes", status.repair_writes);
    assert_eq!(status.repair_failures, 0);
    assert_eq!(repair(&cluster, 2, everything()).incomplete, 0);
}

#[test]
fn a_node_that_dies_meanwhile_ends_its_sessions_and_no_others() {
    let (mut cluster, table) = quiet();
    diverge(&cluster, table);
    for to in 2..=3 {
        cluster.partition(&[1], &[to], Link::Slow(Duration::from_millis(5)));
    }
    let progress = cluster.node(1).repair(everything()).expect("it begins");
    cluster.run_for(Duration::from_millis(60));
    cluster.kill(2);
    let all: Vec<RepairProgress> = cluster.world.executor.run(progress.collect());
    let last = all.last().expect("a repair ends with a word");
    assert!(last.finished && last.incomplete > 0, "{last:?}");
    cluster.restart(2);
    cluster.run_for(Duration::from_secs(30));
    assert_eq!(repair(&cluster, 1, everything()).incomplete, 0);
    assert_eq!(repair(&cluster, 2, everything()).differing, 0);
}

/// A cluster of three whose background sessions take half a minute for a round.
fn watchful() -> TestCluster {
    let mut cluster = TestCluster::prepared(3);
    for number in 1..=3 {
        watch(&mut cluster, number);
    }
    cluster.run_for(Duration::from_secs(3));
    cluster
}

fn watch(cluster: &mut TestCluster, number: usize) {
    let mut config = TestCluster::config(number);
    config.repair.enabled = true;
    config.repair.interval = Duration::from_secs(30);
    cluster.start_with(number, config).expect("a node starts");
}

/// What these nodes tell of the table's ranges that differ.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    ranges: u64,
    differing: u64,
    since: Option<u32>,
    problems: BTreeSet<String>,
}

fn told(cluster: &TestCluster, numbers: &[usize]) -> Told {
    let tables = numbers
        .iter()
        .flat_map(|number| cluster.node(*number).status().divergence);
    let tables: Vec<_> = tables.collect();
    let ranges = || tables.iter().flat_map(|table| &table.diverged);
    Told {
        ranges: tables.iter().map(|table| table.diverged_ranges).sum(),
        differing: tables.iter().map(|table| table.differing).sum(),
        since: tables.iter().filter_map(|table| table.diverged_since).min(),
        problems: ranges().filter_map(|range| range.problem.clone()).collect(),
    }
}

const NOTHING: Told = Told {
    ranges: 0,
    differing: 0,
    since: None,
    problems: BTreeSet::new(),
};

#[test]
fn the_background_makes_replicas_equal_by_itself() {
    let cluster = watchful();
    let table = cluster.make_table(3);
    fill(&cluster, table, 20, 3);
    smuggle(&cluster, 2, insert(table, "key 5", 9, "more", 20));
    cluster.run_for(Duration::from_mins(2));
    assert!(is_equal(&cluster, table, "key 5"));
    let status = cluster.node(1).status();
    let told = &status.divergence;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].table, "ks.t");
    assert_eq!((told[0].agreed, told[0].differing), (told[0].ranges, 0));
    assert!(told[0].oldest_agreement.is_some() && told[0].diverged.is_empty());
    let found: u64 = (1..=3)
        .map(|n| cluster.node(n).status().counters.repair_differences)
        .sum();
    assert_eq!(found, 1);
}

/// The living make themselves equal. What they found the absent one may lack as well, so it counts until that one was compared.
#[test]
fn what_an_absent_replica_may_lack_is_told_until_it_is_back() {
    let mut cluster = watchful();
    let table = cluster.make_table(3);
    fill(&cluster, table, 20, 3);
    cluster.run_for(Duration::from_mins(2));
    assert_eq!(told(&cluster, &[1, 2, 3]), NOTHING);

    cluster.kill(3);
    let died = cluster.now().0;
    smuggle(&cluster, 2, insert(table, "key 5", 9, "more", 20));
    cluster.run_for(Duration::from_mins(2));
    assert_eq!(
        cluster.stored(1, table, &key("key 5")),
        cluster.stored(2, table, &key("key 5"))
    );
    let absent = told(&cluster, &[1, 2]);
    assert_eq!(absent.differing, 1);
    assert!(absent.ranges > 1, "all that it has a replica of: {absent:?}");
    assert!(
        absent
            .since
            .is_some_and(|since| (died..died + 60).contains(&since)),
        "{absent:?}"
    );
    let down = format!("the replica {} is down", address(3));
    assert_eq!(absent.problems, BTreeSet::from([down]));
    cluster.run_for(Duration::from_mins(2));
    assert_eq!(
        told(&cluster, &[1, 2]),
        absent,
        "later sessions do not take it back"
    );

    cluster.reconnect(3);
    watch(&mut cluster, 3);
    cluster.run_for(Duration::from_mins(2));
    assert!(is_equal(&cluster, table, "key 5"));
    assert_eq!(told(&cluster, &[1, 2, 3]), NOTHING);
}

#[test]
fn what_could_not_be_written_to_a_replica_is_told() {
    let cluster = watchful();
    let table = cluster.make_table(3);
    fill(&cluster, table, 20, 3);
    cluster.run_for(Duration::from_mins(2));
    for from in 1..=3 {
        cluster.partition(&[from], &[from % 3 + 1], Link::Slow(Duration::from_millis(5)));
    }
    smuggle(&cluster, 2, insert(table, "key 5", 9, "more", 20));
    // The disks of the two that lack it fail when it is on its way to the first.
    let writes = |line: &String| line.ends_with(": repair 1");
    cluster.world.start_log();
    while !cluster.world.take_log().iter().any(writes) {
        cluster.world.start_log();
        cluster.run_for(Duration::from_millis(2));
    }
    let fault = Some(StoreError::Disk("worn out".to_owned()));
    cluster.store(1).set_fault(fault.clone());
    cluster.store(3).set_fault(fault);
    cluster.run_for(Duration::from_mins(2));
    let failed = told(&cluster, &[1, 2, 3]);
    assert_eq!(failed.differing, 1, "{failed:?}");
    assert!(
        failed.since.is_some() && !failed.problems.is_empty(),
        "{failed:?}"
    );

    cluster.store(1).set_fault(None);
    cluster.store(3).set_fault(None);
    cluster.run_for(Duration::from_mins(2));
    assert!(is_equal(&cluster, table, "key 5"));
    assert_eq!(told(&cluster, &[1, 2, 3]), NOTHING);
}

/// A repair was planned, or its coordinator is late to hear of the ring; meanwhile two of three replicas have given their tokens away, and
/// one of them still shows what the replica has purged.
#[test]
fn who_is_no_replica_any_more_takes_no_part() {
    let (cluster, table) = quiet();
    fill(&cluster, table, 60, 1);
    let planned = schedule::arcs(&cluster.node(1).views.load(), |_, _| true);
    cluster
        .cql(
            1,
            "ALTER KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        )
        .expect("fewer replicas");
    cluster.run_for(Duration::from_mins(1));
    let names: Vec<String> = (0..60).map(|partition| format!("key {partition}")).collect();
    let owner = |name: &str| {
        let placements = cluster.node(1).views.load();
        let placements = placements.placements("ks").expect("the keyspace");
        let owners = placements.sets(key(name).token).current;
        (1..=3).find(|number| owners == [cluster.node(*number).id])
    };
    for name in &names {
        let owner = owner(name).expect("an owner");
        let other = owner % 3 + 1;
        assert!(
            cluster.stored(other, table, &key(name)).rows.is_empty(),
            "it was cleaned up"
        );
        smuggle(&cluster, other, insert(table, name, 7, "purged elsewhere", 5));
    }
    let engine = Arc::clone(&cluster.node(1).anti_entropy);
    let manner = Manner {
        preview: false,
        patient: false,
    };
    for arc in planned {
        let engine = Arc::clone(&engine);
        let ended = cluster
            .world
            .executor
            .run(async move { engine.session(&arc, manner, &|| false).await });
        assert_eq!(ended, Err(SessionError::Moved));
    }
    for name in &names {
        let owner = owner(name).expect("an owner");
        let moment = Moment {
            now: cluster.now(),
            grace: 0,
            age_ms: 0,
        };
        let pieces = || vec![Piece::rows_of(key(name), ClusteringRange::ALL)];
        let read = SessionRequest::Read {
            table,
            moment,
            patient: false,
            pieces: pieces(),
        };
        let digests = SessionRequest::Digests {
            table,
            moment,
            patient: false,
            pieces: pieces(),
        };
        let write = SessionRequest::Write {
            table,
            age_ms: 0,
            mutations: vec![insert(table, name, 8, "for ever", 5).encode()],
        };
        for request in [read, digests, write] {
            for number in 1..=3 {
                let engine = Arc::clone(&cluster.node(number).anti_entropy);
                let deadline = Deadline::after(&engine.env, Duration::from_secs(1));
                let request = request.clone();
                let answer = cluster
                    .world
                    .executor
                    .run(async move { engine.answer(request, deadline).await });
                let refused = matches!(answer, Err(Failure::OldRing { .. }));
                assert_eq!(refused, number != owner, "n{number}: {answer:?}");
            }
        }
    }
}

use std::{sync::Arc, time::Duration};

use starling_cql::{Error, ErrorKind, WriteType};
use starling_model::{Consistency, Mutation, TableId, TokenRange};
use starling_ring::Partitioner;

use crate::{
    env::{Damaged, StoreError},
    snapshot::{Cluster, Peer},
    testing::{Link, TestCluster, address, insert, key},
    tracing::Tracer,
};

const LATER: Duration = Duration::from_secs(30);

fn mutations(table: TableId) -> Vec<Mutation> {
    (0..5)
        .map(|n| insert(table, &format!("k{n}"), 1, "x", 10))
        .collect()
}

fn write(cluster: &TestCluster, table: TableId, level: Consistency) -> Result<(), Error> {
    let (log, now) = (
        Arc::clone(&cluster.node(1).batch_log),
        cluster.world.executor.now(),
    );
    cluster
        .world
        .executor
        .run(async move { log.write(mutations(table), None, level, now, &Tracer::OFF).await })
}

fn complete(cluster: &TestCluster, table: TableId, number: usize) -> bool {
    (0..5).all(|n| !cluster.stored(number, table, &key(&format!("k{n}"))).is_empty())
}

#[test]
fn a_batch_is_kept_by_two_others_and_forgotten_when_it_is_done() {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    cluster.world.start_log();
    write(&cluster, table, Consistency::Quorum).expect("all are alive");
    cluster.run_for(LATER);
    let log = cluster.world.take_log();
    let about = |what: &str| log.iter().filter(|line| line.contains(what)).count();
    assert_eq!(about("keep batch of 5"), 2, "{log:?}");
    assert_eq!(about("forget batch"), 2, "{log:?}");
    let first_write = log
        .iter()
        .position(|line| line.contains("write 1"))
        .expect("it wrote");
    let last_kept = log
        .iter()
        .rposition(|line| line.ends_with("done"))
        .expect("answers");
    assert!(first_write < last_kept);
    assert!(
        log[..first_write]
            .iter()
            .filter(|line| line.ends_with("done"))
            .count()
            == 2,
        "both keep it before anything is written: {log:?}"
    );
    for number in 1..=3 {
        assert!(complete(&cluster, table, number), "n{number}");
        assert_eq!(cluster.node(number).status().counters.batches_replayed, 0);
    }
}

#[test]
fn the_keepers_finish_what_a_dead_coordinator_began() {
    let mut cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    // The batch is kept, then the coordinator's writes go nowhere, and it dies.
    let executor = cluster.world.executor.clone();
    let (log, now) = (Arc::clone(&cluster.node(1).batch_log), executor.now());
    executor.spawn(async move {
        // The coordinator does not live to see the outcome.
        let _ = log
            .write(mutations(table), None, Consistency::Quorum, now, &Tracer::OFF)
            .await;
    });
    cluster.run_for(Duration::from_micros(300));
    for number in [2, 3] {
        cluster.world.set_link(address(1), address(number), Link::Silent);
    }
    cluster.run_for(Duration::from_millis(10));
    cluster.kill(1);
    assert!(!complete(&cluster, table, 2));
    cluster.run_for(LATER);
    for number in [2, 3] {
        assert!(complete(&cluster, table, number), "n{number}");
    }
    cluster.restart(1);
    cluster.run_for(LATER);
    assert!(complete(&cluster, table, 1), "by hints");
}

/// Who is kept waiting for a batch is told what becomes of it, and that comes true.
#[test]
fn a_batch_that_timed_out_is_carried_out_and_its_client_told_so() {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    let executor = cluster.world.executor.clone();
    let outcome = Arc::new(parking_lot::Mutex::new(None));
    let (log, slot, now) = (
        Arc::clone(&cluster.node(1).batch_log),
        Arc::clone(&outcome),
        executor.now(),
    );
    executor.spawn(async move {
        let level = Consistency::Quorum;
        let written = log.write(mutations(table), None, level, now, &Tracer::OFF).await;
        *slot.lock() = Some(written);
    });
    cluster.run_for(Duration::from_micros(300));
    for number in [2, 3] {
        cluster.world.set_link(address(1), address(number), Link::Silent);
    }
    cluster.run_for(Duration::from_secs(3));
    let written = outcome.lock().take().expect("its time is over");
    let error = written.expect_err("nobody else answers");
    let is_of_batch = matches!(
        error.kind,
        ErrorKind::WriteTimeout {
            write_type: WriteType::Batch,
            ..
        }
    );
    assert!(is_of_batch, "{error:?}");
    for part in ["is kept", "10805 s", "in part", "twice"] {
        assert!(error.message.contains(part), "{error}");
    }
    assert!(!error.message.contains("will be"), "{error}");
    assert!(!complete(&cluster, table, 2));
    cluster.partition(&[1], &[2, 3], Link::Good);
    cluster.run_for(LATER);
    for number in 1..=3 {
        assert!(complete(&cluster, table, number), "n{number}");
    }
}

/// Nobody keeps it: it is atomic by itself.
#[test]
fn a_logged_batch_of_one_mutation_is_no_batch_when_it_times_out() {
    let cluster = TestCluster::new(3);
    cluster.make_table(3);
    cluster.partition(&[1], &[2, 3], Link::Silent);
    let batch = "BEGIN BATCH INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'x') APPLY BATCH";
    let error = cluster.cql(1, batch).expect_err("nobody else answers");
    let is_simple = matches!(
        error.kind,
        ErrorKind::WriteTimeout {
            write_type: WriteType::Simple,
            ..
        }
    );
    assert!(is_simple, "{error:?}");
    assert!(!error.message.contains("is kept"), "{error}");
}

#[test]
fn kept_batches_survive_a_restart() {
    let mut cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    let keeper = Arc::clone(&cluster.node(2).kept);
    let encoded = mutations(table).iter().map(Mutation::encode).collect();
    cluster
        .world
        .executor
        .run(async move { keeper.store(42, encoded).await })
        .expect("it is kept");
    cluster.kill(2);
    cluster.restart(2);
    cluster.run_for(LATER);
    for number in 1..=3 {
        assert!(complete(&cluster, table, number), "n{number}");
    }
    assert_eq!(cluster.node(2).status().counters.batches_replayed, 1);
}

/// A full disk refuses the removal. A crash later, when what the batch wrote may have been deleted, and the deletion
/// purged, it must not be carried out again.
#[test]
fn a_removal_that_the_storage_refuses_is_tried_again() {
    let mut cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    let executor = cluster.world.executor.clone();
    let (keeper, remover) = (
        Arc::clone(&cluster.node(2).kept),
        Arc::clone(&cluster.node(2).kept),
    );
    let encoded = mutations(table).iter().map(Mutation::encode).collect();
    executor
        .run(async move { keeper.store(7, encoded).await })
        .expect("it is kept");
    let fault = StoreError::Disk("it is full".to_owned());
    cluster.store(2).set_fault(Some(fault));
    executor.run(async move { remover.remove(7).await });
    cluster.run_for(LATER);
    cluster.store(2).set_fault(None);
    cluster.run_for(LATER);
    cluster.kill(2);
    cluster.restart(2);
    cluster.run_for(LATER);
    for number in 1..=3 {
        assert_eq!(cluster.node(number).status().counters.batches_replayed, 0);
        assert!(!complete(&cluster, table, number), "n{number} got what was done");
    }
}

/// Nodes whose hints get ten minutes old, and whose batches so too.
fn forgetful(size: usize) -> TestCluster {
    let mut cluster = TestCluster::prepared(size);
    for number in 1..=size {
        let mut config = TestCluster::config(number);
        config.bounds.hint_age = WINDOW;
        cluster.start_with(number, config).expect("a node starts");
    }
    cluster.run_for(Duration::from_secs(3));
    cluster
}

const WINDOW: Duration = Duration::from_mins(10);

fn come_back(cluster: &mut TestCluster, number: usize) {
    let mut config = TestCluster::config(number);
    config.bounds.hint_age = WINDOW;
    cluster.reconnect(number);
    cluster.start_with(number, config).expect("a node starts");
}

fn keep(cluster: &TestCluster, number: usize, id: u128, mutations: &[Mutation]) {
    let keeper = Arc::clone(&cluster.node(number).kept);
    let encoded = mutations.iter().map(Mutation::encode).collect();
    cluster
        .world
        .executor
        .run(async move { keeper.store(id, encoded).await })
        .expect("it is kept");
}

/// What the batch wrote may have been deleted meanwhile, and the deletion purged.
#[test]
fn a_keeper_that_was_down_for_longer_than_hints_are_kept_carries_nothing_out() {
    let mut cluster = forgetful(3);
    let table = cluster.make_table(3);
    keep(&cluster, 2, 7, &mutations(table));
    cluster.kill(2);
    cluster.run_for(WINDOW + LATER);
    come_back(&mut cluster, 2);
    cluster.run_for(LATER);
    for number in 1..=3 {
        assert!(!complete(&cluster, table, number), "n{number} got an old batch");
    }
    let counters = cluster.node(2).status().counters;
    assert_eq!((counters.batches_replayed, counters.batches_expired), (0, 1));
    assert!(
        cluster.node(2).kept.older_than(Duration::ZERO).is_empty(),
        "it is removed"
    );
}

/// A replica refuses its part each time. The other part must not be written again and again for ever: it may be deleted, and the
/// deletion purged.
#[test]
fn a_batch_that_can_t_be_carried_out_whole_is_given_up_in_the_end() {
    let mut cluster = TestCluster::prepared(3);
    for number in 1..=3 {
        let mut config = TestCluster::config(number);
        config.bounds.hint_age = WINDOW;
        // No hint has room.
        config.bounds.hint_bytes = 1;
        cluster.start_with(number, config).expect("a node starts");
    }
    cluster.run_for(Duration::from_secs(3));
    let table = cluster.make_table(3);
    cluster.kill(3);
    cluster.run_for(LATER);
    keep(&cluster, 2, 7, &mutations(table));
    cluster.run_for(LATER);
    assert!(!cluster.stored(1, table, &key("k0")).is_empty(), "it is tried");
    cluster.run_for(WINDOW);
    let counters = cluster.node(2).status().counters;
    assert_eq!((counters.batches_replayed, counters.batches_expired), (0, 1));
    cluster.world.start_log();
    cluster.run_for(LATER);
    let log = cluster.world.take_log();
    assert!(!log.iter().any(|line| line.contains("write 1")), "{log:?}");
}

/// The hints that a batch leaves get no older than those of the write that it was.
#[test]
fn hints_of_a_kept_batch_are_as_old_as_the_batch() {
    let mut cluster = forgetful(3);
    let table = cluster.make_table(3);
    cluster.kill(3);
    cluster.run_for(LATER);
    keep(&cluster, 2, 7, &mutations(table));
    cluster.kill(2);
    cluster.run_for(WINDOW.mul_f64(0.9));
    come_back(&mut cluster, 2);
    cluster.run_for(LATER);
    assert!(
        complete(&cluster, table, 1),
        "it is carried out, with hints for n3"
    );
    cluster.run_for(WINDOW.mul_f64(0.2));
    come_back(&mut cluster, 3);
    cluster.run_for(LATER);
    assert!(!complete(&cluster, table, 3), "its hints are too old by now");
}

/// The statement ended well, but the keepers have not heard of it when the table is truncated.
#[test]
fn a_truncated_table_stays_empty_though_a_batch_is_kept() {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    keep(&cluster, 2, 7, &mutations(table));
    cluster.cql(1, "TRUNCATE ks.t").expect("all are alive");
    cluster.run_for(LATER);
    for number in 1..=3 {
        assert!(!complete(&cluster, table, number), "n{number} has rows again");
    }
}

/// Only what it writes to the truncated table is forgotten.
#[test]
fn a_kept_batch_keeps_its_writes_to_other_tables_when_one_is_truncated() {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    let other = TableId(table.0 ^ 1);
    keep(&cluster, 2, 7, &mutations(table));
    let keeper = Arc::clone(&cluster.node(2).kept);
    cluster
        .world
        .executor
        .run(async move { keeper.forget_table(other).await })
        .expect("it is forgotten");
    cluster.run_for(LATER);
    for number in 1..=3 {
        assert!(complete(&cluster, table, number), "n{number}");
    }
}

#[test]
fn a_batch_that_is_kept_twice_stays_done() {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    keep(&cluster, 2, 7, &mutations(table));
    let executor = cluster.world.executor.clone();
    let fault = StoreError::Disk("it is full".to_owned());
    cluster.store(2).set_fault(Some(fault));
    let remover = Arc::clone(&cluster.node(2).kept);
    executor.run(async move { remover.remove(7).await });
    cluster.store(2).set_fault(None);
    // The request to keep it was sent twice, and one copy was slow.
    keep(&cluster, 2, 7, &mutations(table));
    cluster.run_for(LATER);
    for number in 1..=3 {
        assert!(!complete(&cluster, table, number), "n{number} got what was done");
    }
}

#[test]
fn a_node_starts_though_batches_that_it_kept_are_damaged() {
    let mut cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    cluster.store(2).damage(Damaged {
        table: super::kept::TABLE,
        tokens: TokenRange::ALL,
    });
    cluster.kill(2);
    cluster.restart(2);
    write(&cluster, table, Consistency::All).expect("all are alive");
    cluster.run_for(LATER);
    assert!(complete(&cluster, table, 2));
}

#[test]
fn nothing_is_written_when_nobody_can_keep_the_batch() {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    for number in [1, 2, 3] {
        let broken = StoreError::Disk("it burns".to_owned());
        cluster.envs[number - 1].store.set_fault(Some(broken));
    }
    let error = write(&cluster, table, Consistency::One).expect_err("nobody keeps it");
    assert!(matches!(
        error.kind,
        ErrorKind::WriteTimeout {
            write_type: WriteType::BatchLog,
            received: 0,
            ..
        }
    ));
    assert!(!complete(&cluster, table, 1));
}

#[test]
fn a_keeper_that_has_just_died_is_replaced_at_once() {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    // It died a moment ago: nobody knows, and what is sent to it is lost.
    cluster.partition(&[1, 2], &[3], Link::Silent);
    let before = cluster.world.executor.now();
    write(&cluster, table, Consistency::Quorum).expect("two of three are alive");
    let took = cluster.world.executor.now().saturating_sub(before);
    assert!(took < Duration::from_millis(100), "{took:?}");
    for number in [1, 2] {
        assert!(complete(&cluster, table, number), "n{number}");
    }
}

#[test]
fn a_keeper_that_refuses_is_replaced() {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    cluster.partition(&[1, 2], &[3], Link::Refused);
    write(&cluster, table, Consistency::Quorum).expect("two of three are alive");
    for number in [1, 2] {
        assert!(complete(&cluster, table, number), "n{number}");
    }
}

#[test]
fn alone_a_node_keeps_its_own_batches() {
    let cluster = TestCluster::new(1);
    let table = cluster.make_table(1);
    write(&cluster, table, Consistency::One).expect("it is alone");
    assert!(complete(&cluster, table, 1));
}

#[test]
fn an_unavailable_batch_is_not_kept() {
    let mut cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    cluster.kill(2);
    cluster.kill(3);
    cluster.run_for(LATER);
    cluster.world.start_log();
    let error = write(&cluster, table, Consistency::Quorum).expect_err("two are dead");
    assert_eq!(
        error.kind,
        ErrorKind::Unavailable {
            consistency: Consistency::Quorum,
            required: 2,
            alive: 1
        }
    );
    cluster.run_for(LATER);
    assert!(!complete(&cluster, table, 1), "it is not carried out later");
}

#[test]
fn a_batch_that_is_kept_is_not_called_unchanged_when_a_replica_goes_down() {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    let pass = |link| {
        for number in [2, 3] {
            cluster.world.set_link(address(1), address(number), link);
        }
    };
    pass(Link::Slow(Duration::from_millis(5)));
    let outcome = Arc::new(parking_lot::Mutex::new(None));
    let (log, slot) = (Arc::clone(&cluster.node(1).batch_log), Arc::clone(&outcome));
    let now = cluster.world.executor.now();
    cluster.world.executor.spawn(async move {
        let written = log
            .write(mutations(table), None, Consistency::All, now, &Tracer::OFF)
            .await;
        *slot.lock() = Some(written);
    });
    // All were alive when the batch set out to its keepers; n3 is down when they have it.
    cluster.run_for(Duration::from_millis(3));
    let views = Arc::clone(&cluster.node(1).views);
    let before = Arc::clone(&views.load().cluster);
    let peers = before.peers.values().map(|peer| {
        let mut peer = Peer::clone(peer);
        peer.alive &= peer.address != address(3);
        peer
    });
    let state = cluster.node(1).ring_state();
    views.set_cluster(Cluster::new(
        Partitioner::Murmur3,
        before.me,
        peers.collect(),
        &state,
    ));
    cluster.run_for(Duration::from_millis(20));
    pass(Link::Good);
    let written = outcome.lock().take().expect("the answer does not wait");
    let error = written.expect_err("ALL needs n3");
    assert!(
        matches!(
            error.kind,
            ErrorKind::WriteTimeout {
                write_type: WriteType::Batch,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.message.contains("10805 s"), "{error}");
    cluster.run_for(LATER);
    for number in 1..=3 {
        assert!(complete(&cluster, table, number), "n{number}");
    }
}

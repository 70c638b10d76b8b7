//! Tombstones go when, and only when, nobody can lack them.

use std::time::Duration;

use starling_model::{Consistency, Deletion, Mutation, Partition, Seconds, Timestamp, Token};
use starling_sstable::PurgePolicy;

use super::cluster::{everything, quiet, repair};
use crate::testing::{TestCluster, insert, key};

/// The second before which things may be purged in the middle of the ring, as the storage was told.
fn before(cluster: &TestCluster, number: usize, now: Seconds) -> Option<Seconds> {
    let table = cluster.table(number);
    cluster.store(number).purge_policy(table).before_at(now, Token(0))
}

#[test]
fn nothing_is_purged_before_a_repair() {
    let (cluster, table) = quiet();
    cluster
        .cql(1, "ALTER TABLE ks.t WITH gc_grace_seconds = 0")
        .expect("an option");
    cluster.run_for(Duration::from_mins(20));
    assert_eq!(cluster.store(1).purge_policy(table), PurgePolicy::Keep);
}

#[test]
fn every_replica_may_purge_what_is_older_than_the_horizon() {
    let (cluster, _) = quiet();
    cluster
        .cql(1, "ALTER TABLE ks.t WITH gc_grace_seconds = 0")
        .expect("an option");
    cluster.run_for(Duration::from_secs(1));
    let at = cluster.now();
    repair(&cluster, 1, everything());
    let config = TestCluster::config(1);
    let horizon = config.bounds.hint_horizon()
        + config.timeouts.range * 2
        + config.timeouts.batch_replay
        + config.repair.clock_skew;
    for number in 1..=3 {
        let before = before(&cluster, number, Seconds(at.0 + 100_000)).expect("a bound");
        assert_eq!(u64::from(at.0 - before.0), horizon.as_secs() + 1);
    }
}

#[test]
fn a_replica_that_is_down_holds_purging_up() {
    let (mut cluster, table) = quiet();
    cluster
        .cql(1, "ALTER TABLE ks.t WITH gc_grace_seconds = 0")
        .expect("an option");
    cluster.kill(3);
    cluster.run_for(Duration::from_secs(30));
    repair(&cluster, 1, everything());
    assert_eq!(cluster.store(1).purge_policy(table), PurgePolicy::Keep);
}

#[test]
fn other_replicas_make_an_old_repair_void() {
    let (cluster, _) = quiet();
    repair(&cluster, 1, everything());
    assert!(before(&cluster, 1, cluster.now()).is_some());
    cluster
        .cql(
            1,
            "ALTER KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}",
        )
        .expect("an option");
    cluster.run_for(Duration::from_secs(20));
    for number in 1..=3 {
        assert_eq!(before(&cluster, number, cluster.now()), None);
    }
}

#[test]
fn what_is_repaired_is_remembered() {
    let (mut cluster, table) = quiet();
    repair(&cluster, 1, everything());
    cluster.run_for(Duration::from_secs(20));
    let told = cluster.store(2).purge_policy(table);
    assert!(matches!(told, PurgePolicy::Repaired { .. }));
    cluster.kill(2);
    cluster.store(2).forget_policies();
    cluster.restart(2);
    cluster.run_for(Duration::from_secs(20));
    assert_eq!(cluster.store(2).purge_policy(table), told);
}

/// Two replicas have the same digest, for what may be purged is in none; but one has a deletion, and the other has
/// not, and is asked for both. What a third one still has must not come back at the second.
#[test]
fn a_deletion_that_no_digest_shows_hides_what_a_third_replica_has() {
    let (cluster, table) = quiet();
    cluster
        .cql(1, "ALTER TABLE ks.t WITH gc_grace_seconds = 60")
        .expect("an option");
    cluster.run_for(Duration::from_mins(30));
    let old = |partition| Mutation {
        table,
        key: key("a"),
        partition,
    };
    let deletion = Partition {
        deletion: Some(Deletion {
            timestamp: Timestamp(20),
            at: Seconds(cluster.now().0 - 1_000),
        }),
        ..Partition::default()
    };
    cluster.store(1).apply_now(old(deletion));
    cluster.store(3).apply_now(insert(table, "a", 1, "covered", 10));
    repair(&cluster, 2, everything());
    for number in 1..=3 {
        let shown = cluster.stored(number, table, &key("a")).rows;
        assert!(shown.is_empty(), "n{number} shows {shown:?}");
    }
}

/// A node is away for longer than hints, grace and every window, while rows that it has are deleted. The others may
/// not purge the deletions meanwhile; when it is back they reach it; then they are purged, and nothing comes back.
#[test]
fn a_node_that_was_away_for_long_brings_nothing_back() {
    let mut cluster = TestCluster::prepared(3);
    let config = |number| {
        let mut config = TestCluster::config(number);
        config.repair.enabled = true;
        config.repair.interval = Duration::from_mins(2);
        config.bounds.hint_age = Duration::from_secs(5);
        config.bounds.hint_slack = Duration::from_secs(5);
        config.repair.clock_skew = Duration::from_secs(5);
        config
    };
    for number in 1..=3 {
        cluster.start_with(number, config(number)).expect("a node starts");
    }
    cluster.run_for(Duration::from_secs(3));
    let table = cluster.make_table(3);
    cluster
        .cql(1, "ALTER TABLE ks.t WITH gc_grace_seconds = 60")
        .expect("an option");
    for row in 0..5 {
        let write = insert(table, "a", row, "old", 10);
        cluster.write(1, write, Consistency::All).expect("all are alive");
    }
    cluster.run_for(Duration::from_mins(5));
    cluster.kill(3);
    cluster.run_for(Duration::from_secs(30));
    cluster
        .cql(1, "DELETE FROM ks.t WHERE k = 'a'")
        .expect("two of three suffice");
    for _ in 0..5 {
        cluster.run_for(Duration::from_mins(5));
        for number in [1, 2] {
            cluster.store(number).purge_now(cluster.now());
            let kept = cluster.stored(number, table, &key("a"));
            assert!(
                kept.deletion.is_some(),
                "the deletion waits for the third replica"
            );
        }
    }
    assert_eq!(cluster.stored(3, table, &key("a")).rows.len(), 5);
    cluster.reconnect(3);
    cluster.start_with(3, config(3)).expect("it starts again");
    cluster.run_for(Duration::from_mins(15));
    for number in 1..=3 {
        cluster.store(number).purge_now(cluster.now());
        let left = cluster.stored(number, table, &key("a"));
        assert!(
            left.is_empty(),
            "the deletion is purged, and all that it covered is gone"
        );
    }
}

//! Read repair as a table wants it, and its bounds.

use std::{sync::Arc, time::Duration};

use starling_model::{Consistency, Deletion, Mutation, Partition, Seconds, TableId, Timestamp, TokenRange};
use starling_sstable::{PurgePolicy, Repaired};

use super::{LATER, cluster, read_all};
use crate::{
    coordinator::{answers::Received, read::ReadPlan},
    testing::{Link, TestCluster, insert, key, rows_of, whole_partition},
    tracing::Tracer,
};

fn alter(cluster: &TestCluster, options: &str) {
    cluster
        .cql(1, &format!("ALTER TABLE ks.t WITH {options}"))
        .expect("a valid statement");
    cluster.run_for(LATER);
}

/// A row that one replica alone has.
fn leave_on(cluster: &TestCluster, number: usize, table: TableId) {
    cluster.envs[number - 1]
        .store
        .apply_now(insert(table, "a", 1, "x", 10));
}

fn holders(cluster: &TestCluster, table: TableId) -> Vec<usize> {
    let has = |number: &usize| !cluster.stored(*number, table, &key("a")).is_empty();
    (1..=3).filter(has).collect()
}

#[test]
fn a_table_may_do_without_repair() {
    let (cluster, table) = cluster();
    alter(&cluster, "read_repair = 'NONE'");
    leave_on(&cluster, 1, table);
    assert_eq!(read_all(&cluster, 1, table, Consistency::All), ["a/1=x"]);
    assert_eq!(holders(&cluster, table), [1], "merged, and left as it was");
}

/// A deletion of the partition, made at second `at`.
fn deletion(table: TableId, at: Seconds) -> Mutation {
    let timestamp = Timestamp(20);
    Mutation {
        table,
        key: key("a"),
        partition: Partition {
            deletion: Some(Deletion { timestamp, at }),
            ..Partition::default()
        },
    }
}

/// All replicas were equal up to a second, as node 1 knows.
fn repaired(cluster: &TestCluster, table: TableId, at: Seconds) {
    let up_to = Repaired::new([(TokenRange::ALL, at)]);
    let policy = PurgePolicy::Repaired { grace: 100, up_to };
    let node = cluster.node(1);
    node.coordinator.replica.purgeable.set(table, &policy);
}

#[test]
fn an_old_deletion_that_not_all_replicas_had_is_given_to_as_many_as_the_level_names() {
    for repaired_before in [None, Some(1)] {
        let (cluster, table) = cluster();
        alter(&cluster, "gc_grace_seconds = 100");
        let old = Seconds(cluster.now().0 - 200);
        if let Some(seconds) = repaired_before {
            repaired(&cluster, table, Seconds(old.0 - seconds));
        }
        // It failed, and what it hides is where it did not get to.
        cluster.envs[0].store.apply_now(deletion(table, old));
        leave_on(&cluster, 3, table);
        cluster.partition(&[3], &[1, 2], Link::Silent);
        assert!(read_all(&cluster, 1, table, Consistency::Quorum).is_empty());
        cluster.partition(&[3], &[1, 2], Link::Good);
        cluster.partition(&[1], &[2, 3], Link::Silent);
        let later = read_all(&cluster, 2, table, Consistency::Quorum);
        assert!(later.is_empty(), "it was deleted a moment ago: {later:?}");
    }
}

#[test]
fn what_a_replica_has_purged_is_not_given_back() {
    let (cluster, table) = cluster();
    alter(&cluster, "gc_grace_seconds = 100");
    let old = Seconds(cluster.now().0 - 200);
    repaired(&cluster, table, Seconds(old.0 + 1));
    cluster.envs[0].store.apply_now(deletion(table, old));
    assert!(read_all(&cluster, 1, table, Consistency::All).is_empty());
    assert_eq!(holders(&cluster, table), [1], "the others may have purged it");

    // Where it hides something it is needed, however old it is.
    leave_on(&cluster, 2, table);
    assert!(read_all(&cluster, 1, table, Consistency::All).is_empty());
    for number in 1..=2 {
        let stored = cluster.stored(number, table, &key("a"));
        assert!(stored.deletion.is_some() && stored.rows.is_empty(), "n{number}");
    }
    // A young one is given to all.
    let young = deletion(table, cluster.now());
    cluster.envs[0].store.apply_now(young);
    assert!(read_all(&cluster, 1, table, Consistency::All).is_empty());
    assert_eq!(holders(&cluster, table), [1, 2, 3]);
}

#[test]
fn with_chance_one_every_read_compares_all_replicas_beside_the_answer() {
    let (cluster, table) = cluster();
    leave_on(&cluster, 1, table);
    assert_eq!(read_all(&cluster, 1, table, Consistency::One), ["a/1=x"]);
    cluster.run_for(LATER);
    assert_eq!(holders(&cluster, table), [1], "ONE compares nothing");

    alter(&cluster, "read_repair_chance = 1.0");
    assert_eq!(read_all(&cluster, 1, table, Consistency::One), ["a/1=x"]);
    cluster.run_for(LATER);
    assert_eq!(holders(&cluster, table), [1, 2, 3]);
    assert!(cluster.node(1).status().counters.chance_repairs > 0);

    alter(&cluster, "read_repair_chance = 0.0");
    let before = cluster.node(1).status().counters.chance_repairs;
    read_all(&cluster, 1, table, Consistency::One);
    assert_eq!(cluster.node(1).status().counters.chance_repairs, before);
}

#[test]
fn comparisons_beside_the_answers_are_bounded() {
    let (cluster, table) = cluster();
    alter(&cluster, "read_repair_chance = 1.0");
    cluster.partition(&[1], &[2, 3], Link::Silent);
    let reads = super::super::chance::AT_ONCE + 10;
    for _ in 0..reads {
        read_all(&cluster, 1, table, Consistency::One);
    }
    let begun = cluster.node(1).status().counters.chance_repairs;
    assert!(begun as usize <= super::super::chance::AT_ONCE, "{begun}");
    // Those that wait in vain make room in the end.
    cluster.partition(&[1], &[2, 3], Link::Good);
    cluster.run_for(LATER);
    read_all(&cluster, 1, table, Consistency::One);
    assert!(cluster.node(1).status().counters.chance_repairs > begun);
}

#[test]
fn what_a_replica_lacks_of_a_wide_partition_comes_in_pieces() {
    let (cluster, table) = cluster();
    let value = "v".repeat(1 << 16);
    for row in 0..48 {
        cluster.envs[0]
            .store
            .apply_now(insert(table, "a", row, &value, 10));
    }
    cluster.world.start_log();
    assert_eq!(read_all(&cluster, 1, table, Consistency::Quorum).len(), 48);
    let log = cluster.world.take_log();
    let repairs = log.iter().filter(|line| line.ends_with("(Repair)")).count();
    assert!(
        (3..=8).contains(&repairs),
        "three megabytes, a megabyte each: {log:?}"
    );
    let held = (2..=3).map(|number| cluster.stored(number, table, &key("a")).rows.len());
    assert_eq!(held.max(), Some(48));
}

/// A read at QUORUM of all three replicas, of which the third lacks the row and takes long to get it.
#[test]
fn a_read_waits_for_no_more_repairs_than_its_level_needs() {
    let (cluster, table) = cluster();
    leave_on(&cluster, 1, table);
    leave_on(&cluster, 2, table);
    let now = cluster.now();
    let command = whole_partition(table, "a", now);
    let plan = plan(&cluster, table);
    let pages = plan.contacts.iter().chain(&plan.spares).map(|peer| {
        let number = (1..=3).find(|number| cluster.envs[number - 1].address == peer.address);
        let mut received = Received::default();
        received.page = cluster.envs[number.unwrap() - 1].store.read_now(&command);
        (Arc::clone(peer), received)
    });
    let pages: Vec<_> = pages.collect();
    cluster.partition(&[1], &[3], Link::Slow(Duration::from_millis(500)));
    let coordinator = Arc::clone(&cluster.node(1).coordinator);
    let before = cluster.world.executor.now();
    let page = cluster.world.executor.run(async move {
        let task = coordinator.task(Consistency::Quorum, LATER, &Tracer::OFF);
        coordinator.repair(&command, pages, &plan.quorum, &task).await
    });
    assert_eq!(rows_of(&page.unwrap(), now), ["a/1=x"]);
    assert_eq!(cluster.world.executor.now(), before, "two hold it already");
    assert_eq!(holders(&cluster, table), [1, 2]);
    cluster.run_for(LATER);
    assert_eq!(holders(&cluster, table), [1, 2, 3], "the repair went on");
}

fn plan(cluster: &TestCluster, table: TableId) -> ReadPlan {
    let snapshot = cluster.node(1).views.load();
    let keyspace = &snapshot.schema.table_by_id(table).unwrap().keyspace;
    let placements = snapshot.placements(keyspace).unwrap();
    let coordinator = &cluster.node(1).coordinator;
    let quorum = crate::topology::quorum::Quorum {
        requirements: coordinator.requirements(Consistency::Quorum, placements),
        sets: placements.sets(key("a").token),
    };
    coordinator
        .plan_read(&snapshot, quorum, Consistency::Quorum)
        .unwrap()
}

/// One of exactly a quorum answers, and dies before it is repaired.
#[test]
fn another_replica_is_repaired_in_the_place_of_one_that_dies() {
    for link in [Link::Refused, Link::Silent] {
        let (cluster, table) = cluster();
        leave_on(&cluster, 1, table);
        let asked = Arc::clone(&plan(&cluster, table).contacts[1]);
        // The digest comes after 200 microseconds, the data after 400; then the repair is sent.
        let (world, own) = (cluster.world.clone(), cluster.envs[0].address);
        let executor = world.executor.clone();
        let cut = executor.sleep(Duration::from_micros(350));
        executor.spawn(async move {
            cut.await;
            world.set_link(own, asked.address, link);
        });
        let before = cluster.world.executor.now();
        assert_eq!(read_all(&cluster, 1, table, Consistency::Quorum), ["a/1=x"]);
        let took = cluster.world.executor.now().saturating_sub(before);
        assert!(took < Duration::from_secs(3), "{took:?}");
        let held = holders(&cluster, table);
        assert_eq!(held.len(), 2, "a quorum has it: {held:?}");
    }
}

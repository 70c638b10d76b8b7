//! Read repair as a table wants it, and its bounds.

use starling_model::{Consistency, TableId};

use super::{LATER, cluster, read_all};
use crate::testing::{Link, TestCluster, insert, key};

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

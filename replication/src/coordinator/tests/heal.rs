//! A replica whose storage is damaged gets its data back from the others, and nobody notices.

use std::time::Duration;

use starling_model::{Consistency, TableId, TokenRange};

use super::read_all;
use crate::{
    env::Damaged,
    testing::{TestCluster, insert, key},
};

fn filled(size: usize, factor: usize) -> (TestCluster, TableId) {
    let cluster = TestCluster::new(size);
    let table = cluster.make_table(factor);
    for row in 0..20 {
        let mutation = insert(table, "a", row, "value", 10 + i64::from(row));
        cluster
            .write(1, mutation, Consistency::All)
            .expect("the write succeeds");
    }
    (cluster, table)
}

fn damage(cluster: &TestCluster, node: usize, table: TableId) {
    cluster.store(node).damage(Damaged {
        table,
        tokens: TokenRange::ALL,
    });
}

#[test]
fn what_is_damaged_comes_back_from_the_others() {
    let (cluster, table) = filled(3, 3);
    let before = cluster.stored(1, table, &key("a"));
    let rows = read_all(&cluster, 1, table, Consistency::Quorum);
    damage(&cluster, 1, table);
    assert!(cluster.stored(1, table, &key("a")).is_empty());
    // Reads by the damaged node itself go on meanwhile, and so do writes.
    assert_eq!(read_all(&cluster, 1, table, Consistency::Quorum), rows);
    cluster
        .write(2, insert(table, "a", 99, "new", 500), Consistency::All)
        .expect("a damaged replica takes writes");
    cluster.run_for(Duration::from_secs(5));
    assert_eq!(cluster.node(1).status().counters.healed, 1);
    let after = cluster.stored(1, table, &key("a"));
    assert_eq!(after.rows.len(), before.rows.len() + 1);
    assert_eq!(
        read_all(&cluster, 1, table, Consistency::All).len(),
        rows.len() + 1
    );
}

#[test]
fn too_few_others_are_waited_for() {
    let (mut cluster, table) = filled(3, 3);
    cluster.kill(3);
    damage(&cluster, 1, table);
    cluster.run_for(Duration::from_secs(30));
    // What was acknowledged at QUORUM may be on the node that is down, and here.
    assert_eq!(cluster.node(1).status().counters.healed, 0);
    cluster.restart(3);
    cluster.run_for(Duration::from_secs(30));
    assert_eq!(cluster.node(1).status().counters.healed, 1);
    assert_eq!(
        cluster.stored(1, table, &key("a")),
        cluster.stored(2, table, &key("a"))
    );
}

#[test]
fn the_only_replica_stays_damaged_and_says_so() {
    let (cluster, table) = filled(1, 1);
    damage(&cluster, 1, table);
    cluster.run_for(Duration::from_secs(10));
    assert_eq!(cluster.node(1).status().counters.healed, 0);
    let now = cluster.now();
    let read = cluster.read(
        1,
        crate::testing::whole_partition(table, "a", now),
        Consistency::One,
    );
    assert!(read.is_err(), "never silently less");
}

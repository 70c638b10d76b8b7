//! Clusters whose first node keeps hints for those that are down.

use std::{ops::Range, time::Duration};

use starling_model::{Consistency, TableId};

use crate::{
    config::Config,
    testing::{TestCluster, insert},
};

/// Long enough for a node to be taken for dead, and for hints to be delivered to one that is back.
pub(super) const LATER: Duration = Duration::from_secs(30);

/// So many nodes with a replica of everything each, of which the last is down.
pub(super) fn without_last(size: usize) -> (TestCluster, TableId) {
    let mut cluster = TestCluster::new(size);
    let table = cluster.make_table(size);
    cluster.kill(size);
    cluster.run_for(LATER);
    (cluster, table)
}

/// The same, of which all are down but the first, whose configuration this is.
pub(super) fn left_alone(size: usize, config: Config) -> (TestCluster, TableId) {
    let mut cluster = TestCluster::prepared(size);
    cluster.start_with(1, config).expect("a node starts");
    for number in 2..=size {
        cluster.start(number).expect("a node starts");
    }
    cluster.run_for(LATER);
    let table = cluster.make_table(size);
    for number in 2..=size {
        cluster.kill(number);
    }
    cluster.run_for(LATER);
    (cluster, table)
}

/// Writes rows of one partition through the first node, which is enough. Their hints need not be durable yet.
pub(super) fn write_rows(cluster: &TestCluster, table: TableId, rows: Range<u32>) {
    for row in rows {
        cluster
            .write(1, insert(table, "a", row, "x", 10), Consistency::One)
            .expect("one is enough");
    }
}

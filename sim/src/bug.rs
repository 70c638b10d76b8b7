//! Bugs that the checkers must find: each lives in the simulator's own shims, never in the product.

use starling_model::{
    ClusteringRange, KeyRange, Limits, Mutation, Page, Partition, ReadCommand, Row, Seconds, range_tombstone,
};

/// A bug in one simulated cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Replicas acknowledge writes before the log is synced.
    AcknowledgeBeforeSync,
    /// Replicas say that they took a read's repair, and drop it.
    DropRepairs,
    /// Of two cells with equal timestamps, the replica keeps the one that came first.
    FirstOfEqualsWins,
    /// The replica ignores deletions of clustering ranges.
    IgnoreRangeDeletions,
    /// Replicas acknowledge clients' writes and do nothing, once in a while.
    LoseWrites,
    /// Compactions forget tombstones at once, whether or not all replicas have them.
    PurgeTooEarly,
    /// Replicas do not tell in which cells they were written to.
    ForgetChanges,
}

/// What a replica with a bug applies instead of `mutation`.
pub(crate) fn distort(
    bug: Option<Bug>,
    mut mutation: Mutation,
    read: impl FnOnce(&ReadCommand) -> Option<Page>,
) -> Mutation {
    match bug {
        Some(Bug::FirstOfEqualsWins) => {
            if let Some(stored) = read(&whole_partition(&mutation)).and_then(|mut page| page.partitions.pop())
            {
                keep_first(&mut mutation.partition, &stored.partition);
            }
        }
        Some(Bug::IgnoreRangeDeletions) => {
            mutation.partition.ranges = range_tombstone::RangeTombstones::default();
        }
        _ => {}
    }
    mutation
}

fn whole_partition(mutation: &Mutation) -> ReadCommand {
    ReadCommand {
        table: mutation.table,
        keys: KeyRange::Partition(mutation.key.clone()),
        slices: vec![ClusteringRange::ALL],
        reversed: false,
        after: None,
        limits: Limits::NONE,
        now: Seconds(0),
    }
}

/// Removes from `new` the cells for which `stored` has one of the same timestamp.
fn keep_first(new: &mut Partition, stored: &Partition) {
    let known = |row: &mut Row, stored: &Row| {
        row.cells.retain(|cell| {
            !stored
                .cells
                .iter()
                .any(|other| other.order(cell).is_eq() && other.timestamp == cell.timestamp)
        });
    };
    known(&mut new.static_row, &stored.static_row);
    for (clustering, row) in &mut new.rows {
        if let Some(stored) = stored.rows.get(clustering) {
            known(row, stored);
        }
    }
    new.rows.retain(|_, row| !row.is_empty());
}

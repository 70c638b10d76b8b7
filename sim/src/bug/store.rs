//! What a replica's storage does wrong.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use starling_model::{
    ClusteringRange, KeyRange, Limits, Mutation, Page, Partition, ReadCommand, Row, Seconds, range_tombstone,
};
use starling_sstable::PageResult;

use super::Bug;

/// What a replica with a bug applies instead of `mutation`.
pub(crate) fn changes(
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
        Some(Bug::LoseLastRow) if mutation.partition.rows.len() > 1 => {
            mutation.partition.rows.pop_last();
        }
        _ => {}
    }
    mutation
}

/// Whether nobody is told what was written to.
pub(crate) fn forgets_changes(bug: Option<Bug>) -> bool {
    bug == Some(Bug::ForgetChanges)
}

/// Whether tombstones go with the next compaction.
pub(crate) fn purges_at_once(bug: Option<Bug>) -> bool {
    bug == Some(Bug::PurgeTooEarly)
}

/// Whether what is damaged is given up as soon as it is known.
pub(crate) fn gives_up_damage(bug: Option<Bug>) -> bool {
    bug == Some(Bug::GiveUpDamage)
}

/// Whether nobody is told what is damaged.
pub(crate) fn hides_damage(bug: Option<Bug>) -> bool {
    bug == Some(Bug::HideDamage)
}

/// Whether nothing is forgotten that is asked to be.
pub(crate) fn keeps_foreign(bug: Option<Bug>) -> bool {
    bug == Some(Bug::KeepForeign)
}

/// Whether a read does not wait for the sync of what it saw.
pub(crate) fn reads_early(bug: Option<Bug>) -> bool {
    bug == Some(Bug::ReadBeforeSync)
}

/// Whether a read of a range ends with its first shard.
pub(crate) fn stops_at_shard(bug: Option<Bug>) -> bool {
    bug == Some(Bug::StopAtShard)
}

/// One answer in so many comes from the cache, if it has any.
const STALE_ONE_IN: u64 = 4;

/// Pages that were read once.
#[derive(Default)]
pub(crate) struct Stale(Mutex<(u64, BTreeMap<String, PageResult>)>);

impl Stale {
    /// The page that a replica with the bug answers with instead of `page`.
    pub(crate) fn instead(&self, bug: Option<Bug>, command: &ReadCommand, page: PageResult) -> PageResult {
        if bug != Some(Bug::StaleCache) {
            return page;
        }
        let mut command = command.clone();
        command.now = Seconds(0);
        let (count, pages) = &mut *self.0.lock();
        *count += 1;
        let cached = pages
            .entry(format!("{command:?}"))
            .or_insert_with(|| page.clone());
        if count.is_multiple_of(STALE_ONE_IN) {
            cached.clone()
        } else {
            page
        }
    }
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

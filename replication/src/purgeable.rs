//! What this node knows that it and the other replicas may purge.
//!
//! Invariant: when all replicas of a range were compared, each had what may be purged by this, or had nothing that it
//! hides; and what is older than it does not arrive any more. So a replica that has nothing of it lacks nothing.
//!
//! That something is older than its table's `gc_grace_seconds` says nothing of the kind. A deletion that failed may have
//! reached one replica only, and must reach as many as any other before a read may tell of it.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use starling_model::{KeyRange, ReadCommand, Seconds, TableId};
use starling_sstable::PurgePolicy;

use crate::coordinator::reconcile::EVERYTHING;

/// What the storage was told, by table.
#[derive(Default)]
pub(crate) struct Purgeable(Mutex<BTreeMap<TableId, PurgePolicy>>);

impl Purgeable {
    /// Sets what may be purged of a table; whether that is news.
    pub(crate) fn set(&self, table: TableId, policy: &PurgePolicy) -> bool {
        let mut policies = self.0.lock();
        if policies.get(&table) == Some(policy) {
            return false;
        }
        policies.insert(table, policy.clone());
        true
    }

    /// The storage was not told.
    pub(crate) fn forget(&self, table: TableId) {
        self.0.lock().remove(&table);
    }

    /// Forgets tables that are no more.
    pub(crate) fn retain(&self, exists: impl Fn(TableId) -> bool) {
        self.0.lock().retain(|table, _| exists(*table));
    }

    /// What was deleted or expired before this second, of what a command reads, may be purged by any replica.
    /// [`EVERYTHING`] counts where this node does not know, as where it is no replica.
    pub(crate) fn before(&self, command: &ReadCommand) -> Seconds {
        let policies = self.0.lock();
        let before = policies
            .get(&command.table)
            .and_then(|policy| match &command.keys {
                KeyRange::Partition(key) => policy.before_at(command.now, key.token),
                KeyRange::Tokens(range) => policy.before(command.now, *range),
            });
        before.unwrap_or(EVERYTHING)
    }
}

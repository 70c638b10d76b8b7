//! Carrying out batches whose coordinator did not say that they are done.

use std::sync::Arc;

use super::{BatchLog, kept::Due};
use crate::{env::Env, tracing::Tracer};

impl<E: Env> BatchLog<E> {
    /// Carries out every batch that has been kept for too long, one after the other, and removes those that are done.
    pub(crate) async fn replay(self: &Arc<Self>) {
        let age = self.coordinator.timeouts.batch_replay;
        for due in self.kept.older_than(age) {
            match due {
                Due::Replay(id) if !self.replay_one(id).await => {}
                Due::Replay(id) | Due::Remove(id) => self.kept.remove(id).await,
            }
        }
    }

    /// Whether the batch needs no keeping any more: each of its writes is at all live replicas, or in a
    /// durable hint.
    async fn replay_one(&self, id: u128) -> bool {
        let mutations = match self.kept.read(id).await {
            Ok(mutations) => mutations,
            Err(error) => {
                ::tracing::error!(%error, "a kept batch can't be read");
                return false;
            }
        };
        let snapshot = self.coordinator.views.load();
        for mutation in mutations {
            if snapshot.schema.table_by_id(mutation.table).is_none() {
                // The table was dropped since.
                continue;
            }
            match self.coordinator.write_to_all(mutation, &Tracer::OFF).await {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    ::tracing::error!(%error, "a part of a kept batch can't be applied any more");
                }
            }
        }
        self.coordinator.counters.batches_replayed.one();
        true
    }
}

//! Carrying out batches whose coordinator did not say that they are done.

use std::sync::{Arc, atomic::Ordering};

use super::{BatchLog, kept::Due};
use crate::{env::Env, tracing::Tracer};

impl<E: Env> BatchLog<E> {
    /// Begins to carry out every batch that has been kept for too long, one after the other, unless that is under way already:
    /// replicas that do not answer make it slow.
    pub(crate) fn begin_replay(self: &Arc<Self>) {
        if self.replaying.swap(true, Ordering::AcqRel) {
            return;
        }
        let log = Arc::clone(self);
        self.env.spawn(async move {
            log.replay().await;
            log.replaying.store(false, Ordering::Release);
        });
    }

    /// Carries out what has been kept for too long, and removes what is done, or too old.
    async fn replay(&self) {
        let age = self.coordinator.timeouts.batch_replay;
        for id in self.kept.older_than(age) {
            let may_go = match self.kept.due(id) {
                Some(Due::Replay) => self.replay_one(id).await,
                Some(Due::Remove) => true,
                Some(Due::GiveUp) => {
                    self.coordinator.counters.batches_expired.one();
                    ::tracing::warn!(
                        batch = %format_args!("{id:032x}"),
                        "a kept batch could not be carried out for as long as hints are kept; it is given up, and may stay written \
                         in part if it was not acknowledged"
                    );
                    true
                }
                None => false,
            };
            if may_go {
                self.kept.remove(id).await;
            }
        }
    }

    /// Whether the batch needs no keeping any more: each of its writes is at all live replicas, or in a
    /// durable hint.
    async fn replay_one(&self, id: u128) -> bool {
        let forgotten = self.kept.forgotten();
        let left = match self.kept.read(id).await {
            Ok(Some(left)) => left,
            Ok(None) => return false,
            Err(error) => {
                ::tracing::error!(%error, "a kept batch can't be read");
                return false;
            }
        };
        let snapshot = self.coordinator.views.load();
        for mutation in left.mutations {
            if snapshot.schema.table_by_id(mutation.table).is_none() {
                // The table was dropped since.
                continue;
            }
            let _turn = self.kept.turn().await;
            let now = self.coordinator.env.monotonic();
            let truncations = &self.coordinator.replica.truncations;
            // It may be from before, and some replicas may be truncated already.
            if truncations.is_under_way(mutation.table, now) {
                return false;
            }
            if self.kept.forgotten() != forgotten || self.kept.due(id) != Some(Due::Replay) {
                return false;
            }
            let written = self
                .coordinator
                .write_to_all(mutation, Some(left.since), &Tracer::OFF)
                .await;
            match written {
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

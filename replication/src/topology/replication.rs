//! A keyspace gets other replicas: ALTER KEYSPACE.
//!
//! The statement is answered once the change is done, or after a while, when it is under way for good.

use std::{sync::Arc, time::Duration};

use futures::channel::oneshot;
use starling_cql::schema::{Keyspace, ObjectName, Replication, Schema};
use starling_model::Timestamp;

use super::{Alteration, Change, ChangeError, ChangeKind, RingState, Topology};
use crate::{deadline::Deadline, env::Env, schema_agreement::check_datacenters};

/// The pause before an alteration that waits for another one is proposed again.
const PAUSE: Duration = Duration::from_millis(20);

/// What a keyspace is to be replicated by.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) keyspace: String,
    pub(crate) created: Timestamp,
    /// What it was created with.
    pub(crate) original: Replication,
    pub(crate) to: Replication,
}

/// What became of it when its time to wait was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Altered {
    /// The new replicas have all data, and the others forget theirs.
    Done,
    /// It is under way, durably, and goes on by itself.
    UnderWay,
}

impl<E: Env> Topology<E> {
    /// Begins to give a keyspace other replicas, and waits for the end of it until `deadline`. While another keyspace gets
    /// its own this waits its turn as long. Nothing changed after an error, [`ChangeError::Aborted`] among them.
    pub(crate) async fn alter(
        self: &Arc<Self>,
        wanted: Wanted,
        deadline: Deadline,
    ) -> Result<Altered, ChangeError> {
        let (begun, has_begun) = oneshot::channel();
        let (ended, has_ended) = oneshot::channel();
        let topology = Arc::clone(self);
        // To its end, also if the client goes.
        self.env.spawn(async move {
            let driving = topology.turn(deadline).await;
            let beginning = match driving {
                Ok(_) => topology.propose_in_time(&wanted, deadline).await,
                Err(ref error) => Err(error.clone()),
            };
            let change = beginning.as_ref().ok().cloned();
            // Nobody may be left to hear of it.
            let _ = begun.send(beginning.map(drop));
            if let Some(change) = change {
                let _ = ended.send(topology.carry_through(change.id, None).await);
            }
        });
        match has_begun.await {
            Ok(Ok(())) => {}
            // Another one has altered it to the same.
            Ok(Err(ChangeError::Nothing)) => return Ok(Altered::Done),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(ChangeError::Stopping),
        }
        match deadline.within(&self.env, has_ended).await {
            Some(Ok(Ok(()))) => Ok(Altered::Done),
            Some(Ok(Err(ChangeError::Aborted))) => Err(ChangeError::Aborted),
            // It is in the file of this node, and is carried through after a restart.
            Some(Ok(Err(_)) | Err(_)) | None => Ok(Altered::UnderWay),
        }
    }

    /// Waits until this node carries no other change through.
    async fn turn(&self, deadline: Deadline) -> Result<futures::lock::MutexGuard<'_, ()>, ChangeError> {
        loop {
            if let Some(driving) = self.driving.try_lock() {
                return Ok(driving);
            }
            let under_way = self.under_way();
            let busy = under_way.map(|change| ChangeError::Busy {
                what: change.kind.to_string(),
                since: change.since,
            });
            if deadline.is_over(&self.env) || !self.may_wait() {
                let between =
                    || ChangeError::NotYet("this node is about to change the ring in another way".to_owned());
                return Err(busy.unwrap_or_else(between));
            }
            self.env.sleep(PAUSE).await;
        }
    }

    async fn propose_in_time(&self, wanted: &Wanted, deadline: Deadline) -> Result<Change, ChangeError> {
        loop {
            let error = match self.propose(&|state| self.alteration(state, wanted)).await {
                Ok(change) => return Ok(change),
                Err(error @ (ChangeError::Busy { .. } | ChangeError::NotYet(_))) => error,
                Err(error) => return Err(error),
            };
            if deadline.is_over(&self.env) || !self.may_wait() {
                return Err(error);
            }
            self.env.sleep(PAUSE).await;
        }
    }

    /// Whether what is in the way will be done soon: nothing that is known, or another keyspace that is altered.
    fn may_wait(&self) -> bool {
        let under_way = self.under_way();
        !self.is_stopping() && under_way.is_none_or(|change| matches!(change.kind, ChangeKind::Alter(_)))
    }

    fn alteration(&self, state: &RingState, wanted: &Wanted) -> Result<ChangeKind, ChangeError> {
        let Wanted {
            keyspace,
            created,
            original,
            to,
        } = wanted;
        let from = state
            .replications()
            .altered(keyspace, *created)
            .unwrap_or(original);
        if from == to {
            return Err(ChangeError::Nothing);
        }
        let schema = Arc::clone(&self.views.load().schema);
        let is_there = |now: &Arc<Keyspace>| now.created == *created;
        if !schema.keyspace(keyspace).is_some_and(is_there) {
            return Err(ChangeError::Refused("it was dropped meanwhile".to_owned()));
        }
        // A datacenter may have gone while this waited for its turn.
        check_datacenters(to, &state.members()).map_err(|error| ChangeError::Refused(error.message))?;
        Ok(ChangeKind::Alter(Alteration {
            keyspace: keyspace.clone(),
            created: *created,
            from: from.clone(),
            to: to.clone(),
            dropped: dropped(state, &schema),
        }))
    }
}

/// The keyspaces that were altered once, and dropped since.
fn dropped(state: &RingState, schema: &Schema) -> Vec<(String, Timestamp)> {
    let altered = state.replications().keyspaces();
    let dropped = altered.filter(|(name, created)| match schema.keyspace(name) {
        Some(now) => now.created != *created,
        // One that this node has not heard of may have been made just now.
        None => schema.entry(&ObjectName::Keyspace((*name).to_owned())).is_some(),
    });
    dropped
        .map(|(name, created)| (name.to_owned(), created))
        .collect()
}

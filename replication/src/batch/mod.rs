//! Logged batches: all of a batch is applied in the end, also if its coordinator dies in between.
//!
//! Before the batch's writes are sent, two live nodes (others than this one where there are any) keep the whole
//! batch durably; when the writes are acknowledged they forget it. A batch that they still have after a
//! while is carried out by them: its coordinator died, or could not reach all replicas. Carrying it out
//! twice changes nothing more.
//!
//! They try that for as long as hints are kept. Later what the batch wrote may have been deleted, and the deletion purged, so it is given
//! up. Of a batch that was acknowledged nothing is lost by that, for its level was met; one that was not, and whose keepers all
//! were down or could not reach a replica nor keep a hint for so long, may stay written in part.

mod keepers;
mod kept;
mod replay;

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use futures::future::join_all;
use starling_cql::{Error, ErrorKind, WriteType};
use starling_model::{Consistency, Mutation, Timestamp};

pub(crate) use kept::KeptBatches;

use crate::{
    coordinator::{Coordinator, Task},
    env::Env,
    identity::uuid_v4,
    message::Request,
    snapshot::Peer,
    tracing::Tracer,
};

/// The largest batch, in bytes of its mutations; Cassandra refuses far smaller ones by default.
pub(crate) const MAX_BATCH_BYTES: usize = 16 << 20;

/// Carries out logged batches.
pub(crate) struct BatchLog<E: Env> {
    env: E,
    coordinator: Arc<Coordinator<E>>,
    kept: Arc<KeptBatches<E>>,
    /// Old batches are being carried out.
    replaying: AtomicBool,
}

impl<E: Env> BatchLog<E> {
    pub(crate) fn new(env: E, coordinator: Arc<Coordinator<E>>, kept: Arc<KeptBatches<E>>) -> Self {
        Self {
            env,
            coordinator,
            kept,
            replaying: AtomicBool::new(false),
        }
    }

    /// Applies all the mutations, in the end. After an error of write type `BATCH_LOG` the batch may or may
    /// not be applied as a whole; after one of `BATCH` it is, sooner or later, unless all who
    /// keep it are hindered for as long as hints are kept: then it may stay written in part.
    ///
    /// If `stamp`, which this node gave to them, turns out to be too old, the batch is kept and written once
    /// more with a newer one. Should this node die in between, both are carried out, and each is whole.
    ///
    /// The time in which it has to be kept counts since it `arrived`, on the monotonic clock; that of each round of writes begins
    /// with it.
    pub(crate) async fn write(
        &self,
        mutations: Vec<Mutation>,
        stamp: Option<Timestamp>,
        consistency: Consistency,
        arrived: Duration,
        tracer: &Tracer,
    ) -> Result<(), Error> {
        let coordinator = &self.coordinator;
        let task = coordinator.task_since(arrived, consistency, coordinator.timeouts.write, tracer)?;
        coordinator.check_writes(&mutations, consistency)?;
        let mutations: Vec<Arc<Mutation>> = mutations.into_iter().map(Arc::new).collect();
        let kept = self.keep(&mutations, &task).await?;
        let Some(stamp) = stamp else {
            let task = coordinator.task(consistency, coordinator.timeouts.write, tracer);
            let written = coordinator
                .write_round(mutations, None, &task, WriteType::Batch)
                .await;
            return self.done(kept, written.map(drop));
        };
        let now = self.env.monotonic();
        let written = coordinator
            .try_stamp(&mutations, stamp, consistency, WriteType::Batch, now, tracer)
            .await;
        let stamp_anew = match written {
            Ok(None) => return self.done(kept, Ok(())),
            Ok(Some(stamp_anew)) => stamp_anew,
            Err(error) => return self.done(kept, Err(error)),
        };
        let again: Vec<Arc<Mutation>> = mutations
            .iter()
            .map(|mutation| Arc::new(mutation.restamped(stamp, stamp_anew)))
            .collect();
        let task = coordinator.task(consistency, coordinator.timeouts.write, tracer);
        let kept_anew = self.keep(&again, &task).await;
        let kept_anew = kept_anew.map_err(|error| self.kept_with_old_stamp(error))?;
        let task = coordinator.task(consistency, coordinator.timeouts.write, tracer);
        let written = coordinator
            .write_round(again, None, &task, WriteType::Batch)
            .await;
        if written.is_ok() {
            self.remove(kept.0, kept.1);
        }
        self.done(kept_anew, written.map(drop))
    }

    /// Has the batch kept; returns its id and all who may keep it now.
    async fn keep(&self, mutations: &[Arc<Mutation>], task: &Task) -> Result<(u128, Vec<Arc<Peer>>), Error> {
        let encoded: Vec<Bytes> = mutations.iter().map(|mutation| mutation.encode()).collect();
        let total: usize = encoded.iter().map(Bytes::len).sum();
        if total > MAX_BATCH_BYTES {
            return Err(Error::invalid(format!(
                "the batch is {total} bytes long, and at most {MAX_BATCH_BYTES} are accepted; nothing was changed"
            )));
        }
        let id = uuid_v4(self.env.random(), self.env.random());
        let keepers = self.store(id, encoded, task).await?;
        Ok((id, keepers))
    }

    fn done(&self, (id, keepers): (u128, Vec<Arc<Peer>>), written: Result<(), Error>) -> Result<(), Error> {
        if written.is_ok() {
            self.remove(id, keepers);
        }
        written.map_err(|error| self.kept_all_the_same(error))
    }

    /// Tells the keepers that the batch needs no keeping any more, in the background.
    fn remove(&self, id: u128, keepers: Vec<Arc<Peer>>) {
        let (coordinator, kept) = (Arc::clone(&self.coordinator), Arc::clone(&self.kept));
        self.env.spawn(async move {
            let timeout = coordinator.timeouts.write;
            let removals = keepers.iter().map(|peer| async {
                if peer.id == coordinator.views.load().cluster.me {
                    kept.remove(id).await;
                    return;
                }
                let asked = coordinator
                    .peers
                    .ask(peer, Request::BatchRemove(id), timeout, &Tracer::OFF)
                    .await;
                if let Err(error) = asked {
                    ::tracing::debug!(%error, peer = %peer.address, "a batch that is done is still kept; it will be replayed, which changes nothing");
                }
            });
            join_all(removals).await;
        });
    }

    /// What to tell the client of a batch that is kept but could not be written. Replicas that went down after
    /// the batch was kept make the write unavailable; but the keepers will carry it out, so it must not be
    /// called unchanged.
    fn kept_all_the_same(&self, error: Error) -> Error {
        let ErrorKind::Unavailable {
            consistency,
            required,
            alive,
        } = error.kind
        else {
            return error;
        };
        let why = format!("{consistency} needs {required} replicas and {alive} are alive now");
        self.unfinished(consistency, (0, required), &why)
    }

    /// What to tell the client of a batch that was written, and is kept, with a timestamp that turned out to be too old, and could
    /// not be kept with a newer one.
    fn kept_with_old_stamp(&self, error: Error) -> Error {
        let ErrorKind::WriteTimeout {
            consistency,
            received,
            required,
            ..
        } = error.kind
        else {
            return error;
        };
        let why = format!(
            "what was there is as new as the batch, and {received} of {required} nodes keep it with a newer timestamp: some of what it writes may not show"
        );
        self.unfinished(consistency, (received, required), &why)
    }

    fn unfinished(&self, consistency: Consistency, (received, required): (u32, u32), why: &str) -> Error {
        let kind = ErrorKind::WriteTimeout {
            consistency,
            received,
            required,
            write_type: WriteType::Batch,
        };
        Error::new(kind, format!("Operation timed out: {why}; {}", self.kept.fate()))
    }
}

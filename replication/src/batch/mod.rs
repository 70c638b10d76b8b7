//! Logged batches: all of a batch is applied in the end, also if its coordinator dies in between.
//!
//! Before the batch's writes are sent, two other live nodes (or this one, when it is alone) keep the whole
//! batch durably; when the writes are acknowledged they forget it. A batch that they still have after a
//! while is carried out by them: its coordinator died, or could not reach all replicas. Carrying it out
//! twice changes nothing more.

mod kept;
mod replay;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use starling_cql::{Error, ErrorKind, WriteType};
use starling_model::{Consistency, Mutation};

pub(crate) use kept::KeptBatches;

use crate::{
    coordinator::Coordinator,
    env::Env,
    identity::uuid_v4,
    message::Request,
    snapshot::{Peer, Snapshot},
    tracing::Tracer,
};

/// The largest batch, in bytes of its mutations; Cassandra refuses far smaller ones by default.
pub(crate) const MAX_BATCH_BYTES: usize = 16 << 20;

/// How many nodes keep a batch.
const KEEPERS: usize = 2;

/// Carries out logged batches.
pub(crate) struct BatchLog<E: Env> {
    env: E,
    coordinator: Arc<Coordinator<E>>,
    kept: Arc<KeptBatches<E>>,
}

impl<E: Env> BatchLog<E> {
    pub(crate) fn new(env: E, coordinator: Arc<Coordinator<E>>, kept: Arc<KeptBatches<E>>) -> Self {
        Self {
            env,
            coordinator,
            kept,
        }
    }

    /// Applies all the mutations, in the end. After an error of write type `BATCH_LOG` the batch may or may
    /// not be applied as a whole; after one of `BATCH` it will be.
    pub(crate) async fn write(
        &self,
        mutations: Vec<Mutation>,
        consistency: Consistency,
        tracer: &Tracer,
    ) -> Result<(), Error> {
        self.coordinator.check_writes(&mutations, consistency)?;
        let id = uuid_v4(self.env.random(), self.env.random());
        let encoded: Vec<Bytes> = mutations.iter().map(Mutation::encode).collect();
        let total: usize = encoded.iter().map(Bytes::len).sum();
        if total > MAX_BATCH_BYTES {
            return Err(Error::invalid(format!(
                "the batch is {total} bytes long, and at most {MAX_BATCH_BYTES} are accepted; nothing was changed"
            )));
        }
        let keepers = self.store(id, encoded, consistency, tracer).await?;
        let written = self
            .coordinator
            .write(mutations, consistency, WriteType::Batch, tracer)
            .await;
        if written.is_ok() {
            self.remove(id, keepers);
        }
        written.map_err(kept_all_the_same)
    }

    /// Has the batch kept; returns by whom.
    async fn store(
        &self,
        id: u128,
        mutations: Vec<Bytes>,
        consistency: Consistency,
        tracer: &Tracer,
    ) -> Result<Vec<Arc<Peer>>, Error> {
        let snapshot = self.coordinator.views.load();
        let task = self
            .coordinator
            .task(consistency, self.coordinator.timeouts.write, tracer);
        let mut candidates = self.candidates(&snapshot).into_iter();
        let mut keepers = Vec::new();
        let mut wanted = KEEPERS;
        let mut asked = Vec::new();
        while keepers.len() < wanted {
            let next: Vec<Arc<Peer>> = candidates.by_ref().take(wanted - keepers.len()).collect();
            if next.is_empty() {
                break;
            }
            let stores = next.iter().map(|peer| {
                let (mutations, task) = (mutations.clone(), &task);
                async move {
                    if peer.id == self.coordinator.views.load().cluster.me {
                        return self.kept.store(id, mutations).await.is_ok();
                    }
                    let timeout = task.deadline.remaining(&self.env);
                    let body = Request::BatchStore { id, mutations };
                    self.coordinator
                        .peers
                        .ask(peer, body, timeout, tracer)
                        .await
                        .is_ok()
                }
            });
            let stored = join_all(stores).await;
            keepers.extend(
                next.iter()
                    .zip(stored)
                    .filter(|(_, stored)| *stored)
                    .map(|(peer, _)| Arc::clone(peer)),
            );
            asked.extend(next);
            wanted = wanted.min(asked.len() + candidates.len());
        }
        if keepers.len() == wanted && wanted > 0 {
            return Ok(keepers);
        }
        // Whoever keeps it all the same must not carry it out: nothing of it was sent.
        self.remove(id, asked);
        self.coordinator.counters.write_timeouts.one();
        let (received, required) = (keepers.len() as u32, wanted as u32);
        let kind = ErrorKind::WriteTimeout {
            consistency,
            received,
            required,
            write_type: WriteType::BatchLog,
        };
        Err(Error::new(
            kind,
            format!(
                "Operation timed out: {received} of {required} nodes keep the batch; nothing of it was sent yet, and it is safe to try it again"
            ),
        ))
    }

    /// Who may keep a batch: other live nodes of this datacenter, on different racks first; then of others;
    /// this node itself only when it is alone.
    fn candidates(&self, snapshot: &Snapshot) -> Vec<Arc<Peer>> {
        let cluster = &snapshot.cluster;
        let own_rack = cluster.own().map(|own| own.rack.clone()).unwrap_or_default();
        let mut others: Vec<Arc<Peer>> = cluster.live_others().cloned().collect();
        if others.is_empty() {
            return cluster.own().cloned().into_iter().collect();
        }
        // Load is spread by beginning anywhere.
        let start = (self.env.random() % others.len() as u64) as usize;
        others.rotate_left(start);
        let datacenter = &self.coordinator.datacenter;
        others.sort_by_key(|peer| (peer.datacenter != *datacenter, peer.rack == own_rack));
        others
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
}

/// What to tell the client of a batch that is kept but could not be written. Replicas that went down after
/// the batch was kept make the write unavailable; but the keepers will carry it out, so it must not be
/// called unchanged.
fn kept_all_the_same(error: Error) -> Error {
    let ErrorKind::Unavailable {
        consistency,
        required,
        alive,
    } = error.kind
    else {
        return error;
    };
    let kind = ErrorKind::WriteTimeout {
        consistency,
        received: 0,
        required,
        write_type: WriteType::Batch,
    };
    Error::new(
        kind,
        format!(
            "Operation timed out: {consistency} needs {required} replicas and {alive} are alive now; the batch is kept and will be applied"
        ),
    )
}

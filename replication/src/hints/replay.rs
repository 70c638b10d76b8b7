//! Delivering hints.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use starling_model::{Mutation, NodeId, Seconds};

use super::{
    Hints, segment,
    store::{Records, Segments},
};
use crate::{
    coordinator::Coordinator, deadline::Deadline, env::Env, message::WriteReason, peers::AskError,
    snapshot::Peer, tracing::Tracer,
};

/// Hints travel together up to so many bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// How often the hints of a node that is down are looked at for their age, in seconds.
const EXPIRY_CHECK_SECONDS: u32 = 60;

/// What became of a segment.
#[derive(Debug, PartialEq, Eq)]
enum Delivery {
    /// All its hints were delivered, or are worth nothing any more.
    Done,
    /// The target did not take them; later again.
    Stopped,
}

impl<E: Env> Coordinator<E> {
    /// Starts delivery to every live node that has hints here and isn't being delivered to.
    pub(crate) fn deliver_hints(self: &Arc<Self>) {
        let snapshot = self.views.load();
        for target in self.hints.waiting() {
            match snapshot.cluster.peers.get(&target) {
                Some(peer) if peer.alive => {
                    if self.hints.begin_delivery(target) {
                        let coordinator = Arc::clone(self);
                        let peer = Arc::clone(peer);
                        self.env.spawn(async move {
                            coordinator.deliver(&peer).await;
                            coordinator.hints.end_delivery(peer.id);
                        });
                    }
                }
                _ => self.hints.expire_if_due(target),
            }
        }
    }

    /// Delivers a target's hints, oldest first, until none is left or the target stops taking them.
    async fn deliver(&self, peer: &Peer) {
        while let Some((number, records)) = self.hints.oldest(peer.id).await {
            if self.deliver_segment(peer, records).await == Delivery::Stopped {
                return;
            }
            if !self.hints.delivered(peer.id, number).await {
                return;
            }
        }
    }

    async fn deliver_segment(&self, peer: &Peer, records: Vec<(Seconds, Bytes)>) -> Delivery {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        for (at, encoded) in records {
            if let Some(mutation) = self.worth_delivering(at, &encoded) {
                bytes += encoded.len();
                chunk.push(mutation);
            } else {
                self.counters.hints_dropped.one();
            }
            if bytes >= CHUNK_BYTES {
                if self.deliver_chunk(peer, std::mem::take(&mut chunk), bytes).await == Delivery::Stopped {
                    return Delivery::Stopped;
                }
                bytes = 0;
            }
        }
        if chunk.is_empty() {
            Delivery::Done
        } else {
            self.deliver_chunk(peer, chunk, bytes).await
        }
    }

    /// Too old a hint could bring back what was deleted and purged since; a dropped table needs none.
    fn worth_delivering(&self, at: Seconds, encoded: &Bytes) -> Option<Mutation> {
        let age = self.env.wall().seconds().0.saturating_sub(at.0);
        if u64::from(age) > self.hints.bounds.hint_age.as_secs() {
            return None;
        }
        let table = segment::table_of(encoded)?;
        self.views.load().schema.table_by_id(table)?;
        Mutation::decode(encoded.clone()).ok()
    }

    async fn deliver_chunk(&self, peer: &Peer, chunk: Vec<Mutation>, bytes: usize) -> Delivery {
        let count = chunk.len() as u64;
        let deadline = Deadline::after(&self.env, self.timeouts.write);
        let sent = self
            .write_to(peer, chunk, WriteReason::Hint, deadline, &Tracer::OFF)
            .await;
        match sent {
            Ok(()) => {
                self.counters.hints_delivered.add(count);
                let pause = bytes as f64 / self.hints.bounds.hint_rate.max(1) as f64;
                self.env.sleep(Duration::from_secs_f64(pause)).await;
                Delivery::Done
            }
            Err(error) => {
                let patience = matches!(error, AskError::Call(_));
                ::tracing::debug!(%error, patience, peer = %peer.address, "hints wait for the next try");
                Delivery::Stopped
            }
        }
    }
}

impl<E: Env> Hints<E> {
    /// The nodes that have hints.
    fn waiting(&self) -> Vec<NodeId> {
        let state = self.state.lock();
        let waiting = state.targets.iter().filter(|(_, target)| target.bytes() > 0);
        waiting.map(|(id, _)| *id).collect()
    }

    fn begin_delivery(&self, id: NodeId) -> bool {
        self.with(id, |target| !std::mem::replace(&mut target.delivering, true))
            .unwrap_or(false)
    }

    fn end_delivery(&self, id: NodeId) {
        self.with(id, |target| target.delivering = false);
    }

    async fn oldest(self: &Arc<Self>, id: NodeId) -> Option<Records> {
        let hints = Arc::clone(self);
        let read = self.env.blocking(move || hints.on_disk(id, Segments::oldest));
        read.await?.unwrap_or_else(|error| {
            ::tracing::error!(%error, node = %id, "hints can't be read");
            None
        })
    }

    async fn delivered(self: &Arc<Self>, id: NodeId, number: u64) -> bool {
        let hints = Arc::clone(self);
        let removed = self
            .env
            .blocking(move || hints.on_disk(id, |segments, fs| segments.remove(fs, number)))
            .await;
        if let Some(Err(error)) = &removed {
            ::tracing::error!(%error, node = %id, "delivered hints can't be removed; they will be sent again");
        }
        matches!(removed, Some(Ok(())))
    }

    /// Looks at the age of a node's hints now and then, beside the caller.
    fn expire_if_due(self: &Arc<Self>, id: NodeId) {
        let now = self.env.wall().seconds();
        let due = self.with(id, |target| {
            let due = now.0.saturating_sub(target.aged_at.0) >= EXPIRY_CHECK_SECONDS;
            if due {
                target.aged_at = now;
            }
            due
        });
        // No segment is taken away under a delivery.
        if due == Some(true) && self.begin_delivery(id) {
            let hints = Arc::clone(self);
            self.env.spawn(async move {
                hints.expire(id, now).await;
                hints.end_delivery(id);
            });
        }
    }

    /// Drops the oldest hints of a node that has been away for longer than hints are kept.
    async fn expire(self: &Arc<Self>, id: NodeId, now: Seconds) {
        let age = u32::try_from(self.bounds.hint_age.as_secs()).unwrap_or(u32::MAX);
        let Some((number, records)) = self.oldest(id).await else {
            return;
        };
        let newest = records.iter().map(|(at, _)| *at).max();
        if newest.is_none_or(|newest| now.0.saturating_sub(newest.0) > age) {
            self.counters.hints_dropped.add(records.len() as u64);
            self.delivered(id, number).await;
        }
    }
}

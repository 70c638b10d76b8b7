//! Delivering hints.

use std::sync::Arc;

use bytes::Bytes;
use starling_model::{Mutation, NodeId, Seconds};

use super::{
    Hints,
    pace::Pace,
    segment,
    store::{Records, Segments},
};
use crate::{
    coordinator::Coordinator,
    deadline::Deadline,
    env::Env,
    message::{Failure, Hint, Request},
    peers::AskError,
    snapshot::Peer,
    tracing::Tracer,
};

/// Hints travel together up to so many bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// How often the hints of a node that is down are looked at for their age, in seconds.
const EXPIRY_CHECK_SECONDS: u32 = 60;

/// So many bytes may be delivered again after a crash.
const PROGRESS_BYTES: usize = 1 << 20;

/// How often a target may refuse in a row before its delivery is put off.
const REFUSALS: usize = 8;

/// What became of a segment.
#[derive(Debug, PartialEq, Eq)]
enum Delivery {
    /// All its hints were delivered, or are worth nothing any more.
    Done,
    /// The target did not take them; later again.
    Stopped,
    /// Some of them were forgotten meanwhile: what is left is to be read anew.
    Changed,
}

impl<E: Env> Coordinator<E> {
    /// Starts delivery to every live node that has hints here and isn't being delivered to.
    pub(crate) fn deliver_hints(self: &Arc<Self>) {
        let snapshot = self.views.load();
        for target in self.hints.waiting() {
            if Self::has_left(&snapshot, target) {
                self.reroute_if_due(target);
                continue;
            }
            self.hints.with(target, |target| target.gone_since = None);
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

    /// A pace for one target, of which all live nodes have their share.
    pub(super) fn hint_pace(&self) -> Pace {
        let sharers = self.views.load().cluster.live_others().count();
        Pace::new(self.hints.bounds.hint_rate, sharers)
    }

    /// Delivers a target's hints, oldest first, until none is left or the target stops taking them.
    async fn deliver(&self, peer: &Peer) {
        let mut pace = self.hint_pace();
        loop {
            let forgotten = self.hints.forgotten();
            let Some((number, records)) = self.hints.oldest(peer.id).await else {
                return;
            };
            match self
                .deliver_segment(peer, (number, records), forgotten, &mut pace)
                .await
            {
                Delivery::Done if self.hints.delivered(peer.id, number).await => {}
                Delivery::Changed => {}
                Delivery::Done | Delivery::Stopped => return,
            }
        }
    }

    /// Delivers what is left of a segment, and notes now and then how far it got.
    async fn deliver_segment(
        &self,
        peer: &Peer,
        (number, records): Records,
        forgotten: u64,
        pace: &mut Pace,
    ) -> Delivery {
        let (mut unnoted_bytes, mut unnoted) = (0, 0);
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() {
            let mut chunk = Vec::new();
            let (mut bytes, mut passed) = (0, 0);
            while bytes < CHUNK_BYTES
                && let Some((at, encoded)) = records.next()
            {
                passed += 1;
                if self.worth_delivering(at, &encoded).is_some() {
                    bytes += encoded.len();
                    chunk.push((at, encoded));
                } else {
                    self.counters.hints_expired.one();
                }
            }
            let delivered = if chunk.is_empty() {
                Delivery::Done
            } else {
                self.deliver_chunk(peer, &chunk, (bytes, forgotten), pace).await
            };
            match delivered {
                Delivery::Done => {}
                Delivery::Stopped => {
                    self.hints.note_progress(peer.id, number, unnoted).await;
                    return Delivery::Stopped;
                }
                // The segment is shorter now: it counts anew.
                Delivery::Changed => return Delivery::Changed,
            }
            unnoted += passed;
            unnoted_bytes += bytes;
            if unnoted_bytes >= PROGRESS_BYTES {
                self.hints
                    .note_progress(peer.id, number, std::mem::take(&mut unnoted))
                    .await;
                unnoted_bytes = 0;
            }
        }
        Delivery::Done
    }

    /// Too old a hint could bring back what was deleted and purged since; a dropped table needs none.
    pub(super) fn worth_delivering(&self, at: Seconds, encoded: &Bytes) -> Option<Mutation> {
        let age = self.env.wall().seconds().0.saturating_sub(at.0);
        if u64::from(age) > self.hints.bounds.hint_age.as_secs() {
            return None;
        }
        let table = segment::table_of(encoded)?;
        self.views.load().schema.table_by_id(table)?;
        Mutation::decode(encoded.clone()).ok()
    }

    async fn deliver_chunk(
        &self,
        peer: &Peer,
        chunk: &[(Seconds, Bytes)],
        (bytes, forgotten): (usize, u64),
        pace: &mut Pace,
    ) -> Delivery {
        let turn = self.hints.turn(peer.id);
        for _ in 0..REFUSALS {
            let turn = turn.lock().await;
            if self.hints.forgotten() != forgotten {
                return Delivery::Changed;
            }
            let began = self.env.monotonic();
            let deadline = Deadline::after(&self.env, self.timeouts.write);
            let sent = self.send_hints(peer, chunk.to_vec(), deadline).await;
            drop(turn);
            match sent {
                Ok(()) => {
                    self.counters.hints_delivered.add(chunk.len() as u64);
                    let took = self.env.monotonic().saturating_sub(began);
                    self.env.sleep(pace.taken(bytes, took)).await;
                    return Delivery::Done;
                }
                Err(AskError::Failed(Failure::Overloaded | Failure::Late)) => {
                    self.env.sleep(pace.refused()).await;
                }
                Err(error) => {
                    ::tracing::debug!(%error, peer = %peer.address, "hints wait for the next try");
                    return Delivery::Stopped;
                }
            }
        }
        ::tracing::debug!(peer = %peer.address, "the node has too much to do: hints wait for the next try");
        Delivery::Stopped
    }

    pub(super) async fn send_hints(
        &self,
        peer: &Peer,
        hints: Vec<(Seconds, Bytes)>,
        deadline: Deadline,
    ) -> Result<(), AskError> {
        let hints = hints.into_iter().map(|(at, mutation)| Hint { at, mutation });
        let body = Request::Hints(hints.collect());
        let timeout = deadline.remaining(&self.env);
        self.peers.ask(peer, body, timeout, &Tracer::OFF).await.map(drop)
    }
}

impl<E: Env> Hints<E> {
    /// Held while hints are on their way to a node.
    fn turn(&self, id: NodeId) -> Arc<futures::lock::Mutex<()>> {
        self.with(id, |target| target.turn()).unwrap_or_default()
    }

    /// The nodes that have hints.
    fn waiting(&self) -> Vec<NodeId> {
        let state = self.state.lock();
        let waiting = state.targets.iter().filter(|(_, target)| target.bytes() > 0);
        waiting.map(|(id, _)| *id).collect()
    }

    /// The oldest segment's number, and what of it was not delivered yet.
    pub(super) async fn oldest(self: &Arc<Self>, id: NodeId) -> Option<Records> {
        let hints = Arc::clone(self);
        let read = self.env.blocking(move || hints.on_disk(id, Segments::oldest));
        read.await?.unwrap_or_else(|error| {
            ::tracing::error!(%error, node = %id, "hints can't be read");
            None
        })
    }

    pub(super) async fn delivered(self: &Arc<Self>, id: NodeId, number: u64) -> bool {
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

    /// So many more hints of the oldest segment need not be sent again, also after a crash.
    async fn note_progress(self: &Arc<Self>, id: NodeId, number: u64, more: u64) {
        if more == 0 {
            return;
        }
        let hints = Arc::clone(self);
        let noted = self
            .env
            .blocking(move || hints.on_disk(id, |segments, fs| segments.advance(fs, number, more)))
            .await;
        if let Some(Err(error)) = noted {
            ::tracing::warn!(%error, node = %id, "hints that were delivered will be sent again after a restart");
        }
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
            self.counters.hints_expired.add(records.len() as u64);
            self.delivered(id, number).await;
        }
    }
}

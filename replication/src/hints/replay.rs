//! Delivering hints.

use std::sync::Arc;

use bytes::Bytes;
use starling_model::{Mutation, NodeId};

use super::{
    Hints,
    load::Load,
    pace::{self, MESSAGE_CHARGE, Pace},
    progress::Progress,
    segment::{self, Life, Stored},
    store::Records,
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

/// How often the hints of a node that is down are looked at for their age, in seconds.
const EXPIRY_CHECK_SECONDS: u32 = 60;

/// So many bytes may be delivered again after a crash.
const PROGRESS_BYTES: usize = 1 << 20;

/// How often a target may refuse in a row before its delivery is put off.
const REFUSALS: usize = 8;

/// Hints that go together.
struct Message {
    hints: Vec<Hint>,
    /// Of their mutations.
    bytes: usize,
    /// What they are charged against the rate.
    charge: usize,
    /// How many hints of the segment it takes care of: those that it has, and those that are worth nothing any more.
    passed: usize,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    Taken,
    /// Not now, or not so many: soon again.
    Refused,
    Stopped,
    Changed,
}

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
            let Some(records) = self.hints.oldest(peer.id).await else {
                return;
            };
            let number = records.number;
            match self.deliver_segment(peer, records, forgotten, &mut pace).await {
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
        records: Records,
        forgotten: u64,
        pace: &mut Pace,
    ) -> Delivery {
        let Records {
            number,
            rewrites,
            hints,
        } = records;
        let (mut passed, mut unnoted, mut refusals) = (0, 0, 0);
        let place = |passed: usize| passed.checked_sub(1).map_or(0, |last| hints[last].end);
        while passed < hints.len() {
            let message = self.next_message(peer.id, &hints[passed..]);
            let (bytes, taken) = (message.bytes, message.passed);
            let expired = taken - message.hints.len();
            let sent = if message.hints.is_empty() {
                Sent::Taken
            } else {
                self.deliver_message(peer, message, forgotten, pace).await
            };
            let stops = match sent {
                Sent::Taken => {
                    self.counters.hints_expired.add(expired as u64);
                    (passed, unnoted, refusals) = (passed + taken, unnoted + bytes, 0);
                    false
                }
                Sent::Refused => {
                    refusals += 1;
                    refusals == REFUSALS
                }
                Sent::Stopped => true,
                // The segment is shorter now: its places are other ones.
                Sent::Changed => return Delivery::Changed,
            };
            if stops || unnoted >= PROGRESS_BYTES {
                let place = place(passed);
                let progress = Progress { number, place };
                self.hints.note_progress(peer.id, rewrites, progress).await;
                unnoted = 0;
            }
            if stops {
                ::tracing::debug!(peer = %peer.address, "hints wait for the next try");
                return Delivery::Stopped;
            }
        }
        Delivery::Done
    }

    /// The next hints of a segment that go together: by their charge, and as many as the target carries out in time.
    fn next_message(&self, target: NodeId, left: &[Stored]) -> Message {
        let load = self.hints.with(target, |target| target.load);
        let most = load.unwrap_or(Load::new()).hints();
        let mut message = Message {
            hints: Vec::new(),
            bytes: 0,
            charge: 0,
            passed: 0,
        };
        for hint in left {
            if message.charge >= MESSAGE_CHARGE || message.hints.len() >= most {
                break;
            }
            message.passed += 1;
            if self.worth_delivering(hint.life, &hint.mutation).is_some() {
                message.bytes += hint.mutation.len();
                message.charge += pace::charge(hint.mutation.len());
                message.hints.push(hint.for_peer());
            }
        }
        message
    }

    /// Too old a hint could bring back what was deleted and purged since; a dropped table needs none.
    pub(super) fn worth_delivering(&self, life: Life, encoded: &Bytes) -> Option<Mutation> {
        if self.hints.has_expired(life) {
            return None;
        }
        let table = segment::table_of(encoded)?;
        self.views.load().schema.table_by_id(table)?;
        Mutation::decode(encoded.clone()).ok()
    }

    async fn deliver_message(&self, peer: &Peer, message: Message, forgotten: u64, pace: &mut Pace) -> Sent {
        let turn = self.hints.turn(peer.id);
        let turn = turn.lock().await;
        if self.hints.forgotten() != forgotten {
            return Sent::Changed;
        }
        let began = self.env.monotonic();
        let allowed = self.timeouts.write;
        let (count, charge) = (message.hints.len(), message.charge);
        let deadline = Deadline::after(&self.env, allowed);
        let sent = self.send_hints(peer, message.hints, deadline).await;
        drop(turn);
        match sent {
            Ok(()) => {
                self.counters.hints_delivered.add(count as u64);
                let took = self.env.monotonic().saturating_sub(began);
                self.hints
                    .with(peer.id, |target| target.load.taken(count, took, allowed));
                self.env.sleep(pace.taken(charge, took)).await;
                Sent::Taken
            }
            Err(AskError::Failed(Failure::Overloaded)) => {
                self.env.sleep(pace.refused()).await;
                Sent::Refused
            }
            Err(AskError::Failed(Failure::Late)) => {
                self.hints.with(peer.id, |target| target.load.too_late());
                self.env.sleep(pace.refused()).await;
                Sent::Refused
            }
            Err(error) => {
                if error.is_timeout() {
                    self.hints.with(peer.id, |target| target.load.too_late());
                }
                ::tracing::debug!(%error, peer = %peer.address, count, "hints were not taken");
                Sent::Stopped
            }
        }
    }

    pub(super) async fn send_hints(
        &self,
        peer: &Peer,
        hints: Vec<Hint>,
        deadline: Deadline,
    ) -> Result<(), AskError> {
        let body = Request::Hints(hints);
        let timeout = deadline.remaining(&self.env);
        self.peers.ask(peer, body, timeout, &Tracer::OFF).await.map(drop)
    }
}

impl<E: Env> Hints<E> {
    /// Held while hints are on their way to a node.
    pub(super) fn turn(&self, id: NodeId) -> Arc<futures::lock::Mutex<()>> {
        self.with(id, |target| target.turn()).unwrap_or_default()
    }

    /// The nodes that have hints.
    fn waiting(&self) -> Vec<NodeId> {
        self.kept().into_keys().collect()
    }

    /// What is left to deliver of the oldest segment; `None` if there is nothing, or it can't be read now.
    pub(super) async fn oldest(self: &Arc<Self>, id: NodeId) -> Option<Records> {
        let hints = Arc::clone(self);
        let read = self
            .env
            .blocking(move || hints.on_disk(id, |segments, fs| segments.oldest(fs, &hints.counters)));
        read.await?.unwrap_or_else(|error| {
            ::tracing::error!(%error, node = %id, "hints can't be read now; later again");
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

    /// The hints up to a place of the oldest segment need not be sent again, also after a crash.
    async fn note_progress(self: &Arc<Self>, id: NodeId, rewrites: u64, progress: Progress) {
        if progress.place == 0 {
            return;
        }
        let hints = Arc::clone(self);
        let note = move || hints.on_disk(id, |segments, fs| segments.advance(fs, rewrites, progress));
        if let Some(Err(error)) = self.env.blocking(note).await {
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
                hints.expire(id).await;
                hints.end_delivery(id);
            });
        }
    }

    /// Drops the oldest hints of a node that has been away for longer than hints are kept.
    async fn expire(self: &Arc<Self>, id: NodeId) {
        let Some(records) = self.oldest(id).await else {
            return;
        };
        if records.hints.iter().all(|hint| self.has_expired(hint.life)) {
            self.counters.hints_expired.add(records.hints.len() as u64);
            self.delivered(id, records.number).await;
        }
    }
}

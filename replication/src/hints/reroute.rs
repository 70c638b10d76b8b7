//! Hints for a node that has not their range any more, or will not have it soon: those who have it then get them.
//!
//! A hint may be all that there is of a write that was acknowledged at ANY. If its node has left the ring, whoever keeps
//! it looks for the present replicas. If its node has only lost the range meanwhile, or is about to, it takes the hint
//! and passes it on itself: it may have given its copy of the range to the new replica before the hint came.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, future::join_all, stream};
use starling_model::{Mutation, NodeId};
use starling_ring::Placement;

use super::{
    Hints, pace,
    segment::{Life, Stored},
    store::Segments,
};
use crate::{
    coordinator::Coordinator,
    deadline::Deadline,
    env::Env,
    message::{Hint, Request, WriteReason},
    peers::AskError,
    snapshot::{Peer, Snapshot},
    tracing::Tracer,
    truncations::Origin,
};

/// How long a node must have been out of the ring: a view that comes a little late is no departure.
const GONE: Duration = Duration::from_secs(30);

/// How many hints are passed on at a time.
const PASSED_AT_ONCE: usize = 32;

/// What became of a hint at one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handed {
    Taken,
    /// It is alive, and refuses or does not answer. While its range changes hands, to keep a hint for it would make more of that: it would pass
    /// that hint on to all other replicas in its turn, which may have as much to do, and so on, and hints would multiply. Who brought this
    /// one keeps it, and comes again.
    Missed,
    /// It is down. Nobody gives it hints now, so they do not multiply.
    Down,
}

impl Handed {
    fn of<T>(outcome: &Result<T, AskError>) -> Self {
        match outcome {
            Ok(_) => Self::Taken,
            Err(_) => Self::Missed,
        }
    }
}

impl<E: Env> Coordinator<E> {
    /// Whether a node owns nothing and is not about to.
    pub(super) fn has_left(snapshot: &Snapshot, target: NodeId) -> bool {
        let cluster = &snapshot.cluster;
        let is_in_ring = cluster.peers.get(&target).is_some_and(|peer| peer.joined);
        !is_in_ring && cluster.change.is_none()
    }

    /// Starts to send a departed node's hints to the present replicas, once it has been gone for a while.
    pub(super) fn reroute_if_due(self: &Arc<Self>, target: NodeId) {
        let now = self.env.monotonic();
        let since = self
            .hints
            .with(target, |target| *target.gone_since.get_or_insert(now));
        if since.is_some_and(|since| now.saturating_sub(since) >= GONE) && self.hints.begin_delivery(target) {
            let coordinator = Arc::clone(self);
            self.env.spawn(async move {
                coordinator.reroute(target).await;
                coordinator.hints.end_delivery(target);
            });
        }
    }

    /// Sends all hints of a departed node to the present replicas, oldest first, until one can't be placed.
    async fn reroute(&self, target: NodeId) {
        let mut pace = self.hint_pace();
        loop {
            let forgotten = self.hints.forgotten();
            let Some(records) = self.hints.oldest(target).await else {
                return self.hints.remove_empty_dir(target).await;
            };
            let turn = self.hints.turn(target);
            for hint in records.hints {
                // Who truncates waits until it has reached the replicas, or is kept as a hint for them.
                let turn = turn.lock().await;
                let era = self.replica.truncations.era();
                // Read before some were forgotten: later again.
                if self.hints.forgotten() != forgotten {
                    return;
                }
                let Some(mutation) = self.worth_delivering(hint.life, &hint.mutation) else {
                    self.counters.hints_expired.one();
                    continue;
                };
                let began = self.env.monotonic();
                if self.replica.truncations.is_under_way(mutation.table, began) {
                    return;
                }
                let charge = pace::charge(hint.mutation.len());
                if !self.place_hint(target, &hint, &mutation, era).await {
                    return;
                }
                drop(turn);
                self.counters.hints_rerouted.one();
                let took = self.env.monotonic().saturating_sub(began);
                self.env.sleep(pace.taken(charge, took)).await;
            }
            if !self.hints.delivered(target, records.number).await {
                return;
            }
        }
    }

    /// Hints came here: whether those whose replicas have changed, or are changing, are where they belong too. Each is at
    /// all present and coming replicas then, or in a durable hint for them. Replicas that are down get a hint; so do those that do
    /// not answer in time, but while ranges change hands: then false.
    pub(crate) async fn pass_on(&self, hints: &[Hint], deadline: Deadline) -> bool {
        let passing: Vec<_> = hints
            .iter()
            .map(|hint| self.pass_one_on(hint, deadline))
            .collect();
        let passing = stream::iter(passing).buffer_unordered(PASSED_AT_ONCE);
        passing.all(std::future::ready).await
    }

    async fn pass_one_on(&self, hint: &Hint, deadline: Deadline) -> bool {
        let life = self.hints.life_since(hint.at);
        let Some(mutation) = self.worth_delivering(life, &hint.mutation) else {
            return true;
        };
        if self.is_settled_here(&mutation) {
            return true;
        }
        let truncations = &self.replica.truncations;
        let era = truncations.era();
        // It may be from before, and who is truncated already must not get it: it is sent again, unless it is forgotten.
        if truncations.is_under_way(mutation.table, self.env.monotonic()) {
            return false;
        }
        let snapshot = self.views.load();
        let replicas = present_replicas(&snapshot, &mutation);
        let others = replicas.iter().filter(|peer| peer.id != snapshot.cluster.me);
        let handed = others.map(|peer| async move {
            let handed = self.hand_over(peer, hint.mutation.clone(), deadline).await;
            (peer.id, handed)
        });
        let handed = join_all(handed).await;
        let would_multiply =
            is_changing(&snapshot, &mutation) && handed.iter().any(|(_, handed)| *handed == Handed::Missed);
        let given = !would_multiply && self.keep_for_others(&handed, life, era, &hint.mutation).await;
        if given {
            self.counters.hints_rerouted.one();
        }
        given
    }

    /// Gives a node a hinted write, durably. As a write and not as a hint: who gets it does not pass it on. It has
    /// half of the time that is left: then there is some to keep a hint.
    async fn hand_over(&self, peer: &Peer, mutation: Bytes, deadline: Deadline) -> Handed {
        if !peer.alive {
            return Handed::Down;
        }
        let body = Request::Write {
            mutations: vec![mutation],
            reason: WriteReason::Hint,
        };
        let time = deadline.remaining(&self.env) / 2;
        Handed::of(&self.peers.ask(peer, body, time, &Tracer::OFF).await)
    }

    /// Keeps a hint for each that did not take the write. Whether each has the one or the other now, durably.
    async fn keep_for_others(
        &self,
        handed: &[(NodeId, Handed)],
        life: Life,
        era: u64,
        mutation: &Bytes,
    ) -> bool {
        let others = handed.iter().filter(|(_, handed)| *handed != Handed::Taken);
        let kept = others.map(|(id, _)| self.hints.keep_for(*id, life, era, mutation.clone()));
        join_all(kept).await.into_iter().all(|kept| kept)
    }

    /// Whether this node is a replica of a write's token, and no other one is to come.
    fn is_settled_here(&self, mutation: &Mutation) -> bool {
        let snapshot = self.views.load();
        let Some(table) = snapshot.schema.table_by_id(mutation.table) else {
            return true;
        };
        let Ok(placements) = snapshot.placements(&table.keyspace) else {
            return true;
        };
        let token = mutation.key.token;
        let is_replica = |placement: &Placement| placement.replicas(token).contains(&snapshot.cluster.me);
        is_replica(&placements.current) && !is_changing(&snapshot, mutation)
    }

    /// Whether every present replica has the write, or a durable hint for it that is as old as this one.
    async fn place_hint(&self, target: NodeId, hint: &Stored, mutation: &Mutation, era: u64) -> bool {
        let replicas = present_replicas(&self.views.load(), mutation);
        let replicas = replicas.iter().filter(|peer| peer.id != target);
        // All at once: a truncation waits until the slowest has answered, and not for each after the other.
        let handed = replicas.map(async |peer| (peer.id, self.give_hint(peer, hint, mutation, era).await));
        let handed = join_all(handed).await;
        // Also for who is alive: no change of the ring is under way.
        self.keep_for_others(&handed, hint.life, era, &hint.mutation)
            .await
    }

    async fn give_hint(&self, peer: &Peer, hint: &Stored, mutation: &Mutation, era: u64) -> Handed {
        if !peer.alive {
            return Handed::Down;
        }
        let deadline = Deadline::after(&self.env, self.timeouts.write);
        if peer.id == self.views.load().cluster.me {
            let encoded = hint.mutation.clone();
            let origin = Origin { sender: peer.id, era };
            let write = self
                .replica
                .write(mutation, encoded, origin, deadline, &Tracer::OFF);
            return Handed::of(&write.await.map_err(AskError::from));
        }
        Handed::of(&self.send_hints(peer, vec![hint.for_peer()], deadline).await)
    }
}

/// Whether a change of the ring gives a write's range to other replicas.
fn is_changing(snapshot: &Snapshot, mutation: &Mutation) -> bool {
    let table = snapshot.schema.table_by_id(mutation.table);
    let placements = table.and_then(|table| snapshot.placements(&table.keyspace).ok());
    placements.is_some_and(|placements| {
        let token = mutation.key.token;
        let next = placements.next.as_ref();
        next.is_some_and(|next| next.replicas(token) != placements.current.replicas(token))
    })
}

/// All replicas that a write has now, and those that are to come; none if its table was dropped.
fn present_replicas(snapshot: &Snapshot, mutation: &Mutation) -> Vec<Arc<Peer>> {
    let table = snapshot.schema.table_by_id(mutation.table);
    let placements = table.and_then(|table| snapshot.placements(&table.keyspace).ok());
    placements.map_or_else(Vec::new, |placements| {
        snapshot.peers_of(&placements.sets(mutation.key.token).all())
    })
}

impl<E: Env> Hints<E> {
    /// Begins to deliver to a node, unless somebody does already.
    pub(super) fn begin_delivery(&self, id: NodeId) -> bool {
        self.with(id, |target| !std::mem::replace(&mut target.delivering, true))
            .unwrap_or(false)
    }

    /// Removes a departed node's directory once there are no hints in it. It may come back with new ones.
    async fn remove_empty_dir(self: &Arc<Self>, id: NodeId) {
        let hints = Arc::clone(self);
        let remove = move || hints.on_disk(id, Segments::remove_empty_dir);
        if let Some(Err(error)) = self.env.blocking(remove).await {
            ::tracing::warn!(%error, node = %id, "an empty directory of hints stays until the next start");
        }
    }

    pub(super) fn end_delivery(&self, id: NodeId) {
        self.with(id, |target| target.delivering = false);
    }
}

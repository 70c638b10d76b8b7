//! What operators and starting nodes ask for.

use std::{sync::Arc, time::Duration};

use starling_model::NodeId;

use super::{
    Change, ChangeError, ChangeKind, Phase, Place, RingState, Topology, TopologyRequest, TopologyResponse,
    arrival::Mind, proposal::Make, service::ASK, sparing,
};
use crate::env::Env;

/// The pause before a change that waits for others is proposed again; it doubles.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest where the reason passes by itself: finding out costs a message or none.
const WAIT: Duration = Duration::from_millis(100);
/// The longest where somebody has to do something.
const LONG_PAUSE: Duration = Duration::from_secs(1);

/// How many looks at a change that is to be given up, each after ten of the shortest pauses, until its coordinator is told again.
const TURNS_UNTIL_TOLD_AGAIN: u32 = 20;

/// For how long an operator's command tries again what passes by itself in moments.
const PATIENCE: Duration = Duration::from_secs(5);

impl<E: Env> Topology<E> {
    /// The change that is under way.
    pub(crate) fn under_way(&self) -> Option<Change> {
        self.book.load().change().cloned()
    }

    /// What this node has to do when it starts: go on with its change, come into the ring, or tell its new rack.
    /// Tries until it is done or the node stops.
    pub(crate) async fn begin(self: Arc<Self>) {
        let own = self
            .book
            .load()
            .change()
            .filter(|change| change.coordinator == self.me)
            .cloned();
        if let Some(change) = own {
            let _driving = self.driving.lock().await;
            let outcome = self.carry_through(change.id, None).await;
            ::tracing::info!(what = %change.kind, ?outcome, "a change of the ring from before the restart is over");
        }
        if !self.book.load().serves(self.me) {
            let mind = Mind::default();
            self.until_done(|| self.come_in(&mind)).await;
        }
        let moves = |state: &RingState| {
            let Some(Place::Serving { rack, .. }) = state.place(self.me) else {
                return Err(ChangeError::Refused("this node is not in the ring".to_owned()));
            };
            if *rack == self.config.rack {
                return Err(ChangeError::Nothing);
            }
            Ok(ChangeKind::Relocate {
                node: self.me,
                rack: self.config.rack.clone(),
            })
        };
        if moves(&self.book.load()).is_ok() {
            self.until_done(|| self.change(&moves)).await;
        }
    }

    /// Tries a change until it worked, or can't work any more.
    async fn until_done<F>(self: &Arc<Self>, attempt: impl Fn() -> F)
    where
        F: Future<Output = Result<(), ChangeError>>,
    {
        let mut pause = PAUSE;
        let mut told = None;
        while !self.is_stopping() {
            match attempt().await {
                Ok(()) | Err(ChangeError::Nothing | ChangeError::Stopping) => return,
                Err(error) => {
                    // Nodes that join at the same time wait for each other: no news.
                    let same = told.as_ref().is_some_and(|told| *told == error);
                    if !same && !matches!(error, ChangeError::NotYet(_) | ChangeError::Busy { .. }) {
                        ::tracing::warn!(%error, "this node waits to change its place in the ring; trying again");
                    }
                    let longest = match error {
                        ChangeError::Busy { .. } | ChangeError::NotYet(_) => WAIT,
                        _ => LONG_PAUSE,
                    };
                    pause = (pause * 2).min(longest);
                    told = Some(error);
                }
            }
            // Those who wait for the same don't all come back at the same moment.
            let spread = self.env.random() % u64::try_from(pause.as_micros()).unwrap_or(1).max(1);
            self.env.sleep(pause / 2 + Duration::from_micros(spread)).await;
        }
    }

    /// Proposes a change and carries it through.
    pub(super) async fn change(self: &Arc<Self>, make: &Make<'_>) -> Result<(), ChangeError> {
        let _driving = self.driving.lock().await;
        let change = self.propose(make).await?;
        self.carry_through(change.id, None).await
    }

    /// The member with this host id or internode address, also one that is coming in.
    pub(crate) fn find(&self, state: &RingState, name: &str) -> Result<NodeId, ChangeError> {
        let snapshot = self.views.load();
        let is_meant = |id: NodeId| {
            let now = snapshot.cluster.peers.get(&id).map(|peer| peer.address);
            let addresses = [now, state.address(id)];
            let at = |address: std::net::SocketAddr| {
                address.to_string() == name || address.ip().to_string() == name
            };
            id.to_string() == name || addresses.into_iter().flatten().any(at)
        };
        let members = state.members();
        let incoming = state.change().and_then(|change| change.kind.incoming());
        let all = members.iter().chain(incoming.map(|(member, _)| member));
        let meant: Vec<NodeId> = all
            .map(|member| member.id)
            .filter(|id| *id != self.me && is_meant(*id))
            .collect();
        match meant[..] {
            [id] => Ok(id),
            [] => Err(ChangeError::Refused(format!(
                "no member of the ring has the host id or address '{name}'; see `starling status`"
            ))),
            _ => Err(ChangeError::Refused(format!(
                "several members have the address '{name}'; name one by its host id"
            ))),
        }
    }

    /// Takes this node out of the ring: its data goes to the others. Ends when it is out. Refused where too few nodes would
    /// be left for a keyspace's replicas, unless it is forced.
    pub(crate) async fn leave(self: &Arc<Self>, force: bool) -> Result<(), ChangeError> {
        self.for_operator(&|state| {
            if !state.serves(self.me) {
                return Err(ChangeError::Refused("this node is not in the ring".to_owned()));
            }
            if state.members().len() == 1 {
                return Err(ChangeError::Refused(
                    "this is the only node: its data has no place to go".to_owned(),
                ));
            }
            self.spared(state, ChangeKind::Leave(self.me), force)
        })
        .await
    }

    /// Takes dead nodes out of the ring; their data is fetched from the other replicas. Ends when it is done. A change that
    /// waits for them is ended first. One that was coming in by it is refused from then on too. Refused where too few nodes
    /// would be left for a keyspace's replicas, unless it is forced.
    pub(crate) async fn remove(self: &Arc<Self>, gone: &[NodeId], force: bool) -> Result<(), ChangeError> {
        let before = self.book.load();
        if let Some(TopologyResponse::Refused(reason)) = self.living(&gone.iter().copied().collect()) {
            return Err(ChangeError::Refused(reason));
        }
        // Also before anything is ended for it.
        self.spared(&before, ChangeKind::Remove(gone.to_vec()), force)?;
        let is_gone = |state: &RingState, id| matches!(state.place(id), Some(Place::Gone { .. }));
        if before.serves(self.me) && !gone.contains(&self.me) {
            // It may wait for others too whose successors wait.
            let mut dead = self.succeeded();
            dead.extend(gone);
            let dead: Vec<NodeId> = dead.into_iter().collect();
            self.with_patience(|| self.end_without(&dead)).await?;
        }
        self.for_operator(&|state| {
            if !state.serves(self.me) {
                return Err(ChangeError::Refused(
                    "this node is not in the ring; ask one that is".to_owned(),
                ));
            }
            if gone.is_empty() || gone.contains(&self.me) {
                return Err(ChangeError::Refused("name the dead nodes to remove".to_owned()));
            }
            let is_known = |id| state.serves(id) || (before.awaits(id) && state.place(id).is_none());
            // Some were about to leave, and have left.
            let mut left = gone.to_vec();
            left.retain(|id| !is_gone(state, *id) || is_gone(&before, *id));
            if let Some(unknown) = left.iter().find(|id| !is_known(**id)) {
                return Err(ChangeError::Refused(format!("node {unknown} is not in the ring")));
            }
            if left.is_empty() {
                return Err(ChangeError::Nothing);
            }
            left.sort_unstable();
            left.dedup();
            self.spared(state, ChangeKind::Remove(left), force)
        })
        .await
        .or_else(|error| match error {
            ChangeError::Nothing if gone.iter().all(|id| is_gone(&self.book.load(), *id)) => Ok(()),
            other => Err(other),
        })
    }

    /// The change, if it is forced or leaves enough nodes.
    fn spared(&self, state: &RingState, change: ChangeKind, force: bool) -> Result<ChangeKind, ChangeError> {
        let schema = Arc::clone(&self.views.load().schema);
        let refusal = || {
            (!force)
                .then(|| sparing::refusal(&schema, state, &change))
                .flatten()
        };
        match sparing::orphan(&schema, state, &change).or_else(refusal) {
            Some(reason) => Err(ChangeError::Refused(reason)),
            None => Ok(change),
        }
    }

    /// A change that an operator waits for: what passes in moments is tried again, the rest is told.
    async fn for_operator(self: &Arc<Self>, make: &Make<'_>) -> Result<(), ChangeError> {
        self.with_patience(|| self.change(make)).await
    }

    async fn with_patience<F>(self: &Arc<Self>, attempt: impl Fn() -> F) -> Result<(), ChangeError>
    where
        F: Future<Output = Result<(), ChangeError>>,
    {
        let deadline = crate::deadline::Deadline::after(&self.env, PATIENCE);
        loop {
            match attempt().await {
                Err(ChangeError::NotYet(_)) if !deadline.is_over(&self.env) => {
                    self.env.sleep(PAUSE * 10).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Gives the change that is under way up. Ends when the ring is what it was before, or, if all data was there
    /// already, when the change is done. Fails if it waits for a node that is down, and can't be given up.
    pub(crate) async fn abort(self: &Arc<Self>) -> Result<(), ChangeError> {
        let change = self.under_way().ok_or(ChangeError::Nothing)?;
        self.tell_to_abort(&change).await?;
        loop {
            for _ in 0..TURNS_UNTIL_TOLD_AGAIN {
                let state = self.book.load();
                let Some(now) = state.change().filter(|now| now.id == change.id) else {
                    return Ok(());
                };
                if self.is_stopping() {
                    return Err(ChangeError::Stopping);
                }
                if now.phase == Phase::Settling {
                    self.participants(&state, now, None)?;
                }
                self.env.sleep(PAUSE * 10).await;
            }
            // A coordinator that restarted has forgotten it, and in the place of one that has died this node acts.
            let is_pending = |now: &Change| now.id == change.id && now.phase == Phase::Pending;
            if self.under_way().is_some_and(|now| is_pending(&now)) {
                match self.tell_to_abort(&change).await {
                    Ok(()) | Err(ChangeError::NotYet(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Tells the coordinator of a change to give it up, or does that in its place if it is dead.
    async fn tell_to_abort(self: &Arc<Self>, change: &Change) -> Result<(), ChangeError> {
        if change.coordinator == self.me {
            self.unwanted.lock().insert(change.id);
            return Ok(());
        }
        let snapshot = self.views.load();
        let coordinator = snapshot.cluster.peers.get(&change.coordinator);
        if let Some(peer) = coordinator.filter(|peer| peer.alive) {
            return match self.ask(peer, TopologyRequest::Abort(change.id), ASK).await {
                Ok(TopologyResponse::Done) => Ok(()),
                Ok(_) | Err(_) => Err(ChangeError::NotYet(format!(
                    "the node {} that carries the change through did not answer",
                    peer.address
                ))),
            };
        }
        let _driving = self.driving.lock().await;
        let state = self.book.load();
        let Some(now) = state.change().filter(|now| now.id == change.id) else {
            return Ok(());
        };
        if now.phase == Phase::Pending {
            return self.give_up(&state, now).await;
        }
        // Everybody else may have confirmed it, and its coordinator have made it the ring.
        self.participants(&state, now, Some(now.coordinator))?;
        self.carry_through(now.id, Some(now.coordinator)).await
    }
}

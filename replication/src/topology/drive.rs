//! Carrying a change through, or giving it up.
//!
//! Every step is a new ring state that the coordinator makes durable here and then takes to all participants; the
//! next step waits until each of them has it durably (a *barrier*). Whoever was away catches up from any peer, and
//! a coordinator that died goes on from its file.
//!
//! A change is decided when *all* participants have confirmed `Settling`: only then it becomes the ring. So any one
//! participant that has not confirmed that can give the change up, by itself and without asking anybody: it will never
//! confirm it from then on, for giving up has the greater version. Nothing else has to be waited for: who still
//! holds the change for pending asks more replicas than needed. Where the coordinator is dead and all data is there,
//! another participant does the rest in its place.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use starling_model::NodeId;

use super::{
    Change, ChangeError, ChangeKind, Phase, Place, RingState, Topology, TopologyRequest, TopologyResponse,
};
use crate::{env::Env, snapshot::Peer};

/// How long a participant has to confirm a step: it stores the state and waits for requests under way.
const CONFIRM: Duration = Duration::from_secs(15);

/// How long an answer about the data may take.
const FETCH: Duration = Duration::from_secs(5);

/// The pause before something is tried again, and the longest.
const PAUSE: Duration = Duration::from_millis(5);
const LONG_PAUSE: Duration = Duration::from_millis(500);

/// What a step came to.
enum Step {
    /// All participants are there.
    Confirmed,
    /// The state is another one by now: look again.
    Moved,
}

impl<E: Env> Topology<E> {
    /// Carries a change through from whatever phase it is in. `excused`: the dead coordinator in whose place this
    /// node acts.
    pub(super) async fn carry_through(
        self: &Arc<Self>,
        id: u128,
        excused: Option<NodeId>,
    ) -> Result<(), ChangeError> {
        let mut change = None;
        loop {
            if self.is_stopping() {
                return Err(ChangeError::Stopping);
            }
            let state = self.book.load();
            let Some(now) = state.change().filter(|now| now.id == id) else {
                return self.outcome(&state, change.as_ref());
            };
            change = Some(now.clone());
            let step = match now.phase {
                Phase::Pending => self.pending(&state, now, excused).await?,
                Phase::Settling => self.confirm(&state, now, excused).await,
            };
            if matches!(step, Step::Moved) {
                continue;
            }
            let next = match now.phase {
                Phase::Pending => state.with_change(now, Phase::Settling),
                Phase::Settling => state.completed(),
            };
            // Of the state that was confirmed, and no other: it may have lost one more node just now.
            if !self.book.replace(&state, next.clone()) {
                continue;
            }
            self.membership.ring_changed();
            if let Err(problem) = self.learn(&next).await {
                // Nobody is told before it is durable; it is tried again with the step itself.
                ::tracing::error!(problem, "a step of a change of the ring can't be stored");
                self.env.sleep(LONG_PAUSE).await;
                continue;
            }
            ::tracing::info!(what = %now.kind, phase = %now.phase, "a step of a change of the ring is done");
            if next.change().is_none() {
                // By the time that all have been told the ring, or the keyspace, may be another one again.
                let outcome = self.outcome(&next, Some(now));
                self.spread(&next, now).await;
                return outcome;
            }
        }
    }

    /// What became of a change that is not under way any more.
    fn outcome(&self, state: &RingState, change: Option<&Change>) -> Result<(), ChangeError> {
        let Some(change) = change else {
            return Err(ChangeError::Nothing);
        };
        self.unwanted.lock().remove(&change.id);
        let done = match (&change.kind, change.kind.incoming()) {
            (ChangeKind::Alter(alteration), _) => alteration.is_done(state.replications()),
            (_, Some((member, _))) => state.serves(member.id),
            (ChangeKind::Relocate { node, rack }, None) => {
                matches!(state.place(*node), Some(Place::Serving { rack: now, .. }) if now == rack)
            }
            (_, None) => {
                let gone = change.kind.outgoing();
                gone.iter()
                    .all(|id| matches!(state.place(*id), Some(Place::Gone { .. })))
            }
        };
        if done { Ok(()) } else { Err(ChangeError::Aborted) }
    }

    async fn pending(
        self: &Arc<Self>,
        state: &RingState,
        change: &Change,
        excused: Option<NodeId>,
    ) -> Result<Step, ChangeError> {
        if self.is_unwanted(change) {
            return match self.give_up(state, change).await {
                // What the disk refuses is stored with the next round of gossip.
                Ok(()) | Err(ChangeError::NotYet(_) | ChangeError::Disk(_)) => Ok(Step::Moved),
                Err(error) => Err(error),
            };
        }
        if matches!(self.confirm(state, change, excused).await, Step::Moved) {
            return Ok(Step::Moved);
        }
        if matches!(self.fetched(state, change).await, Step::Moved) {
            return Ok(Step::Moved);
        }
        self.death_confirmed(state, change, excused).await
    }

    /// Asks once more whether those are dead of whom the change says so. They were asked when it began, and fetching may
    /// take hours. Who is back serves, and may be the only one who has what a quorum acknowledged; then the
    /// change is given up.
    async fn death_confirmed(
        &self,
        state: &RingState,
        change: &Change,
        excused: Option<NodeId>,
    ) -> Result<Step, ChangeError> {
        let dead = change.dead();
        if dead.is_empty() {
            return Ok(Step::Confirmed);
        }
        let agreed = match self.participants(state, change, excused) {
            Ok(others) => self.agree_on_death(&others, &dead).await,
            Err(error) => Err(error),
        };
        match agreed {
            Ok(()) => return Ok(Step::Confirmed),
            Err(ChangeError::Refused(reason)) => {
                ::tracing::warn!(what = %change.kind, reason, "a change of the ring is given up: who was dead is back");
                match self.give_up(state, change).await {
                    Ok(()) | Err(ChangeError::NotYet(_) | ChangeError::Disk(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            // Who takes part and does not answer now is asked again, with the step.
            Err(_) => self.env.sleep(PAUSE).await,
        }
        Ok(Step::Moved)
    }

    /// Gives a change up that this node has not confirmed to be settling. Nothing changed if the ring state is
    /// another one by now.
    pub(super) async fn give_up(&self, state: &RingState, change: &Change) -> Result<(), ChangeError> {
        let aborted = state.aborted();
        if !self.book.replace(state, aborted.clone()) {
            return Err(ChangeError::NotYet("the change has just gone on".to_owned()));
        }
        self.membership.ring_changed();
        self.learn(&aborted).await.map_err(ChangeError::Disk)?;
        ::tracing::info!(what = %change.kind, "a change of the ring was given up");
        self.spread(&aborted, change).await;
        Ok(())
    }

    fn is_unwanted(&self, change: &Change) -> bool {
        change.phase == Phase::Pending && self.unwanted.lock().contains(&change.id)
    }

    fn has_moved(&self, state: &RingState, change: &Change) -> bool {
        self.is_stopping() || self.is_unwanted(change) || *self.book.load() != *state
    }

    /// Takes a step to all participants until all have confirmed it.
    async fn confirm(self: &Arc<Self>, state: &RingState, change: &Change, excused: Option<NodeId>) -> Step {
        let mut confirmed: Vec<NodeId> = Vec::new();
        let mut pause = PAUSE;
        loop {
            if self.has_moved(state, change) {
                return Step::Moved;
            }
            if let Ok(participants) = self.participants(state, change, excused) {
                let left: Vec<Arc<Peer>> = participants
                    .into_iter()
                    .filter(|peer| !confirmed.contains(&peer.id))
                    .collect();
                let asks = left.iter().map(|peer| self.confirm_at(peer, state));
                let answers = join_all(asks).await;
                for (peer, answer) in left.iter().zip(&answers) {
                    if *answer {
                        confirmed.push(peer.id);
                    }
                }
                if answers.iter().all(|confirmed| *confirmed) {
                    return if self.has_moved(state, change) {
                        Step::Moved
                    } else {
                        Step::Confirmed
                    };
                }
            }
            self.env.sleep(pause).await;
            pause = (pause * 2).min(LONG_PAUSE);
        }
    }

    /// Whether a participant has the step durably. What it knows beyond is learnt.
    async fn confirm_at(&self, peer: &Peer, state: &RingState) -> bool {
        if peer.id == self.me {
            if self.learn(state).await.is_err() {
                return false;
            }
            self.views.drained(&self.env).await;
            return self.ready_for_change().await.is_ok();
        }
        let answer = self
            .ask(peer, TopologyRequest::Push(state.encode()), CONFIRM)
            .await;
        let Ok(TopologyResponse::State(theirs)) = answer else {
            return false;
        };
        let Ok(theirs) = RingState::decode(&theirs) else {
            return false;
        };
        if theirs == *state {
            return true;
        }
        // What fails is learnt the next time.
        let _ = self.learn(&theirs).await;
        false
    }

    /// Waits until everybody has what it gains.
    async fn fetched(self: &Arc<Self>, state: &RingState, change: &Change) -> Step {
        let mut missing: Vec<NodeId> = change
            .next(&state.members())
            .iter()
            .map(|member| member.id)
            .filter(|id| !change.lost.contains(id))
            .collect();
        let mut pause = PAUSE;
        loop {
            if self.has_moved(state, change) {
                return Step::Moved;
            }
            let snapshot = self.views.load();
            let asks = snapshot.peers_of(&missing).into_iter().map(|peer| async move {
                let fetched = self.has_fetched(&peer, change).await;
                (peer.id, fetched)
            });
            for (id, fetched) in join_all(asks).await {
                if fetched {
                    missing.retain(|other| *other != id);
                }
            }
            if missing.is_empty() {
                return Step::Confirmed;
            }
            self.env.sleep(pause).await;
            pause = (pause * 2).min(LONG_PAUSE);
        }
    }

    async fn has_fetched(self: &Arc<Self>, peer: &Peer, change: &Change) -> bool {
        let answer = if peer.id == self.me {
            let deadline = crate::deadline::Deadline::after(&self.env, FETCH);
            Ok(self.fetch_answer(change.id, deadline).await)
        } else {
            self.ask(peer, TopologyRequest::Fetch(change.id), FETCH).await
        };
        match answer {
            Ok(TopologyResponse::Fetched) => true,
            Ok(TopologyResponse::Fetching(Some(problem))) => {
                ::tracing::warn!(node = %peer.address, problem, "data for a change of the ring can't be fetched now; trying again");
                false
            }
            _ => false,
        }
    }

    /// Tells everybody who is alive that the change is over. Who isn't reached hears of it later.
    async fn spread(&self, state: &RingState, change: &Change) {
        let snapshot = self.views.load();
        let kind = &change.kind;
        let mut outgoing = kind.outgoing();
        outgoing.extend(kind.incoming().map(|(member, _)| member.id));
        let told = snapshot.cluster.peers.values().filter(|peer| {
            let concerned = state.serves(peer.id) || outgoing.contains(&peer.id);
            peer.alive && peer.id != self.me && concerned
        });
        let pushes = told.map(|peer| self.ask(peer, TopologyRequest::Push(state.encode()), CONFIRM));
        let unreached = join_all(pushes).await.iter().filter(|push| push.is_err()).count();
        if unreached > 0 {
            ::tracing::warn!(
                unreached,
                "members did not take the end of a change of the ring yet; they will ask for it"
            );
        }
    }
}

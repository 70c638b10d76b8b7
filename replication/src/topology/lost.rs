//! Ending a change that waits for nodes which are dead for good.
//!
//! While the change is pending it is given up. Once all data is there it goes on without them: that is one more step, which
//! everybody else confirms, and its end. The nodes stay in the ring until they are removed, and are refused should they
//! come back. `ALGORITHM.md` says why no other end can come of it.

use std::{collections::BTreeSet, sync::Arc};

use futures::{
    FutureExt,
    channel::oneshot,
    future::{BoxFuture, Shared, join_all},
};
use starling_model::NodeId;

use super::{
    Change, ChangeError, Phase, RingState, Topology, TopologyRequest, TopologyResponse, service::ASK,
};
use crate::{deadline::Deadline, env::Env, snapshot::Peer};

/// The change that is being ended without some nodes, whoever waits for it.
///
/// While it waits for one more that has died meanwhile, and has a successor now, another ending begins beside it, for that one
/// too. The two take the same steps of the same state, and the first one goes on with what the second one makes of it.
pub(super) struct Ending {
    dead: BTreeSet<NodeId>,
    outcome: Outcome,
}

type Outcome = Shared<BoxFuture<'static, Result<(), ChangeError>>>;

impl<E: Env> Topology<E> {
    /// Ends the change that waits for `dead`, and perhaps for others whose successors wait, to the end even if nobody waits for
    /// the answer, which comes shortly before the deadline at the latest.
    pub(super) async fn end_answer(self: &Arc<Self>, dead: NodeId, deadline: Deadline) -> TopologyResponse {
        if !self.book.load().serves(self.me) || dead == self.me {
            return TopologyResponse::Refused("this node can't end the change of the ring".to_owned());
        }
        let Some(outcome) = self.begin_ending(dead) else {
            return TopologyResponse::Done;
        };
        let soon = Deadline::after(&self.env, deadline.remaining(&self.env) / 2);
        let outcome = soon.within(&self.env, outcome).await;
        match outcome.or_else(|| self.held_up(dead).map(Err)) {
            None => TopologyResponse::NotYet("the change of the ring is being ended".to_owned()),
            Some(Ok(())) => TopologyResponse::Done,
            Some(Err(ChangeError::Refused(reason))) => TopologyResponse::Refused(reason),
            Some(Err(ChangeError::Down { id, address })) => TopologyResponse::Refused(format!(
                "a change of the ring waits for the node {id} at {address} too; bring it back, or if it is dead for good too start \
                 a node in its place (`starling node --replace`), or remove all of them at once (`starling remove`)"
            )),
            Some(Err(error)) => {
                TopologyResponse::NotYet(format!("a change of the ring can't be ended: {error}"))
            }
        }
    }

    /// Joins in the ending that does without this node, or begins one. `None` if the change does not wait for it, so that there
    /// are no more endings than nodes in a change.
    fn begin_ending(self: &Arc<Self>, dead: NodeId) -> Option<Outcome> {
        let mut endings = self.endings.lock();
        if let Some(under_way) = endings.iter().find(|ending| ending.dead.contains(&dead)) {
            return Some(under_way.outcome.clone());
        }
        let state = self.book.load();
        if !state.awaits(dead) && !state.change().is_some_and(|change| change.goes_on_without(dead)) {
            return None;
        }
        let mut dead_ones = self.succeeded();
        dead_ones.insert(dead);
        dead_ones.remove(&self.me);
        let gone: Vec<NodeId> = dead_ones.iter().copied().collect();
        let (done, outcome) = oneshot::channel();
        let topology = Arc::clone(self);
        self.env.spawn(async move {
            let outcome = topology.end_without(&gone).await;
            // The nodes of two endings are never the same: the later one has one that the other had not.
            topology
                .endings
                .lock()
                .retain(|ending| !ending.dead.iter().eq(&gone));
            // Nobody may be left to hear of it.
            let _ = done.send(outcome);
        });
        let outcome = outcome
            .map(|outcome| outcome.unwrap_or(Err(ChangeError::Stopping)))
            .boxed()
            .shared();
        endings.push(Ending {
            dead: dead_ones,
            outcome: outcome.clone(),
        });
        Some(outcome)
    }

    /// Who is down and holds a change up that goes on without this node already, if that is why it has not ended.
    fn held_up(&self, dead: NodeId) -> Option<ChangeError> {
        let state = self.book.load();
        let change = state.change().filter(|change| change.goes_on_without(dead))?;
        self.participants(&state, change, None).err()
    }

    /// Ends the change that is under way if it waits for some of these nodes, of whom an operator says that they are dead
    /// for good. Nothing changed if one of them is alive.
    pub(super) async fn end_without(self: &Arc<Self>, gone: &[NodeId]) -> Result<(), ChangeError> {
        loop {
            let state = self.book.load();
            let Some(change) = state.change() else {
                return Ok(());
            };
            let mut awaited = change.participants(&state.members());
            awaited.retain(|id| gone.contains(id));
            // What began without them does not have to be ended.
            let known = change.phase == Phase::Settling && change.lost.iter().any(|id| gone.contains(id));
            if awaited.is_empty() && !known {
                return Ok(());
            }
            if let Some(TopologyResponse::Refused(reason)) = self.living(&awaited) {
                return Err(ChangeError::Refused(reason));
            }
            let ended = match change.phase {
                Phase::Pending => self.abort().await,
                Phase::Settling => self.go_on_without(&state, change, &awaited).await,
            };
            match ended {
                Ok(()) | Err(ChangeError::Nothing | ChangeError::Aborted) => {}
                // All data turned out to be there.
                Err(ChangeError::Down { .. }) if self.has_settled(change) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether a change that was pending is settling by now.
    fn has_settled(&self, change: &Change) -> bool {
        let now = self.under_way().filter(|now| now.id == change.id);
        change.phase == Phase::Pending && now.is_some_and(|now| now.phase == Phase::Settling)
    }

    async fn go_on_without(
        self: &Arc<Self>,
        state: &RingState,
        change: &Change,
        lost: &BTreeSet<NodeId>,
    ) -> Result<(), ChangeError> {
        let next = state.without(lost);
        if let Some(change) = next.change() {
            let others = self.participants(&next, change, None)?;
            self.agree_on_death(&others, lost).await?;
        }
        if next != *state {
            if !self.book.replace(state, next.clone()) {
                // The next turn sees what it is now.
                return Ok(());
            }
            self.membership.ring_changed();
            self.learn(&next).await.map_err(ChangeError::Disk)?;
            ::tracing::warn!(what = %change.kind, ?lost, "a change of the ring goes on without nodes that are dead for good");
        }
        // Whoever carries it through here hears of the step and goes on by itself.
        let _driving = self.driving.lock().await;
        self.carry_through(change.id, None).await
    }

    /// Whether these nodes are dead, for this node and for everybody that it sees alive.
    pub(crate) async fn confirm_death(&self, dead: &BTreeSet<NodeId>) -> Result<(), ChangeError> {
        let snapshot = self.views.load();
        let others = snapshot.cluster.peers.values();
        let others: Vec<Arc<Peer>> = others
            .filter(|peer| peer.alive && peer.joined)
            .map(Arc::clone)
            .collect();
        self.agree_on_death(&others, dead).await
    }

    /// Asks everybody who is waited for whether they see none of these nodes alive; looks, too.
    pub(super) async fn agree_on_death(
        &self,
        others: &[Arc<Peer>],
        lost: &BTreeSet<NodeId>,
    ) -> Result<(), ChangeError> {
        if let Some(TopologyResponse::Refused(reason)) = self.living(lost) {
            return Err(ChangeError::Refused(reason));
        }
        let others: Vec<&Arc<Peer>> = others.iter().filter(|peer| peer.id != self.me).collect();
        let asks = others
            .iter()
            .map(|peer| self.ask(peer, TopologyRequest::Lost(lost.clone()), ASK));
        for (peer, answer) in others.iter().zip(join_all(asks).await) {
            match answer {
                Ok(TopologyResponse::Granted) => {}
                Ok(TopologyResponse::Refused(reason)) => return Err(ChangeError::Refused(reason)),
                Ok(_) | Err(_) => {
                    let reason = format!("the node {} did not say whether they are dead", peer.address);
                    return Err(ChangeError::NotYet(reason));
                }
            }
        }
        Ok(())
    }
}

//! Ending a change that waits for nodes which are dead for good.
//!
//! While the change is pending it is given up. Once all data is there it goes on without them: that is one more step, which
//! everybody else confirms, and its end. The nodes stay in the ring until they are removed, and are refused should they
//! come back. `ALGORITHM.md` says why no other end can come of it.

use std::{collections::BTreeSet, sync::Arc};

use futures::future::join_all;
use starling_model::NodeId;

use super::{
    Change, ChangeError, Phase, RingState, Topology, TopologyRequest, TopologyResponse, service::ASK,
};
use crate::{env::Env, snapshot::Peer};

impl<E: Env> Topology<E> {
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
            let known = change.lost.iter().any(|id| gone.contains(id));
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

    /// Asks everybody who is waited for whether they see none of these nodes alive.
    async fn agree_on_death(&self, others: &[Arc<Peer>], lost: &BTreeSet<NodeId>) -> Result<(), ChangeError> {
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

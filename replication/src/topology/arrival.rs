//! How a new node comes into the ring: with tokens of its own, or in the place of a dead one.
//!
//! The dead one may be what a change waits for. Who is to take its place can't end that change, for it is no member;
//! so it asks one to, with what its operator has said: that this node is dead for good.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_model::NodeId;
use starling_ring::Member;

use super::{
    Change, ChangeError, ChangeKind, RingState, Topology, TopologyRequest, TopologyResponse, choose_tokens,
};
use crate::{env::Env, snapshot::Peer};

/// How long a member has to end a change, or to say that it is at it.
const END: Duration = Duration::from_secs(5);

/// The change that brought the dead node in, or took it out, if a member was asked to end it for the sake of this one.
pub(super) type Ended = Mutex<Option<ChangeKind>>;

impl<E: Env> Topology<E> {
    /// Comes into the ring. A change that waits for the node whose place this one takes is ended first. `ended` is
    /// to be the same in every attempt.
    pub(super) async fn come_in(self: &Arc<Self>, ended: &Ended) -> Result<(), ChangeError> {
        if let Some(name) = &self.config.replace {
            self.end_for_successor(name, ended).await?;
        }
        self.change(&|state| self.arrival(state, ended.lock().as_ref()))
            .await
    }

    /// What this node's coming makes of the ring.
    fn arrival(&self, state: &RingState, ended: Option<&ChangeKind>) -> Result<ChangeKind, ChangeError> {
        if state.serves(self.me) {
            return Err(ChangeError::Nothing);
        }
        let dead = match &self.config.replace {
            Some(name) => self.predecessor(state, name, ended)?,
            None => None,
        };
        let members = state.members();
        let place = members.iter().find(|member| Some(member.id) == dead);
        let tokens = match place {
            Some(place) => place.tokens.clone(),
            None => choose_tokens(&members, &self.config, &mut || self.env.random()),
        };
        let member = Member {
            id: self.me,
            datacenter: self.config.datacenter.clone(),
            rack: self.config.rack.clone(),
            tokens,
        };
        let address = self.config.listen;
        Ok(match dead {
            Some(dead) => ChangeKind::Replace {
                dead,
                member,
                address,
            },
            None => ChangeKind::Join { member, address },
        })
    }

    /// Whose place this node takes: a member's, or that of one that did not come in because its change was ended; nobody's
    /// if the one that is meant has left by the change that was ended.
    fn predecessor(
        &self,
        state: &RingState,
        name: &str,
        ended: Option<&ChangeKind>,
    ) -> Result<Option<NodeId>, ChangeError> {
        match (self.find(state, name), ended) {
            (Ok(dead), _) => Ok(Some(dead)),
            // It was to take this one's place, and did not come in.
            (Err(_), Some(ChangeKind::Replace { dead, .. })) if state.serves(*dead) => Ok(Some(*dead)),
            (Err(_), Some(kind)) => Ok(kind.incoming().map(|(member, _)| member.id)),
            (Err(ChangeError::Refused(reason)), None) => Err(ChangeError::Refused(format!(
                "{reason}; if it was removed meanwhile, start this node without --replace"
            ))),
            (Err(error), None) => Err(error),
        }
    }

    /// Has the change ended that waits for the node of this name, if there is one.
    async fn end_for_successor(&self, name: &str, ended: &Ended) -> Result<(), ChangeError> {
        let state = self.book.load();
        let (Ok(dead), Some(change)) = (self.find(&state, name), state.change()) else {
            return Ok(());
        };
        if !state.awaits(dead) && !change.lost.contains(&dead) {
            return Ok(());
        }
        let kind = &change.kind;
        if kind.outgoing().contains(&dead) || kind.incoming().is_some_and(|(member, _)| member.id == dead) {
            *ended.lock() = Some(kind.clone());
        }
        for peer in self.who_may_end(&state, change, dead) {
            let Ok(answer) = self.ask(&peer, TopologyRequest::End(dead), END).await else {
                continue;
            };
            return match answer {
                TopologyResponse::Done => {
                    // What fails is heard of later.
                    self.pull(&peer).await;
                    Ok(())
                }
                TopologyResponse::NotYet(reason) => Err(ChangeError::NotYet(reason)),
                TopologyResponse::Refused(reason) => Err(ChangeError::Refused(reason)),
                _ => Err(ChangeError::NotYet(format!(
                    "the node {} gave an answer that does not fit",
                    peer.address
                ))),
            };
        }
        Err(ChangeError::NotYet(format!(
            "no member answered that could end the change of the ring that waits for the node {dead}"
        )))
    }

    /// The live members that take part in a change. All successors ask the same one first.
    fn who_may_end(&self, state: &RingState, change: &Change, dead: NodeId) -> Vec<Arc<Peer>> {
        let members: Vec<NodeId> = change
            .participants(&state.members())
            .into_iter()
            .filter(|id| *id != dead && state.serves(*id))
            .collect();
        let snapshot = self.views.load();
        let mut peers = snapshot.peers_of(&members);
        peers.retain(|peer| peer.alive);
        peers
    }
}

//! How a new node comes into the ring: with tokens of its own, or in the place of a dead one.
//!
//! The dead one may be what a change waits for. Who is to take its place can't end that change, for it is no member;
//! so it asks one to, with what its operator has said: that this node is dead for good.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_model::{NodeId, Token};
use starling_ring::Member;

use super::{
    Change, ChangeError, ChangeKind, RingState, Topology, TopologyRequest, TopologyResponse,
    choose_tokens_aside, proposal::moved,
};
use crate::{env::Env, snapshot::Peer};

/// How long a member has to end a change, or to say that it is at it.
const END: Duration = Duration::from_secs(5);

/// What a node keeps in mind from one attempt to come in to the next.
#[derive(Debug, Default)]
pub(super) struct Mind {
    /// The change that brought the dead node in, or took it out, if a member was asked to end it for the sake of this one.
    ended: Mutex<Option<ChangeKind>>,
    chosen: Mutex<Option<Chosen>>,
}

/// Tokens that balance a ring.
#[derive(Debug)]
struct Chosen {
    members: Vec<Member>,
    tokens: Vec<Token>,
}

impl Mind {
    /// The tokens that were chosen for this very ring.
    fn tokens_for(&self, members: &[Member]) -> Option<Vec<Token>> {
        let chosen = self.chosen.lock();
        let same = chosen.as_ref().filter(|chosen| chosen.members == members);
        same.map(|chosen| chosen.tokens.clone())
    }
}

impl<E: Env> Topology<E> {
    /// Comes into the ring. A change that waits for the node whose place this one takes is ended first. `mind` is
    /// to be the same in every attempt.
    pub(super) async fn come_in(self: &Arc<Self>, mind: &Mind) -> Result<(), ChangeError> {
        if let Some(name) = &self.config.replace {
            self.say_whose_place(name, mind);
            self.end_for_successor(name, mind).await?;
            // It may be another's by now.
            self.say_whose_place(name, mind);
        }
        self.choose_ahead(mind).await?;
        self.change(&|state| self.arrival(state, mind)).await
    }

    /// Tells everybody whose place this node waits for: that of the dead one that is meant, or, where that one was to take
    /// another's and its change was ended, that of the other.
    fn say_whose_place(&self, name: &str, mind: &Mind) {
        let dead = self.predecessor(&self.book.load(), name, mind.ended.lock().as_ref());
        if let Ok(Some(dead)) = dead {
            self.membership.say_replaces(dead);
        }
    }

    /// Chooses tokens for the ring as it will be when nothing is under way, once for each: while another change goes on
    /// there is time for it. None are chosen for who takes a member's place.
    async fn choose_ahead(&self, mind: &Mind) -> Result<(), ChangeError> {
        let state = self.book.load();
        if state.serves(self.me) || self.place_taken(&state, mind)?.1.is_some() {
            return Ok(());
        }
        let mut members = state.next_members().unwrap_or_else(|| state.members());
        members.sort_unstable_by_key(|member| member.id);
        if mind.tokens_for(&members).is_none() {
            let tokens = choose_tokens_aside(&self.env, members.clone(), &self.config).await;
            *mind.chosen.lock() = Some(Chosen { members, tokens });
        }
        Ok(())
    }

    /// What this node's coming makes of the ring.
    fn arrival(&self, state: &RingState, mind: &Mind) -> Result<ChangeKind, ChangeError> {
        if state.serves(self.me) {
            return Err(ChangeError::Nothing);
        }
        let (dead, place) = self.place_taken(state, mind)?;
        let tokens = match place {
            Some(tokens) => tokens,
            None => mind.tokens_for(&state.members()).ok_or_else(moved)?,
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

    /// Whom this node comes in for, if for somebody, and that one's tokens if it is a member.
    fn place_taken(
        &self,
        state: &RingState,
        mind: &Mind,
    ) -> Result<(Option<NodeId>, Option<Vec<Token>>), ChangeError> {
        let Some(name) = &self.config.replace else {
            return Ok((None, None));
        };
        let dead = self.predecessor(state, name, mind.ended.lock().as_ref())?;
        let place = state.members().into_iter().find(|member| Some(member.id) == dead);
        Ok((dead, place.map(|member| member.tokens)))
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
    async fn end_for_successor(&self, name: &str, mind: &Mind) -> Result<(), ChangeError> {
        let state = self.book.load();
        let (Ok(dead), Some(change)) = (self.find(&state, name), state.change()) else {
            return Ok(());
        };
        if !state.awaits(dead) && !change.goes_on_without(dead) {
            return Ok(());
        }
        let kind = &change.kind;
        if kind.outgoing().contains(&dead) || kind.incoming().is_some_and(|(member, _)| member.id == dead) {
            *mind.ended.lock() = Some(kind.clone());
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

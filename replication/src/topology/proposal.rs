//! How a change begins: with the promise of every member.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use starling_model::NodeId;

use super::{
    Change, ChangeError, ChangeKind, Phase, RingState, Topology, TopologyRequest, TopologyResponse, grants,
    service::ASK,
};
use crate::{env::Env, identity::uuid_v4, snapshot::Peer};

/// How long a promise may take: what a node has left of an earlier time goes first.
const GRANT: Duration = Duration::from_secs(10);

/// How often all are asked, at most.
const ROUNDS: usize = 3;

/// Computes a change from the present ring; called again if the ring turns out to be another one.
pub(super) type Make<'a> = dyn Fn(&RingState) -> Result<ChangeKind, ChangeError> + Send + Sync + 'a;

impl<E: Env> Topology<E> {
    /// Begins a change: every member has promised to take no other one, and the first phase is durable here.
    /// Nothing changed after an error.
    pub(super) async fn propose(&self, make: &Make<'_>) -> Result<Change, ChangeError> {
        self.store().await.map_err(ChangeError::Disk)?;
        let state = self.book.load();
        if let Some(change) = state.change() {
            return Err(ChangeError::Busy {
                what: change.kind.to_string(),
                since: change.since,
            });
        }
        let kind = make(&state)?;
        let change = Change {
            id: uuid_v4(self.env.random(), self.env.random()),
            lost: self.lost_before(&state, &kind),
            kind,
            coordinator: self.me,
            since: self.clock.tick(self.env.wall()),
            phase: Phase::Pending,
        };
        self.check_heirs(&change)?;
        let participants = self.participants(&state, &change, None)?;
        let mut asked = 0;
        if let Err(error) = self
            .ask_for_grants(&participants, &change, &state, &mut asked)
            .await
        {
            self.release(&participants[..asked], change.id).await;
            return Err(error);
        }
        let begun = state.with_change(&change, Phase::Pending);
        if let Err(problem) = self.learn(&begun).await {
            // It is tried again before anybody is told.
            ::tracing::error!(problem, "a change of the ring can't be stored");
        }
        ::tracing::info!(what = %change.kind, "a change of the ring begins");
        Ok(change)
    }

    /// Everybody who has to take part in a change, in the order of their ids; `excused` is left out. Fails if one of
    /// them is down.
    pub(super) fn participants(
        &self,
        state: &RingState,
        change: &Change,
        excused: Option<NodeId>,
    ) -> Result<Vec<Arc<Peer>>, ChangeError> {
        let snapshot = self.views.load();
        let ids = change.participants(&state.members()).into_iter();
        ids.filter(|id| Some(*id) != excused)
            .map(|id| match snapshot.cluster.peers.get(&id) {
                Some(peer) if peer.alive => Ok(Arc::clone(peer)),
                Some(peer) => Err(ChangeError::Down {
                    id,
                    address: peer.address,
                }),
                None => Err(moved()),
            })
            .collect()
    }

    /// Asks all for their promises, in their order; `asked` tells how many it got to. When it succeeds all promises hold, and the ring is
    /// the same.
    async fn ask_for_grants(
        &self,
        participants: &[Arc<Peer>],
        change: &Change,
        state: &RingState,
        asked: &mut usize,
    ) -> Result<(), ChangeError> {
        for _ in 0..ROUNDS {
            let began = self.env.monotonic();
            for (at, peer) in participants.iter().enumerate() {
                *asked = (*asked).max(at + 1);
                self.ask_for_grant(peer, change, state).await?;
            }
            if self.book.load().epoch() != state.epoch() {
                return Err(moved());
            }
            // Or the first may have run out while the last got ready. Who is asked once more is ready.
            if self.env.monotonic().saturating_sub(began) < grants::HELD {
                return Ok(());
            }
        }
        Err(ChangeError::NotYet(
            "the members took too long to answer".to_owned(),
        ))
    }

    async fn ask_for_grant(
        &self,
        peer: &Peer,
        change: &Change,
        state: &RingState,
    ) -> Result<(), ChangeError> {
        let answer = if peer.id == self.me {
            self.grant_ready(change, state).await
        } else {
            let request = TopologyRequest::Grant {
                change: Box::new(change.clone()),
                state: state.encode(),
            };
            self.ask(peer, request, GRANT).await.map_err(|error| {
                ChangeError::NotYet(format!("the node {} did not answer ({error})", peer.address))
            })?
        };
        match answer {
            TopologyResponse::Granted => Ok(()),
            TopologyResponse::Busy { what, since } => Err(ChangeError::Busy { what, since }),
            TopologyResponse::NotYet(reason) => Err(ChangeError::NotYet(reason)),
            TopologyResponse::Refused(reason) => Err(ChangeError::Refused(reason)),
            TopologyResponse::State(theirs) => {
                if let Ok(theirs) = RingState::decode(&theirs) {
                    self.learn(&theirs).await.map_err(ChangeError::Disk)?;
                }
                Err(moved())
            }
            _ => Err(ChangeError::NotYet(format!(
                "the node {} gave an answer that does not fit",
                peer.address
            ))),
        }
    }

    /// Takes promises back. One that is not reached forgets its promise after a while.
    async fn release(&self, asked: &[Arc<Peer>], id: u128) {
        let others = asked.iter().filter(|peer| peer.id != self.me);
        let asks = others.map(|peer| self.ask(peer, TopologyRequest::Release(id), ASK));
        join_all(asks).await;
        self.grants.lock().release(id);
    }
}

pub(super) fn moved() -> ChangeError {
    ChangeError::NotYet("the ring has just become another one".to_owned())
}

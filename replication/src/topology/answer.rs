//! What a member answers to those who change the ring.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use starling_model::NodeId;

use super::{Change, RingState, Topology, TopologyRequest, TopologyResponse, service::malformed};
use crate::{deadline::Deadline, env::Env, message::Failure};

impl<E: Env> Topology<E> {
    /// Answers a request about the ring.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        sender: NodeId,
        request: TopologyRequest,
        deadline: Deadline,
    ) -> Result<TopologyResponse, Failure> {
        match request {
            TopologyRequest::Pull => Ok(TopologyResponse::State(self.book.load().encode())),
            TopologyRequest::Grant { change, state } => {
                self.learn_encoded(sender, &state).await?;
                let state = RingState::decode(&state).map_err(malformed)?;
                Ok(self.grant_ready(&change, &state).await)
            }
            TopologyRequest::Release(id) => {
                self.grants.lock().release(id);
                Ok(TopologyResponse::Done)
            }
            TopologyRequest::Push(state) => {
                self.learn_encoded(sender, &state).await?;
                let drained = deadline.within(&self.env, self.views.drained(&self.env)).await;
                drained.ok_or(Failure::Late)?;
                let ready = deadline.within(&self.env, self.ready_for_change()).await;
                ready.ok_or(Failure::Late)?.map_err(Failure::Storage)?;
                Ok(TopologyResponse::State(self.book.load().encode()))
            }
            TopologyRequest::Fetch(id) => Ok(self.fetch_answer(id, deadline).await),
            TopologyRequest::Abort(id) => Ok(self.take_abort(id)),
            TopologyRequest::Lost(nodes) => Ok(self.living(&nodes).unwrap_or(TopologyResponse::Granted)),
            TopologyRequest::End(dead) => Ok(self.end_answer(dead, deadline).await),
        }
    }

    async fn learn_encoded(&self, sender: NodeId, state: &Bytes) -> Result<(), Failure> {
        if !self.book.load().hears(sender) {
            return Err(Failure::NotServing);
        }
        let state = RingState::decode(state).map_err(malformed)?;
        self.learn(&state).await.map_err(Failure::Storage)
    }

    /// What is being forgotten must not meet writes of the change.
    pub(super) async fn ready_for_change(&self) -> Result<(), String> {
        match self.streaming() {
            Some(streaming) => streaming.ready_for(self.book.load().change()).await,
            None => Err("a node is stopping".to_owned()),
        }
    }

    /// [`grant`](Self::grant), once this node has nothing of what it would gain.
    pub(super) async fn grant_ready(&self, change: &Change, made_on: &RingState) -> TopologyResponse {
        let answer = self.grant(change, made_on);
        if answer != TopologyResponse::Granted || self.grants.lock().is_ready(change.id) {
            return answer;
        }
        let ready = match self.streaming() {
            Some(streaming) => streaming.prepare(change).await,
            None => Err("a node is stopping".to_owned()),
        };
        match ready {
            Ok(()) => {
                self.grants.lock().ready(change.id);
                answer
            }
            Err(reason) => {
                self.grants.lock().release(change.id);
                TopologyResponse::NotYet(reason)
            }
        }
    }

    /// Whether the change may begin as far as this member is concerned; promises then to take no other.
    pub(super) fn grant(&self, change: &Change, made_on: &RingState) -> TopologyResponse {
        let state = self.book.load();
        if let Some(other) = state.change() {
            return busy(other);
        }
        if state.epoch() != made_on.epoch() {
            return TopologyResponse::State(state.encode());
        }
        let snapshot = self.views.load();
        // What is forgotten before the change goes by what requests see, which follows the state a moment later.
        if snapshot.cluster.stamp != state.stamp() {
            return TopologyResponse::NotYet("the ring has just become another one".to_owned());
        }
        let alive = |id| snapshot.cluster.peers.get(&id).is_some_and(|peer| peer.alive);
        if let Some((member, _)) = change.kind.incoming()
            && !alive(member.id)
        {
            return TopologyResponse::NotYet("a member has not heard of the new node yet".to_owned());
        }
        if let Some(refused) = self.living(&change.dead()) {
            return refused;
        }
        match self
            .grants
            .lock()
            .take(change, state.epoch(), self.env.monotonic())
        {
            Ok(()) => TopologyResponse::Granted,
            Err(other) => busy(&other),
        }
    }

    /// The refusal, if one of these nodes is alive as far as this one knows.
    pub(super) fn living(&self, nodes: &BTreeSet<NodeId>) -> Option<TopologyResponse> {
        let snapshot = self.views.load();
        let alive = |id| snapshot.cluster.peers.get(id).is_some_and(|peer| peer.alive);
        let living = nodes.iter().find(|id| alive(*id))?;
        Some(TopologyResponse::Refused(format!(
            "node {living} is alive, and only a dead node is removed or replaced; to take it out of the ring run \
             `starling decommission` on it"
        )))
    }

    fn take_abort(self: &Arc<Self>, id: u128) -> TopologyResponse {
        match self.book.load().change() {
            Some(change) if change.id == id && change.coordinator == self.me => {
                self.unwanted.lock().insert(id);
                TopologyResponse::Done
            }
            _ => TopologyResponse::NotYet("this node does not carry the change through".to_owned()),
        }
    }
}

fn busy(change: &Change) -> TopologyResponse {
    TopologyResponse::Busy {
        what: change.kind.to_string(),
        since: change.since,
    }
}

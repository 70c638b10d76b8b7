//! From gossip's states to the ring.

use std::{collections::BTreeMap, sync::Arc};

use starling_gossip::{Event, Member, StateKey, status};
use starling_model::{NodeId, Timestamp};

use super::{JOINED_AT, Known, Membership, known, parse_timestamp, parse_tokens, parse_uuid};
use crate::{
    env::Env,
    events::ClusterEvent,
    schema_agreement::oldest_user_table,
    snapshot::{Cluster, Peer},
    start_error::StartError,
};

impl<E: Env> Membership<E> {
    /// Looks at what gossip knows, makes the next snapshot if something changed, and tells the listeners.
    pub(crate) fn observe(&self) {
        let mut known = self.observing.lock();
        let events = self.gossip.lock().take_events();
        report_refusals(&events);
        let last = Arc::clone(&self.views.load().cluster);
        let peers = self.peers(&known, &last);
        if peers.len() == last.peers.len() && peers.iter().all(|peer| same(peer, last.peers.get(&peer.id))) {
            return;
        }
        let next = Cluster::new(self.config.partitioner, self.me, peers);
        let members = known::members_of(&next);
        if !members.iter().eq(known.values()) {
            self.file.want(members.clone());
            self.store_members();
            *known = members.into_iter().map(|member| (member.id, member)).collect();
        }
        let changes = changes(&last, &next);
        self.views.set_cluster(next);
        if !changes.is_empty() {
            self.hurry();
        }
        for change in &changes {
            ::tracing::info!(?change, "the cluster changed");
            self.listeners.tell(change);
        }
    }

    /// Everybody, in the state that the next snapshot shows.
    fn peers(&self, known: &BTreeMap<NodeId, Known>, last: &Cluster) -> Vec<Peer> {
        let oldest_table = oldest_user_table(&self.views.load().schema);
        let gossip = self.gossip.lock();
        let mut peers: BTreeMap<NodeId, Peer> =
            known.iter().map(|(id, member)| (*id, member.as_peer())).collect();
        for member in gossip.members() {
            let mut peer = peer_of(member, member.id == self.me);
            if peer.joined && !self.may_be_in_ring(member, known, oldest_table) {
                peer.joined = false;
            }
            match peers.get(&member.id) {
                // Gossip heard of it and not of its tokens yet.
                Some(before) if peer.tokens.is_empty() && !has_left(member) => {
                    peer = Peer {
                        alive: peer.alive,
                        address: peer.address,
                        ..before.clone()
                    };
                }
                _ => {}
            }
            if has_left(member) {
                peers.remove(&member.id);
            } else {
                peers.insert(member.id, peer);
            }
        }
        drop(gossip);
        peers
            .into_values()
            .map(|mut peer| {
                if let Some(before) = last.peers.get(&peer.id) {
                    peer.latency = Arc::clone(&before.latency);
                    peer.calls = before.calls.clone();
                }
                peer
            })
            .collect()
    }

    /// Rule 2 of the ring.
    fn may_be_in_ring(
        &self,
        member: &Member,
        known: &BTreeMap<NodeId, Known>,
        oldest_table: Option<Timestamp>,
    ) -> bool {
        if known.contains_key(&member.id) {
            return true;
        }
        let Some(oldest_table) = oldest_table else {
            return true;
        };
        let joined = member.get(JOINED_AT).and_then(parse_timestamp);
        if joined.is_some_and(|joined| joined < oldest_table) {
            return true;
        }
        if member.id == self.me {
            let mut failure = self.failure.lock();
            if failure.is_none() {
                ::tracing::error!("{}", StartError::HasTables);
                *failure = Some(StartError::HasTables);
            }
        }
        false
    }

    /// The live members whose schema is another one.
    pub(crate) fn disagreeing(&self) -> Vec<Arc<Peer>> {
        let snapshot = self.views.load();
        let version = snapshot.schema.version();
        snapshot
            .cluster
            .live_others()
            .filter(|peer| peer.schema_version.is_some_and(|theirs| theirs != version))
            .cloned()
            .collect()
    }
}

fn report_refusals(events: &[Event]) {
    for event in events {
        match event {
            Event::Refused { from, reason } => {
                ::tracing::warn!(%from, %reason, "a gossip message was refused");
            }
            Event::RefusedBy { from, reason } => {
                ::tracing::error!(%from, %reason, "a node refuses to gossip with this one");
            }
            _ => {}
        }
    }
}

fn has_left(member: &Member) -> bool {
    member.is_departed()
}

fn peer_of(member: &Member, is_me: bool) -> Peer {
    let text = |key| member.get(key).map(str::to_owned);
    let tokens = member.get(StateKey::Tokens).map(parse_tokens).unwrap_or_default();
    let entered = !matches!(
        member.get(StateKey::Status),
        None | Some(status::JOINING | status::LEFT | status::REMOVED | status::REPLACING)
    );
    let (latency, calls) = Peer::fresh_state();
    Peer {
        id: member.id,
        address: member.address,
        cql: member
            .get(StateKey::CqlAddress)
            .and_then(|text| text.parse().ok()),
        datacenter: text(StateKey::Datacenter).unwrap_or_default(),
        rack: text(StateKey::Rack).unwrap_or_default(),
        joined: entered && !tokens.is_empty(),
        tokens,
        alive: is_me || member.alive,
        schema_version: member.get(StateKey::SchemaVersion).and_then(parse_uuid),
        release: text(StateKey::Release),
        latency,
        calls,
    }
}

/// Whether a snapshot shows the peer as it was.
fn same(peer: &Peer, before: Option<&Arc<Peer>>) -> bool {
    before.is_some_and(|before| {
        peer.address == before.address
            && peer.cql == before.cql
            && peer.datacenter == before.datacenter
            && peer.rack == before.rack
            && peer.tokens == before.tokens
            && peer.alive == before.alive
            && peer.joined == before.joined
            && peer.schema_version == before.schema_version
            && peer.release == before.release
    })
}

/// What listeners hear of: other members of the ring that came, went, or changed their state.
fn changes(last: &Cluster, next: &Cluster) -> Vec<ClusterEvent> {
    let mut changes = Vec::new();
    let in_ring = |cluster: &Cluster, id: &NodeId| cluster.peers.get(id).filter(|peer| peer.joined).cloned();
    for peer in next.joined().filter(|peer| peer.id != next.me) {
        let Some(address) = peer.cql else { continue };
        let before = in_ring(last, &peer.id).filter(|before| before.cql.is_some());
        if before.is_none() {
            changes.push(ClusterEvent::NewNode(address));
        }
        let was_alive = before.is_some_and(|before| before.alive);
        if peer.alive && !was_alive {
            changes.push(ClusterEvent::NodeUp(address));
        } else if !peer.alive && was_alive {
            changes.push(ClusterEvent::NodeDown(address));
        }
    }
    for peer in last.joined() {
        if in_ring(next, &peer.id).is_none()
            && let Some(address) = peer.cql
        {
            changes.push(ClusterEvent::RemovedNode(address));
        }
    }
    changes
}

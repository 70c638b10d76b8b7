//! From gossip's states to the ring.

use std::{collections::BTreeMap, sync::Arc};

use starling_cql::schema::Schema;
use starling_gossip::{Event, Member, StateKey};
use starling_model::NodeId;

use super::{Known, Membership, known, parse_stamp, parse_uuid};
use crate::{
    env::Env,
    events::ClusterEvent,
    schema_agreement::oldest_user_table,
    snapshot::{Cluster, Peer},
    start_error::StartError,
    topology::{Place, RingState},
};

/// What was made of gossip's states so far.
pub(super) struct Observing {
    /// The members that a restart would begin with.
    known: BTreeMap<NodeId, Known>,
    seen: Option<Seen>,
}

/// What a look depends on. Most messages bring heartbeats alone, and leave it as it is.
struct Seen {
    gossip: u64,
    ring: Arc<RingState>,
    schema: Arc<Schema>,
}

impl Observing {
    /// Begins with the members that were known before the restart.
    pub(super) fn new(known: Vec<Known>) -> Self {
        Self {
            known: known.into_iter().map(|member| (member.id, member)).collect(),
            seen: None,
        }
    }

    /// Whether it is what was seen last; from then on it is.
    fn see(&mut self, now: Seen) -> bool {
        let same = |last: &Seen| {
            last.gossip == now.gossip
                && Arc::ptr_eq(&last.ring, &now.ring)
                && Arc::ptr_eq(&last.schema, &now.schema)
        };
        let saw = self.seen.as_ref().is_some_and(same);
        self.seen = Some(now);
        saw
    }
}

impl<E: Env> Membership<E> {
    /// Looks at what gossip knows, makes the next snapshot if something changed, and tells the listeners.
    pub(crate) fn observe(&self) {
        let mut observing = self.observing.lock();
        let (events, gossip) = {
            let mut gossip = self.gossip.lock();
            (gossip.take_events(), gossip.changes())
        };
        report_refusals(&events);
        if events.contains(&Event::Expelled) {
            self.fail(StartError::Expelled);
        }
        let snapshot = self.views.load();
        let state = self.book.load();
        let now = Seen {
            gossip,
            ring: Arc::clone(&state),
            schema: Arc::clone(&snapshot.schema),
        };
        if observing.see(now) {
            return;
        }
        let last = Arc::clone(&snapshot.cluster);
        self.check_own_place(&state);
        self.bury(&state);
        let known = &mut observing.known;
        let peers = self.peers(known, &state, &last);
        let same_ring = state.stamp() == last.stamp;
        let same_peers = || peers.iter().all(|peer| same(peer, last.peers.get(&peer.id)));
        if same_ring && peers.len() == last.peers.len() && same_peers() {
            return;
        }
        let next = Cluster::new(self.config.partitioner, self.me, peers, &state);
        let members = known::members_of(&next);
        if !members.iter().eq(known.values()) {
            self.file.want(members.clone());
            self.store_members();
            *known = members.into_iter().map(|member| (member.id, member)).collect();
        }
        let changes = changes(&last, &next);
        let altered = self.views.set_cluster(next);
        if !altered.is_empty() {
            self.say_schema();
        }
        if !changes.is_empty() {
            self.hurry();
        }
        for change in &changes {
            ::tracing::info!(?change, "the cluster changed");
            self.listeners.tell(change);
        }
        for change in altered {
            self.listeners.tell(&ClusterEvent::Schema(change));
        }
    }

    /// Everybody, in the state that the next snapshot shows.
    fn peers(&self, known: &BTreeMap<NodeId, Known>, state: &RingState, last: &Cluster) -> Vec<Peer> {
        let mut peers: BTreeMap<NodeId, Peer> = BTreeMap::new();
        let incoming = state.change().and_then(|change| change.kind.incoming());
        let members = state.members();
        for member in members.iter().chain(incoming.map(|(member, _)| member)) {
            // Gossip may not have heard of it yet.
            let peer = match (known.get(&member.id), state.address(member.id)) {
                (Some(known), _) => known.as_peer(),
                (None, Some(address)) => Known::new(member, address).as_peer(),
                (None, None) => continue,
            };
            peers.insert(member.id, peer);
        }
        let gossip = self.gossip.lock();
        for member in gossip.members() {
            let gone = matches!(state.place(member.id), Some(Place::Gone { .. }));
            if !gone || member.id == self.me {
                peers.insert(member.id, peer_of(member, member.id == self.me));
            }
        }
        drop(gossip);
        let incoming = incoming.map(|(member, _)| member.clone());
        for member in members.into_iter().chain(incoming) {
            if let Some(peer) = peers.get_mut(&member.id) {
                peer.joined = state.serves(member.id);
                (peer.datacenter, peer.rack, peer.tokens) = (member.datacenter, member.rack, member.tokens);
            }
        }
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

    /// Finds out whether this node has no place in the cluster: then it says so once.
    fn check_own_place(&self, state: &RingState) {
        let oldest_table = oldest_user_table(&self.views.load().schema);
        let reason = match (state.refused_since(self.me), state.place(self.me)) {
            (Some(at), _) => StartError::Removed(at),
            (
                None,
                Some(Place::Serving {
                    founded: Some(at), ..
                }),
            ) if oldest_table.is_some_and(|table| *at >= table) => StartError::SecondCluster,
            _ => return,
        };
        self.fail(reason);
    }

    fn fail(&self, reason: StartError) {
        let mut failure = self.failure.lock();
        if failure.is_none() {
            ::tracing::error!("{reason}");
            *failure = Some(reason);
        }
    }

    /// Who was taken out of the ring is taken out of gossip too: it is refused from then on, and forgotten once all
    /// have had the time to hear of it.
    fn bury(&self, state: &RingState) {
        let now = self.env.monotonic();
        let mut gossip = self.gossip.lock();
        for id in state.removed().filter(|id| *id != self.me) {
            // It may be forgotten already, or alive still: then it hears of it from the ring's state.
            let _ = gossip.remove(id, now);
        }
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

fn peer_of(member: &Member, is_me: bool) -> Peer {
    let text = |key| member.get(key).map(str::to_owned);
    let (latency, calls) = Peer::fresh_state();
    Peer {
        id: member.id,
        address: member.address,
        cql: member
            .get(StateKey::CqlAddress)
            .and_then(|text| text.parse().ok()),
        datacenter: text(StateKey::Datacenter).unwrap_or_default(),
        rack: text(StateKey::Rack).unwrap_or_default(),
        joined: false,
        replaces: member.get(StateKey::Replaces).and_then(parse_uuid).map(NodeId),
        tokens: Vec::new(),
        alive: is_me || member.alive,
        schema_version: member.get(StateKey::SchemaVersion).and_then(parse_uuid),
        ring: member
            .get(StateKey::Epoch)
            .and_then(parse_stamp)
            .unwrap_or_default(),
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
            && peer.replaces == before.replaces
            && peer.schema_version == before.schema_version
            && peer.ring == before.ring
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

//! What requests see of the cluster: an immutable snapshot of members, schema and placements.
//!
//! Whoever learns something new makes the next snapshot; requests load the present one without a lock.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use starling_cql::{
    Error, SchemaChange,
    schema::{Replications, Schema},
};
use starling_model::{NodeId, Token};
use starling_ring::{Placement, Ring};

use crate::{
    env::Env,
    gate::Gate,
    latency::Latency,
    placements::{self, Placements},
    topology::{
        Change, RingState, Stamp,
        fence::{Admission, Passage},
    },
};

/// How often requests on older rings are looked at while they are waited for.
const LOOK: Duration = Duration::from_millis(2);

/// How many calls may be under way to one peer; a write beyond that becomes a hint at once.
const CALLS_PER_PEER: usize = 8192;

/// A node of the cluster, this one included.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    /// Where peers reach it.
    pub(crate) address: SocketAddr,
    /// Where CQL clients reach it.
    pub(crate) cql: Option<SocketAddr>,
    pub(crate) datacenter: String,
    pub(crate) rack: String,
    pub(crate) tokens: Vec<Token>,
    /// Whether it is believed alive.
    pub(crate) alive: bool,
    /// Whether it is in the ring.
    pub(crate) joined: bool,
    /// The dead node whose place it is started to take, as it tells itself.
    pub(crate) replaces: Option<NodeId>,
    /// The schema version that it last told.
    pub(crate) schema_version: Option<u128>,
    /// The ring that it last told.
    pub(crate) ring: Stamp,
    pub(crate) release: Option<String>,
    /// Lives on from snapshot to snapshot.
    pub(crate) latency: Arc<Latency>,
    /// Lives on from snapshot to snapshot.
    pub(crate) calls: Gate,
}

impl Peer {
    /// What lives on from snapshot to snapshot, for a peer that is new.
    pub(crate) fn fresh_state() -> (Arc<Latency>, Gate) {
        (Arc::default(), Gate::new(CALLS_PER_PEER))
    }
}

/// The members.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// This node.
    pub(crate) me: NodeId,
    /// Those who joined.
    pub(crate) ring: Arc<Ring>,
    /// The change of the ring that is under way, and the ring after it.
    pub(crate) change: Option<(Arc<Change>, Arc<Ring>)>,
    /// What altered keyspaces are replicated by.
    pub(crate) replications: Replications,
    /// All that are known, by id.
    pub(crate) peers: BTreeMap<NodeId, Arc<Peer>>,
    /// What peers compare, for messages.
    pub(crate) stamp: Stamp,
    /// Whether this node is in the ring, or was.
    pub(crate) has_place: bool,
    /// The requests that were let in on this ring; lives on while the ring is the same.
    passage: Arc<Passage>,
}

impl Cluster {
    /// A cluster of these peers, with this ring.
    pub(crate) fn new(
        partitioner: starling_ring::Partitioner,
        me: NodeId,
        peers: Vec<Peer>,
        state: &RingState,
    ) -> Self {
        let change = state.change().zip(state.next_members());
        Self {
            me,
            ring: Arc::new(Ring::new(partitioner, state.members())),
            change: change
                .map(|(change, next)| (Arc::new(change.clone()), Arc::new(Ring::new(partitioner, next)))),
            replications: state.replications().clone(),
            peers: peers.into_iter().map(|peer| (peer.id, Arc::new(peer))).collect(),
            stamp: state.stamp(),
            has_place: state.place(me).is_some(),
            passage: Arc::default(),
        }
    }

    /// The ring after the change that is under way.
    pub(crate) fn next_ring(&self) -> Option<&Arc<Ring>> {
        self.change.as_ref().map(|(_, next)| next)
    }

    /// What altered keyspaces are replicated by after the change that is under way.
    pub(crate) fn next_replications(&self) -> Option<Replications> {
        let (change, _) = self.change.as_ref()?;
        Some(change.kind.next_replications(&self.replications))
    }

    /// This node's own entry.
    pub(crate) fn own(&self) -> Option<&Arc<Peer>> {
        self.peers.get(&self.me)
    }

    /// The members of the ring, this node included.
    pub(crate) fn joined(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.peers.values().filter(|peer| peer.joined)
    }

    /// The members that are alive, without this node.
    pub(crate) fn live_others(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.peers
            .values()
            .filter(|peer| peer.joined && peer.alive && peer.id != self.me)
    }
}

/// All that a request needs to know.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) schema: Arc<Schema>,
    /// By keyspace.
    placements: BTreeMap<String, Placements>,
}

impl Snapshot {
    /// Where a keyspace's data is: all of it, also while the ring changes.
    pub(crate) fn placement(&self, keyspace: &str) -> Result<&Arc<Placement>, Error> {
        self.placements(keyspace).map(|placements| &placements.current)
    }

    /// Where a keyspace's data is, and where it will be.
    pub(crate) fn placements(&self, keyspace: &str) -> Result<&Placements, Error> {
        self.placements
            .get(keyspace)
            .ok_or_else(|| Error::invalid(format!("keyspace '{keyspace}' does not exist")))
    }

    /// The peers with these ids, in the same order.
    pub(crate) fn peers_of(&self, ids: &[NodeId]) -> Vec<Arc<Peer>> {
        ids.iter()
            .filter_map(|id| self.cluster.peers.get(id).cloned())
            .collect()
    }

    /// Keyspaces are shown with what the ring's state says that they are replicated by, whatever their entries say. Says what
    /// became different for users by that.
    fn build(
        cluster: Arc<Cluster>,
        mut schema: Arc<Schema>,
        last: Option<&Self>,
    ) -> (Self, Vec<SchemaChange>) {
        let mut changes = Vec::new();
        if *schema.replications() != cluster.replications {
            changes = Arc::make_mut(&mut schema).replicate_by(&cluster.replications);
        }
        let last = last.map(|last| (&*last.cluster, &last.placements));
        let placements = placements::of_all(&cluster, &schema, last);
        let snapshot = Self {
            cluster,
            schema,
            placements,
        };
        (snapshot, changes)
    }
}

/// The present snapshot.
pub(crate) struct Views {
    current: ArcSwap<Snapshot>,
    /// Held while the next one is made.
    making: Mutex<()>,
    /// Of older rings: until their last requests are through.
    draining: Mutex<Vec<Arc<Passage>>>,
}

impl Views {
    pub(crate) fn new(cluster: Cluster, schema: Schema) -> Self {
        Self {
            current: ArcSwap::from_pointee(Snapshot::build(Arc::new(cluster), Arc::new(schema), None).0),
            making: Mutex::new(()),
            draining: Mutex::default(),
        }
    }

    /// The present snapshot, to look at: who keeps it for long makes it an [`Arc`] of its own.
    pub(crate) fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Replaces the members. Says what became different for users in the schema.
    pub(crate) fn set_cluster(&self, mut cluster: Cluster) -> Vec<SchemaChange> {
        let _making = self.making.lock();
        let last = self.load();
        let same_ring = last.cluster.stamp.digest == cluster.stamp.digest;
        if same_ring {
            cluster.passage = Arc::clone(&last.cluster.passage);
        } else {
            self.draining.lock().push(Arc::clone(&last.cluster.passage));
        }
        let (next, changes) = Snapshot::build(Arc::new(cluster), Arc::clone(&last.schema), Some(&last));
        self.current.store(Arc::new(next));
        changes
    }

    /// Lets a client's request in that was planned on this ring, or says that it is an old one, or one yet unknown.
    pub(crate) fn admit(&self, planned: Stamp) -> Admission {
        loop {
            let snapshot = self.load();
            let ours = snapshot.cluster.stamp;
            if planned.digest != ours.digest {
                let epoch = ours.epoch;
                return if planned.epoch > epoch {
                    Admission::Unknown { epoch }
                } else {
                    Admission::Old { epoch }
                };
            }
            let pass = snapshot.cluster.passage.enter();
            // Whoever drains looks after the new ring is in its place: it sees this pass, or this sees the new ring.
            if self.load().cluster.stamp.digest == ours.digest {
                return Admission::In(pass);
            }
        }
    }

    /// Ends when no request is under way any more that was let in on an older ring.
    pub(crate) async fn drained<E: Env>(&self, env: &E) {
        loop {
            let busy = {
                let mut draining = self.draining.lock();
                draining.retain(|passage| passage.inside() > 0);
                !draining.is_empty()
            };
            if !busy {
                return;
            }
            env.sleep(LOOK).await;
        }
    }

    /// Replaces the schema.
    pub(crate) fn set_schema(&self, schema: Schema) {
        let _making = self.making.lock();
        let last = self.load();
        // It may have been made from one before a keyspace was altered; of that users heard then.
        let (next, _) = Snapshot::build(Arc::clone(&last.cluster), Arc::new(schema), Some(&last));
        self.current.store(Arc::new(next));
    }
}

//! What requests see of the cluster: an immutable snapshot of members, schema and placements.
//!
//! Whoever learns something new makes the next snapshot; requests load the present one without a lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use starling_cql::{Error, schema::Schema};
use starling_model::{NodeId, Token, TokenRange};
use starling_ring::{Placement, Ring, Strategy};

use crate::{
    env::Env,
    gate::Gate,
    latency::Latency,
    topology::{
        Change, RingState, Stamp,
        fence::{Admission, Passage},
        quorum::ReplicaSets,
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
            peers: peers.into_iter().map(|peer| (peer.id, Arc::new(peer))).collect(),
            stamp: state.stamp(),
            has_place: state.place(me).is_some(),
            passage: Arc::default(),
        }
    }

    /// The ring after the change that is under way.
    fn next_ring(&self) -> Option<&Arc<Ring>> {
        self.change.as_ref().map(|(_, next)| next)
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

/// A strategy's class and its options.
type Options = (String, Vec<(String, String)>);

/// Where a keyspace's data is, and where it will be.
#[derive(Debug, Clone)]
pub(crate) struct Placements {
    pub(crate) current: Arc<Placement>,
    /// While the ring changes.
    pub(crate) next: Option<Arc<Placement>>,
}

impl Placements {
    /// The replicas of a token.
    pub(crate) fn sets(&self, token: Token) -> ReplicaSets {
        let next = self.next.as_ref().map(|next| next.replicas(token));
        ReplicaSets::new(self.current.replicas(token), next)
    }

    /// All arcs in token order, cut where the replicas change now or after the change. None wraps.
    pub(crate) fn ranges(&self) -> Vec<(TokenRange, ReplicaSets)> {
        let current = self.current.ranges();
        let Some(next) = &self.next else {
            return current
                .map(|(range, replicas)| (range, ReplicaSets::new(replicas, None)))
                .collect();
        };
        let ends = current.chain(next.ranges()).map(|(range, _)| range.end);
        let ends: BTreeSet<Token> = ends.collect();
        let mut start = Token::MIN;
        let mut ranges = Vec::with_capacity(ends.len());
        for end in ends {
            ranges.push((TokenRange { start, end }, self.sets(end)));
            start = end;
        }
        ranges
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

    /// Placements for every keyspace; those of the last snapshot are kept where ring and strategy are the same.
    fn build(cluster: Arc<Cluster>, schema: Arc<Schema>, last: Option<&Self>) -> Self {
        let mut by_strategy: BTreeMap<Options, Placements> = BTreeMap::new();
        let mut placements = BTreeMap::new();
        let same_ring = last.is_some_and(|last| {
            last.cluster.ring == cluster.ring && last.cluster.next_ring() == cluster.next_ring()
        });
        for keyspace in schema.keyspaces() {
            let class = keyspace.replication.class.clone();
            let options: Vec<(String, String)> = keyspace
                .replication
                .options
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            let kept = last
                .filter(|last| {
                    same_ring
                        && last
                            .schema
                            .keyspace(&keyspace.name)
                            .is_some_and(|old| old.replication == keyspace.replication)
                })
                .and_then(|last| last.placements.get(&keyspace.name));
            let placed = match (kept, by_strategy.get(&(class.clone(), options.clone()))) {
                (Some(placements), _) | (None, Some(placements)) => placements.clone(),
                (None, None) => {
                    // A keyspace whose options make no sense can't be made; should one come from a
                    // newer node all the same, it has no replicas here and answers Unavailable.
                    let strategy = Strategy::parse(&class, options.clone()).unwrap_or_else(|error| {
                        ::tracing::error!(keyspace = keyspace.name, %error, "unusable replication options");
                        Strategy::Local
                    });
                    Placements {
                        current: Arc::new(cluster.ring.placement(&strategy)),
                        next: cluster
                            .next_ring()
                            .map(|next| Arc::new(next.placement(&strategy))),
                    }
                }
            };
            by_strategy.insert((class, options), placed.clone());
            placements.insert(keyspace.name.clone(), placed);
        }
        Self {
            cluster,
            schema,
            placements,
        }
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
            current: ArcSwap::from_pointee(Snapshot::build(Arc::new(cluster), Arc::new(schema), None)),
            making: Mutex::new(()),
            draining: Mutex::default(),
        }
    }

    /// The present snapshot, to look at: who keeps it for long makes it an [`Arc`] of its own.
    pub(crate) fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Replaces the members.
    pub(crate) fn set_cluster(&self, mut cluster: Cluster) {
        let _making = self.making.lock();
        let last = self.load();
        let same_ring = last.cluster.stamp.digest == cluster.stamp.digest;
        if same_ring {
            cluster.passage = Arc::clone(&last.cluster.passage);
        } else {
            self.draining.lock().push(Arc::clone(&last.cluster.passage));
        }
        let next = Snapshot::build(Arc::new(cluster), Arc::clone(&last.schema), Some(&last));
        self.current.store(Arc::new(next));
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
        let next = Snapshot::build(Arc::clone(&last.cluster), Arc::new(schema), Some(&last));
        self.current.store(Arc::new(next));
    }
}

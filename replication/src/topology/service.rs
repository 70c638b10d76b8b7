//! A node's part in the changes of the ring.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::{channel::oneshot, lock::Mutex as AsyncMutex};
use parking_lot::Mutex;
use starling_model::NodeId;

use super::{
    Book, RingState, TopologyRequest, TopologyResponse, fetch::Fetching, grants::Grants, lost::Ending,
};
use crate::{
    clock::Clock,
    config::Config,
    env::Env,
    membership::Membership,
    message::{Failure, Request, Response},
    peers::{AskError, Peers},
    schema_agreement::{SchemaAgreement, oldest_user_table},
    snapshot::{Peer, Views},
    streaming::Streaming,
    tracing::Tracer,
};

/// How long a peer has for an answer that needs no work.
pub(super) const ASK: Duration = Duration::from_secs(2);

/// How often it is looked whether a ring is known that somebody else knows.
const LOOK: Duration = Duration::from_millis(2);

/// Where data and schema come from.
type Links<E> = (Arc<Streaming<E>>, Arc<SchemaAgreement<E>>);

/// A node's part in the changes of the ring.
pub(crate) struct Topology<E: Env> {
    pub(super) env: E,
    pub(super) config: Config,
    pub(super) me: NodeId,
    pub(super) clock: Arc<Clock>,
    pub(super) views: Arc<Views>,
    pub(super) membership: Arc<Membership<E>>,
    pub(super) peers: Arc<Peers<E>>,
    pub(super) book: Arc<Book>,
    pub(super) grants: Mutex<Grants>,
    /// The epoch that is durable; held while a state is stored.
    stored: Arc<AsyncMutex<u64>>,
    /// Whom the ring is being pulled from.
    pulling: Mutex<BTreeSet<NodeId>>,
    pub(super) fetching: Mutex<Option<Fetching>>,
    /// How the change under way is being ended because successors asked for it.
    pub(super) endings: Mutex<Vec<Ending>>,
    /// Changes that somebody asked to give up.
    pub(super) unwanted: Mutex<BTreeSet<u128>>,
    /// Held by whoever carries a change through on this node.
    pub(super) driving: AsyncMutex<()>,
    /// What the others are asked for data by. Set once, when the node is put together.
    links: OnceLock<Links<E>>,
}

/// The parts that a node's topology works with.
pub(crate) struct Parts<E: Env> {
    pub(crate) env: E,
    pub(crate) config: Config,
    pub(crate) me: NodeId,
    pub(crate) clock: Arc<Clock>,
    pub(crate) views: Arc<Views>,
    pub(crate) membership: Arc<Membership<E>>,
    pub(crate) peers: Arc<Peers<E>>,
    pub(crate) book: Arc<Book>,
}

impl<E: Env> Topology<E> {
    /// The state of `parts.book` is durable already.
    pub(crate) fn new(parts: Parts<E>) -> Self {
        let stored = parts.book.load().epoch();
        Self {
            env: parts.env,
            config: parts.config,
            me: parts.me,
            clock: parts.clock,
            views: parts.views,
            membership: parts.membership,
            peers: parts.peers,
            book: parts.book,
            grants: Mutex::default(),
            stored: Arc::new(AsyncMutex::new(stored)),
            pulling: Mutex::default(),
            fetching: Mutex::default(),
            endings: Mutex::default(),
            unwanted: Mutex::default(),
            driving: AsyncMutex::new(()),
            links: OnceLock::new(),
        }
    }

    /// Where data and schema come from.
    pub(crate) fn link(&self, streaming: &Arc<Streaming<E>>, agreement: &Arc<SchemaAgreement<E>>) {
        let links = (Arc::clone(streaming), Arc::clone(agreement));
        // Nobody links twice.
        let _ = self.links.set(links);
    }

    pub(super) fn streaming(&self) -> Option<&Arc<Streaming<E>>> {
        self.links.get().map(|(streaming, _)| streaming)
    }

    pub(super) fn agreement(&self) -> Option<&Arc<SchemaAgreement<E>>> {
        self.links.get().map(|(_, agreement)| agreement)
    }

    /// Learns what a state knows. Requests see it at once; it is durable when this ends well.
    pub(crate) async fn learn(&self, state: &RingState) -> Result<(), String> {
        let oldest_table = oldest_user_table(&self.views.load().schema);
        let new = self.book.merge(state, oldest_table);
        // Somebody else may have learnt it and not be done: nobody is told before requests see it.
        if new || self.views.load().cluster.stamp != self.book.load().stamp() {
            self.membership.ring_changed();
        }
        self.store().await
    }

    /// Makes the present state durable, to the end even if nobody waits for it any more.
    pub(super) async fn store(&self) -> Result<(), String> {
        let (done, outcome) = oneshot::channel();
        let (env, stored, book) = (self.env.clone(), Arc::clone(&self.stored), Arc::clone(&self.book));
        let counters = Arc::clone(&self.membership.counters);
        self.env.spawn(async move {
            let mut stored = stored.lock().await;
            let state = book.load();
            let mut result = Ok(());
            if *stored != state.epoch() {
                let (fs, saved) = (Arc::clone(env.fs()), Arc::clone(&state));
                result = env
                    .blocking(move || Book::save(&*fs, &saved).map_err(|error| error.to_string()))
                    .await;
                match &result {
                    Ok(()) => *stored = state.epoch(),
                    Err(error) => {
                        counters.store_failures.one();
                        ::tracing::error!(error, "the ring can't be stored; trying again");
                    }
                }
            }
            // Nobody may be left to hear of it.
            let _ = done.send(result);
        });
        outcome
            .await
            .unwrap_or_else(|_| Err("the node is stopping".to_owned()))
    }

    /// Asks a peer for its ring and learns it. False if that can't be done now.
    pub(crate) async fn pull(&self, peer: &Peer) -> bool {
        match self.ask(peer, TopologyRequest::Pull, ASK).await {
            Ok(TopologyResponse::State(state)) => match RingState::decode(&state) {
                Ok(state) if self.book.load().hears(peer.id) => self.learn(&state).await.is_ok(),
                Ok(_) | Err(_) => false,
            },
            Ok(_) | Err(_) => false,
        }
    }

    /// The same beside the caller, if nobody asks this peer already.
    pub(crate) fn pull_from(self: &Arc<Self>, peer: &Arc<Peer>) {
        if !self.pulling.lock().insert(peer.id) {
            return;
        }
        let (topology, peer) = (Arc::clone(self), Arc::clone(peer));
        self.env.spawn(async move {
            topology.pull(&peer).await;
            topology.pulling.lock().remove(&peer.id);
        });
    }

    /// Ends once this node knows a ring of at least this epoch, and a restart would find it. It is asked of `peer`, for as
    /// long as that takes.
    pub(crate) async fn heard_of(self: &Arc<Self>, peer: NodeId, epoch: u64) {
        while self.views.load().cluster.stamp.epoch < epoch || !self.is_stored() {
            if let Some(peer) = self.views.load().cluster.peers.get(&peer) {
                self.pull_from(peer);
            }
            self.env.sleep(LOOK).await;
        }
    }

    /// Pulls from live nodes that know more of the ring, and stores what the disk refused before. Called in every
    /// round of gossip.
    pub(crate) fn catch_up(self: &Arc<Self>) {
        let snapshot = self.views.load();
        let ours = snapshot.cluster.stamp;
        for peer in snapshot.cluster.peers.values() {
            let news = peer.ring.epoch > ours.epoch
                || (peer.ring.epoch == ours.epoch && peer.ring.digest != ours.digest);
            if peer.alive && peer.id != self.me && news {
                self.pull_from(peer);
            }
        }
        // Who is at it stores the present state in the end.
        if self.stored.try_lock().is_some() && !self.is_stored() {
            let topology = Arc::clone(self);
            self.env.spawn(async move {
                // What fails is tried again in the next round.
                let _ = topology.store().await;
            });
        }
    }

    /// Whether a restart would find the ring as it is now.
    pub(crate) fn is_stored(&self) -> bool {
        let stored = self.stored.try_lock();
        stored.is_some_and(|stored| *stored == self.book.load().epoch())
    }

    pub(super) async fn ask(
        &self,
        peer: &Peer,
        request: TopologyRequest,
        timeout: Duration,
    ) -> Result<TopologyResponse, AskError> {
        let request = Request::Topology(request);
        match self.peers.ask(peer, request, timeout, &Tracer::OFF).await? {
            Response::Topology(response) => Ok(response),
            _ => Err(AskError::Confused),
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.membership.is_stopped()
    }
}

/// What a peer is told whose bytes are no ring state.
pub(super) fn malformed(problem: String) -> Failure {
    Failure::Invalid(format!("malformed ring state: {problem}"))
}

//! A node: everything wired together (`start`), and the doors by which the outside comes in.

mod start;

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use starling_cql::{BatchRequest, Error, PreparedMetadata, QueryParameters, QueryResult, Statement, native};
use starling_model::{NodeId, TableId, Token};
use starling_ring::Member;

use crate::{
    anti_entropy::AntiEntropy,
    batch::{BatchLog, KeptBatches},
    clock::Clock,
    clock_floor::{ClockFloor, Now},
    config::Config,
    coordinator::Coordinator,
    deadline::Deadline,
    env::Env,
    events::{Listener, Listeners},
    gate::Gate,
    hints::Hints,
    membership::Membership,
    message::{Failure, PeerRequest, PeerResponse, Response},
    peer_clocks::PeerClocks,
    peers::Peers,
    query::prepared::PreparedStatements,
    replica::Replica,
    schema_agreement::SchemaAgreement,
    snapshot::Views,
    start_error::StartError,
    status::{Counters, NodeStatus},
    streaming::{StreamStatus, Streaming, estimate::Estimate},
    topology::{self, Book, Change, ChangeError, ChangeKind, RingState, Topology},
    tracing::TraceRing,
};

/// How long a node that stops waits for what is under way.
const DRAIN: Duration = Duration::from_secs(3);

/// A node's logic. Cheap to share; every method may be called from any task.
pub struct Node<E: Env> {
    pub(crate) env: E,
    pub(crate) config: Config,
    pub(crate) id: NodeId,
    pub(crate) clock: Arc<Clock>,
    clock_floor: Arc<ClockFloor>,
    pub(crate) peer_clocks: PeerClocks,
    pub(crate) views: Arc<Views>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) membership: Arc<Membership<E>>,
    pub(crate) book: Arc<Book>,
    pub(crate) ring_changes: Arc<Topology<E>>,
    pub(crate) peers: Arc<Peers<E>>,
    pub(crate) agreement: Arc<SchemaAgreement<E>>,
    pub(crate) replica: Arc<Replica<E>>,
    pub(crate) hints: Arc<Hints<E>>,
    pub(crate) coordinator: Arc<Coordinator<E>>,
    pub(crate) anti_entropy: Arc<AntiEntropy<E>>,
    pub(crate) streaming: Arc<Streaming<E>>,
    pub(crate) kept: Arc<KeptBatches<E>>,
    pub(crate) batch_log: Arc<BatchLog<E>>,
    pub(crate) prepared: PreparedStatements,
    pub(crate) traces: TraceRing,
    pub(crate) coordinated: Gate,
    pub(crate) served: Gate,
    pub(crate) hints_served: Gate,
    stopping: AtomicBool,
}

/// What a statement gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// The outcome.
    pub result: QueryResult,
    /// The trace's session id, if a trace was asked for.
    pub trace: Option<u128>,
    /// What the user should know although the statement succeeded.
    pub warnings: Vec<String>,
}

impl<E: Env> Node<E> {
    /// Answers a peer. `from` is where the request came from, for logs only.
    pub fn handle(
        self: &Arc<Self>,
        from: SocketAddr,
        request: PeerRequest,
    ) -> impl Future<Output = PeerResponse> + Send + 'static + use<E> {
        self.handle_queued(from, request, Duration::ZERO)
    }

    /// The same for a request that has `waited` on this node since it arrived, which is taken from its time. What is past
    /// its time is not begun.
    pub fn handle_queued(
        self: &Arc<Self>,
        from: SocketAddr,
        request: PeerRequest,
        waited: Duration,
    ) -> impl Future<Output = PeerResponse> + Send + 'static + use<E> {
        let node = Arc::clone(self);
        // Now, and not when it is first polled: until then it waits too.
        let arrived = self.arrival(waited);
        async move { node.serve(from, request, arrived).await }
    }

    /// The answer to a request that this release does not know: see [`MessageError::Unknown`](crate::message::MessageError::Unknown). Nothing changes.
    pub fn not_understood(&self, problem: String) -> PeerResponse {
        PeerResponse {
            sender: self.id,
            clock: self.clock.latest(self.env.wall()),
            trace: Vec::new(),
            body: Response::Failed(Failure::NotUnderstood(problem)),
        }
    }

    /// The connection to a peer's internode address broke: unless the peer answers on a new one at once it is
    /// taken for dead, so that no request has to find out.
    pub fn connection_lost(&self, address: SocketAddr) {
        let cluster = Arc::clone(&self.views.load().cluster);
        if let Some(peer) = cluster.live_others().find(|peer| peer.address == address) {
            self.membership.suspect(peer.id, peer.address);
        }
    }

    /// Prepares a statement. `keyspace` is that of unqualified names.
    pub fn prepare(&self, query: &str, keyspace: Option<&str>) -> Result<PreparedMetadata, Error> {
        self.check_serving()?;
        self.prepare_statement(query, keyspace)
    }

    /// Carries out a statement. Who drops the future wants no answer any more: a read ends, here and at the peers;
    /// anything else goes on by itself.
    pub async fn execute(
        self: &Arc<Self>,
        statement: Statement,
        parameters: QueryParameters,
        tracing: bool,
    ) -> Result<Executed, Error> {
        self.execute_queued(statement, parameters, tracing, Duration::ZERO)
            .await
    }

    /// The same for a statement that has `waited` on this node since it arrived, which is taken from the time of the first
    /// thing that is done for it. After [`Overloaded`](starling_cql::ErrorKind::Overloaded) nothing was changed: it may have
    /// waited for too long.
    pub async fn execute_queued(
        self: &Arc<Self>,
        statement: Statement,
        parameters: QueryParameters,
        tracing: bool,
        waited: Duration,
    ) -> Result<Executed, Error> {
        let arrived = self.arrival(waited);
        self.execute_statement(statement, parameters, tracing, arrived)
            .await
    }

    /// Carries out a batch, to its end also when the future is dropped.
    pub async fn batch(self: &Arc<Self>, request: BatchRequest, tracing: bool) -> Result<Executed, Error> {
        self.batch_queued(request, tracing, Duration::ZERO).await
    }

    /// The same for a batch that has `waited` on this node, as [`execute_queued`](Self::execute_queued) has it.
    pub async fn batch_queued(
        self: &Arc<Self>,
        request: BatchRequest,
        tracing: bool,
        waited: Duration,
    ) -> Result<Executed, Error> {
        let arrived = self.arrival(waited);
        self.execute_batch(request, tracing, arrived).await
    }

    /// When what has `waited` until now arrived, on the monotonic clock.
    fn arrival(&self, waited: Duration) -> Duration {
        self.env.monotonic().saturating_sub(waited)
    }

    /// The ring, for native clients.
    pub fn topology(&self) -> native::Topology {
        self.native_topology()
    }

    /// Who is in the ring, and the change that is under way.
    pub fn ring_state(&self) -> Arc<RingState> {
        self.book.load()
    }

    /// The change of the ring that is under way.
    pub fn ring_change(&self) -> Option<Change> {
        self.ring_changes.under_way()
    }

    /// The member of the ring with this host id or internode address, other than this node.
    pub fn find_member(&self, name: &str) -> Result<NodeId, ChangeError> {
        self.ring_changes.find(&self.book.load(), name)
    }

    /// Takes this node out of the ring; its data goes to the others. Ends when it is out: it still coordinates then,
    /// and can be stopped. Refused if too few nodes would be left for a keyspace's replicas, unless with `force`.
    pub async fn decommission(&self, force: bool) -> Result<(), ChangeError> {
        self.ring_changes.leave(force).await
    }

    /// Takes dead nodes out of the ring, all at once; their data is fetched from the other replicas. Ends when
    /// it is done. Refused if too few nodes would be left for a keyspace's replicas, unless with `force`.
    pub async fn remove(&self, gone: &[NodeId], force: bool) -> Result<(), ChangeError> {
        self.ring_changes.remove(gone, force).await
    }

    /// Gives up the change of the ring that is under way. Ends when the ring is what it was, or, if all data was there
    /// already, when the change is done.
    pub async fn abort_ring_change(&self) -> Result<(), ChangeError> {
        self.ring_changes.abort().await
    }

    /// Another seed, whose address was not known at the start. It is not asked whether the node may join.
    pub fn add_seed(&self, seed: SocketAddr) {
        self.membership.add_seed(seed);
    }

    /// Calls `listener` for every event from now on. It must not block, nor call the node.
    pub fn subscribe(&self, listener: Listener) {
        self.listeners.add(listener);
    }

    /// What a change of the ring would move, and lead to. Nothing changes.
    pub async fn plan_change(&self, change: &ChangeKind) -> Estimate {
        self.streaming.estimate(change).await
    }

    /// The change of a node that would come in, with tokens as it would get them.
    pub async fn plan_join(&self, datacenter: &str, rack: &str, vnodes: u32) -> ChangeKind {
        let ring = Arc::clone(&self.views.load().cluster.ring);
        let config = Config {
            datacenter: datacenter.to_owned(),
            rack: rack.to_owned(),
            vnodes: vnodes.clamp(1, 256),
            ..self.config.clone()
        };
        let members = ring.members().to_vec();
        let tokens = topology::choose_tokens_aside(&self.env, members, &config).await;
        ChangeKind::Join {
            member: Member {
                id: NodeId(crate::identity::uuid_v4(self.env.random(), self.env.random())),
                tokens,
                datacenter: config.datacenter,
                rack: config.rack,
            },
            address: self.config.listen,
        }
    }

    /// The tokens of a member of the ring; none of any other node.
    pub fn tokens_of(&self, node: NodeId) -> Vec<Token> {
        let ring = Arc::clone(&self.views.load().cluster.ring);
        ring.member(node)
            .map(|member| member.tokens.clone())
            .unwrap_or_default()
    }

    /// What every live node moves, by host id.
    pub async fn stream_statuses(&self) -> Vec<(NodeId, StreamStatus)> {
        self.streaming.statuses().await
    }

    /// Keyspace and name of a table; `None` if there is none with this id.
    pub fn table_name(&self, table: TableId) -> Option<String> {
        let views = self.views.load();
        let table = views.schema.table_by_id(table)?;
        Some(format!("{}.{}", table.keyspace, table.name))
    }

    /// What the node knows and has done.
    pub fn status(&self) -> NodeStatus {
        self.node_status()
    }

    /// Whether the node serves clients: it is in the ring, knows who is alive or has waited for news, and agrees
    /// with the live nodes on the schema.
    pub fn is_ready(&self) -> bool {
        !self.is_stopping()
            && self.failure().is_none()
            && self.book.load().serves(self.id)
            && self.membership.is_settled()
            && self.membership.agrees_on_schema()
    }

    /// Why the node can't be part of the cluster, if it found out after its start. It should be stopped then.
    pub fn failure(&self) -> Option<StartError> {
        self.membership.failure()
    }

    /// Says farewell to the peers, stops the background work and makes what it holds durable. Clients and
    /// peers must be kept out from now on.
    pub async fn shutdown(&self) {
        self.stopping.store(true, Ordering::Release);
        self.anti_entropy.stop();
        self.membership.stop();
        let deadline = Deadline::after(&self.env, DRAIN);
        while self.coordinated.inside() + self.served.inside() > 0 && !deadline.is_over(&self.env) {
            self.env.sleep(Duration::from_millis(5)).await;
        }
        self.hints.sync().await;
        self.store_clock();
    }

    /// Makes durable how new the writes are that this node stamped and took. Blocks.
    fn store_clock(&self) {
        let now = Now::of(&self.env);
        self.clock_floor.store(&**self.env.fs(), &self.clock, now);
    }

    /// The process dies: background work ends without a farewell.
    #[cfg(test)]
    pub(crate) fn halt(&self) {
        self.stopping.store(true, Ordering::Release);
        self.anti_entropy.stop();
        self.membership.halt();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

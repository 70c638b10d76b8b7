//! A node: everything wired together, and the doors by which the outside comes in.

use std::{future::Future, net::SocketAddr, sync::Arc};

use starling_cql::{
    BatchRequest, Error, ErrorKind, PreparedMetadata, QueryParameters, QueryResult, Statement,
    native::Topology,
};

use crate::{
    config::Config,
    env::Env,
    events::Listener,
    message::{Failure, PeerRequest, PeerResponse, Response},
    start_error::StartError,
    status::NodeStatus,
};

/// A node's logic. Cheap to share; every method may be called from any task.
pub struct Node<E: Env> {
    env: E,
    config: Config,
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
    /// Starts the node: reads its identity and schema from disk, asks the seeds whether it may join, and
    /// spawns its background work. Ends when peers and clients may be let in; [`Node::is_ready`] says
    /// when it serves.
    pub async fn start(env: E, config: Config) -> Result<Arc<Self>, StartError> {
        Ok(Arc::new(Self { env, config }))
    }

    /// Answers a peer. `from` is where the request came from, for logs only.
    pub fn handle(
        self: &Arc<Self>,
        from: SocketAddr,
        request: PeerRequest,
    ) -> impl Future<Output = PeerResponse> + Send + 'static + use<E> {
        let node = Arc::clone(self);
        async move {
            let _ = (from, &request);
            PeerResponse {
                sender: request.sender,
                clock: node.env.wall(),
                trace: Vec::new(),
                body: Response::Failed(Failure::NotServing),
            }
        }
    }

    /// Prepares a statement. `keyspace` is that of unqualified names.
    pub fn prepare(&self, query: &str, keyspace: Option<&str>) -> Result<PreparedMetadata, Error> {
        let _ = (query, keyspace);
        Err(Error::new(ErrorKind::Bootstrapping, "the node is starting"))
    }

    /// Carries out a statement.
    pub async fn execute(
        self: &Arc<Self>,
        statement: Statement,
        parameters: QueryParameters,
        tracing: bool,
    ) -> Result<Executed, Error> {
        let _ = (statement, parameters, tracing);
        Err(Error::new(ErrorKind::Bootstrapping, "the node is starting"))
    }

    /// Carries out a batch.
    pub async fn batch(self: &Arc<Self>, request: BatchRequest, tracing: bool) -> Result<Executed, Error> {
        let _ = (request, tracing);
        Err(Error::new(ErrorKind::Bootstrapping, "the node is starting"))
    }

    /// The ring, for native clients.
    pub fn topology(&self) -> Topology {
        Topology {
            cluster: self.config.cluster.clone(),
            partitioner: self.config.partitioner.name().to_owned(),
            nodes: Vec::new(),
            keyspaces: Vec::new(),
        }
    }

    /// Calls `listener` for every event from now on. It must not block.
    pub fn subscribe(&self, listener: Listener) {
        drop(listener);
    }

    /// What the node knows and has done.
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            id: starling_model::NodeId(0),
            cluster: self.config.cluster.clone(),
            partitioner: self.config.partitioner.name().to_owned(),
            release: self.config.release.clone(),
            ready: self.is_ready(),
            schema_version: String::new(),
            schema_agreed: false,
            members: Vec::new(),
            counters: crate::status::CounterValues::default(),
        }
    }

    /// Whether the node serves clients: it is in the ring and agrees with the live nodes on the schema.
    pub fn is_ready(&self) -> bool {
        false
    }

    /// Stops the background work and makes what it holds durable. Clients and peers must be kept out from
    /// now on.
    pub async fn shutdown(&self) {}
}

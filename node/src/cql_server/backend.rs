//! What the listener needs from a node.

use std::{future::Future, sync::Arc, time::Duration};

use starling_cql::{BatchRequest, Error, PreparedMetadata, QueryParameters, Statement};
use starling_replication::{Env, Executed, Listener, Node};

/// A node, as the listener sees it.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Prepares a statement; `keyspace` is that of unqualified names.
    fn prepare(&self, query: &str, keyspace: Option<&str>) -> Result<PreparedMetadata, Error>;

    /// Carries out a statement that has `waited` for its turn since it arrived, which is taken from its time. The future is
    /// dropped when the client has gone: what must not be left half done goes on by itself.
    fn execute(
        &self,
        statement: Statement,
        parameters: QueryParameters,
        tracing: bool,
        waited: Duration,
    ) -> impl Future<Output = Result<Executed, Error>> + Send + 'static;

    /// The same for a batch. The future is dropped when the client has gone; the batch goes on by itself.
    fn batch(
        &self,
        request: BatchRequest,
        tracing: bool,
        waited: Duration,
    ) -> impl Future<Output = Result<Executed, Error>> + Send + 'static;

    /// Has `listener` called for every event from now on.
    fn subscribe(&self, listener: Listener);
}

impl<E: Env> Backend for Arc<Node<E>> {
    fn prepare(&self, query: &str, keyspace: Option<&str>) -> Result<PreparedMetadata, Error> {
        Node::prepare(self, query, keyspace)
    }

    fn execute(
        &self,
        statement: Statement,
        parameters: QueryParameters,
        tracing: bool,
        waited: Duration,
    ) -> impl Future<Output = Result<Executed, Error>> + Send + 'static {
        let node = Self::clone(self);
        async move { Node::execute_queued(&node, statement, parameters, tracing, waited).await }
    }

    fn batch(
        &self,
        request: BatchRequest,
        tracing: bool,
        waited: Duration,
    ) -> impl Future<Output = Result<Executed, Error>> + Send + 'static {
        let node = Self::clone(self);
        async move { Node::batch_queued(&node, request, tracing, waited).await }
    }

    fn subscribe(&self, listener: Listener) {
        Node::subscribe(self, listener);
    }
}

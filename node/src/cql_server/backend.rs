//! What the listener needs from a node.

use std::{future::Future, sync::Arc};

use starling_cql::{BatchRequest, Error, PreparedMetadata, QueryParameters, Statement};
use starling_replication::{Env, Executed, Listener, Node};

/// A node, as the listener sees it.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Prepares a statement; `keyspace` is that of unqualified names.
    fn prepare(&self, query: &str, keyspace: Option<&str>) -> Result<PreparedMetadata, Error>;

    /// Carries out a statement. The future is dropped when the client has gone: what must not be left half done
    /// goes on by itself.
    fn execute(
        &self,
        statement: Statement,
        parameters: QueryParameters,
        tracing: bool,
    ) -> impl Future<Output = Result<Executed, Error>> + Send + 'static;

    /// Carries out a batch. The future is dropped when the client has gone; the batch goes on by itself.
    fn batch(
        &self,
        request: BatchRequest,
        tracing: bool,
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
    ) -> impl Future<Output = Result<Executed, Error>> + Send + 'static {
        let node = Self::clone(self);
        async move { Node::execute(&node, statement, parameters, tracing).await }
    }

    fn batch(
        &self,
        request: BatchRequest,
        tracing: bool,
    ) -> impl Future<Output = Result<Executed, Error>> + Send + 'static {
        let node = Self::clone(self);
        async move { Node::batch(&node, request, tracing).await }
    }

    fn subscribe(&self, listener: Listener) {
        Node::subscribe(self, listener);
    }
}

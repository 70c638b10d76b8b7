//! Serving native clients: MessagePack over QUIC (`starling_cql::native`).
//!
//! Bounds: connections, streams of a connection, requests in flight of a connection (the next ones stay in
//! the stream), and the bytes of large requests and answers, for which there must be room in the node's
//! budget before they are read and encoded.

mod connection;

#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::future::BoxFuture;
use quinn::Connection;
use starling_cql::native::{Event, Topology};
use starling_replication::{Budget, ClusterEvent, Env, Node};
use tokio::sync::broadcast;

use crate::{cql_server::Backend, transport::ClientService};

/// Connections of native clients.
const MAX_CONNECTIONS: usize = 4096;

/// Events that a slow client may be behind before it is told just to ask for everything again.
const QUEUED_EVENTS: usize = 256;

/// What a native client may ask beside statements.
pub trait NativeBackend: Backend {
    /// The ring.
    fn topology(&self) -> Topology;
}

impl<E: Env> NativeBackend for Arc<Node<E>> {
    fn topology(&self) -> Topology {
        Node::topology(self)
    }
}

/// The server side of the native protocol.
pub struct NativeServer<B> {
    shared: Arc<Shared<B>>,
}

struct Shared<B> {
    backend: B,
    release: String,
    budget: Arc<Budget>,
    connections: AtomicUsize,
    events: broadcast::Sender<Event>,
}

impl<B: NativeBackend> NativeServer<B> {
    /// A server over a backend; `release` is what clients are told. Large requests and answers take their
    /// room from `budget`.
    pub fn new(backend: B, release: impl Into<String>, budget: Arc<Budget>) -> Self {
        let (events, _) = broadcast::channel(QUEUED_EVENTS);
        let sender = events.clone();
        backend.subscribe(Box::new(move |event| {
            // Nobody may be connected.
            let _ = sender.send(native(event));
        }));
        let shared = Shared {
            backend,
            release: release.into(),
            budget,
            connections: AtomicUsize::new(0),
            events,
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl<B: NativeBackend> ClientService for NativeServer<B> {
    fn serve(&self, connection: Connection) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            if shared.connections.fetch_add(1, Ordering::Relaxed) < MAX_CONNECTIONS {
                connection::serve(&shared, &connection).await;
            } else {
                connection.close(1u32.into(), b"too many connections");
            }
            shared.connections.fetch_sub(1, Ordering::Relaxed);
        })
    }
}

fn native(event: &ClusterEvent) -> Event {
    match event {
        ClusterEvent::Schema(change) => Event::Schema(change.clone()),
        ClusterEvent::NodeUp(_)
        | ClusterEvent::NodeDown(_)
        | ClusterEvent::NewNode(_)
        | ClusterEvent::RemovedNode(_) => Event::Topology,
    }
}

//! QUIC between nodes, and from native clients: one endpoint on one UDP port.
//!
//! Who connects says by ALPN what it is. A peer (`starling-peer/1`) must show a certificate of the
//! cluster; a client (`starling-client/1`) shows none. Each node connects to the peers that *it* asks
//! things of, so between two nodes there are up to two connections, one for the requests of each.
//!
//! On a peer connection the caller opens a few long-lived streams: bidirectional ones for calls (small
//! requests and bulk apart, so that a scan does not hold up a write), a unidirectional one for
//! casts. On all of them travel frames ([`frame`]), written in batches: what has queued up while the last
//! write was under way goes out together. What is large takes a stream of its own (`large`), which its
//! receiver reads when it has room.
//!
//! Bounds: requests and bytes in flight to a peer, requests served for a peer, frame length, streams,
//! connections, and the time a handshake may take. QUIC's flow control does the rest.

mod endpoint;
pub mod frame;
mod inbound;
mod lane;
mod large;
mod link;
mod pending;
mod probe;
mod served;
mod traffic;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::RwLock;
use starling_replication::{Budget, CallError, budget::Claim, message::Encoded};
use tokio::{sync::SetOnce, time::Instant};

pub use inbound::ClientService;
pub use lane::Lane;
pub use traffic::{Count, Traffic};

use crate::tls::{Credentials, TlsError};
use link::Link;

/// How many peers a node keeps connections to at most. Addresses beyond are not called.
const MAX_PEERS: usize = 4096;

pub use frame::Received;

/// The node's side of peers' requests.
pub trait PeerService: Send + Sync + 'static {
    /// Answers a request that has begun to arrive at `arrived`; it may have waited for its turn since. `None`: it was malformed,
    /// and the connection is to be closed.
    fn handle(
        &self,
        from: SocketAddr,
        request: Bytes,
        arrived: Instant,
    ) -> BoxFuture<'static, Option<Encoded>>;

    /// The connection to a peer broke. Must not block.
    fn lost(&self, peer: SocketAddr);
}

/// Why the endpoint can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The socket.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// On what terms an answer is waited for.
#[derive(Debug, Clone, Copy)]
struct Terms {
    /// When its caller gives up.
    until: Instant,
    /// What a large answer takes its room for.
    claim: Option<Claim>,
}

/// A node's QUIC endpoint. Cheap to clone.
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    endpoint: quinn::Endpoint,
    budget: Arc<Budget>,
    traffic: Arc<Traffic>,
    peer_config: quinn::ClientConfig,
    links: RwLock<HashMap<SocketAddr, Arc<Link>>>,
    peers: SetOnce<Arc<dyn PeerService>>,
    clients: SetOnce<Arc<dyn ClientService>>,
}

impl Transport {
    /// Binds the exact address `listen` (UDP) and begins to accept connections. Requests wait until
    /// [`serve`](Self::serve) says who answers them, and large messages until `budget` has room. Must be
    /// called on a tokio runtime.
    pub fn bind(
        listen: SocketAddr,
        credentials: &Credentials,
        budget: Arc<Budget>,
    ) -> Result<Self, BindError> {
        let endpoint = endpoint::open(listen, credentials)?;
        let peer_config = endpoint::peer_config(credentials)?;
        let inner = Arc::new(Inner {
            endpoint,
            budget,
            traffic: Arc::default(),
            peer_config,
            links: RwLock::default(),
            peers: SetOnce::new(),
            clients: SetOnce::new(),
        });
        tokio::spawn(inbound::accept(Arc::clone(&inner)));
        Ok(Self { inner })
    }

    /// The address that is bound: with the port that the system chose if `listen` had port 0.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.endpoint.local_addr()
    }

    /// What was said and heard since the start.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.inner.traffic
    }

    /// Says who answers requests. Only the first call counts.
    pub fn serve(&self, peers: Arc<dyn PeerService>, clients: Arc<dyn ClientService>) {
        let _ = self.inner.peers.set(peers);
        let _ = self.inner.clients.set(clients);
    }

    /// Sends a request and waits for its answer, at most `timeout`. A large answer takes its room for `claim`,
    /// if there is one.
    pub fn call<R: Into<Encoded>>(
        &self,
        to: SocketAddr,
        lane: Lane,
        request: R,
        claim: Option<Claim>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Received, CallError>> + Send + 'static + use<R> {
        let terms = Terms {
            until: Instant::now() + timeout,
            claim,
        };
        let sent = self
            .link(to)
            .and_then(|link| link.call(lane, request.into(), terms));
        async move {
            let (answer, _registered) = sent?;
            match tokio::time::timeout_at(terms.until, answer).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(CallError::Broken(to)),
                Err(_) => Err(CallError::Timeout(to)),
            }
        }
    }

    /// Sends a message that nobody answers. It is lost if there is no connection or too much is queued;
    /// a missing connection is made for the next one.
    pub fn cast(&self, to: SocketAddr, message: impl Into<Encoded>) {
        if let Ok(link) = self.link(to) {
            link.cast(message.into());
        }
    }

    /// Closes all connections and waits until their peers can have heard of it, at most a moment.
    pub async fn close(&self) {
        self.inner
            .endpoint
            .close(quinn::VarInt::from_u32(endpoint::CLOSE_STOPPING), b"stopping");
        let _ = tokio::time::timeout(Duration::from_millis(500), self.inner.endpoint.wait_idle()).await;
    }

    fn link(&self, to: SocketAddr) -> Result<Arc<Link>, CallError> {
        if let Some(link) = self.inner.links.read().get(&to) {
            return Ok(Arc::clone(link));
        }
        let mut links = self.inner.links.write();
        if links.len() >= MAX_PEERS {
            return Err(CallError::NotSent(to));
        }
        let link = links.entry(to).or_insert_with(|| {
            let inner = Arc::downgrade(&self.inner);
            let lost = move || {
                if let Some(inner) = inner.upgrade()
                    && let Some(peers) = inner.peers.get()
                {
                    peers.lost(to);
                }
            };
            let endpoint = self.inner.endpoint.clone();
            let budget = self.inner.budget.peer_answers.clone();
            Link::start(
                to,
                endpoint,
                self.inner.peer_config.clone(),
                (budget, Arc::clone(&self.inner.traffic)),
                Box::new(lost),
            )
        });
        Ok(Arc::clone(link))
    }
}

impl Inner {
    /// A peer has connected: it is alive, whatever was believed before.
    fn heard_of(&self, peer: SocketAddr) {
        if let Some(link) = self.links.read().get(&peer) {
            link.wake();
        }
    }
}

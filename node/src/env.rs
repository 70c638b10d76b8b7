//! The environment of a production node: the system's clocks, tokio's tasks, QUIC, and the shards.

use std::{
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use starling_model::{KeyRange, Timestamp};
use starling_replication::{
    CallError, Env, Node, PeerRequest, PeerResponse,
    budget::{Claim, hold},
    message::{Encoded, MessageError, Request, Response},
};
use starling_sstable::fs::Fs;
use tracing::warn;

use crate::{
    store::ShardedStore,
    transport::{Lane, PeerService, Received, Transport},
};

/// What a node needs from outside, for real.
#[derive(Clone)]
pub struct TokioEnv {
    inner: Arc<Inner>,
}

struct Inner {
    started: Instant,
    transport: Transport,
    store: ShardedStore,
    fs: Arc<dyn Fs>,
    runtime: tokio::runtime::Handle,
}

impl TokioEnv {
    /// Puts it together. Must be called on a tokio runtime: tasks run there.
    pub fn new(transport: Transport, store: ShardedStore, fs: Arc<dyn Fs>) -> Self {
        let inner = Inner {
            started: Instant::now(),
            transport,
            store,
            fs,
            runtime: tokio::runtime::Handle::current(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

impl Env for TokioEnv {
    type Store = ShardedStore;

    fn monotonic(&self) -> Duration {
        self.inner.started.elapsed()
    }

    fn wall(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
    }

    fn random(&self) -> u64 {
        rand::random()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep(duration)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.runtime.spawn(task);
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let done = self.inner.runtime.spawn_blocking(work);
        async move {
            match done.await {
                Ok(result) => result,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime is being torn down, and the caller with it.
                    Err(_) => std::future::pending().await,
                },
            }
        }
    }

    fn call(
        &self,
        to: SocketAddr,
        request: PeerRequest,
        timeout: Duration,
    ) -> impl Future<Output = Result<PeerResponse, CallError>> + Send + 'static {
        self.inner.call(to, &request, None, timeout)
    }

    fn call_for(
        &self,
        claim: Claim,
        to: SocketAddr,
        request: PeerRequest,
        timeout: Duration,
    ) -> impl Future<Output = Result<PeerResponse, CallError>> + Send + 'static {
        self.inner.call(to, &request, Some(claim), timeout)
    }

    fn cast(&self, to: SocketAddr, request: PeerRequest) {
        self.inner.transport.cast(to, request.encode_sharing());
    }

    fn store(&self) -> &ShardedStore {
        &self.inner.store
    }

    fn fs(&self) -> &Arc<dyn Fs> {
        &self.inner.fs
    }
}

impl Inner {
    fn call(
        &self,
        to: SocketAddr,
        request: &PeerRequest,
        claim: Option<Claim>,
        timeout: Duration,
    ) -> impl Future<Output = Result<PeerResponse, CallError>> + Send + 'static + use<> {
        let (lane, request) = (lane(&request.body), request.encode_sharing());
        let answer = self.transport.call(to, lane, request, claim, timeout);
        async move {
            let Received { payload, share, .. } = answer.await?;
            let mut response = PeerResponse::decode(payload).map_err(|error| {
                warn!(peer = %to, %error, "an answer can't be understood");
                CallError::Broken(to)
            })?;
            // The page is what remains of a large answer, and it counts until its last row is let go.
            if let (Some(share), Response::Page(page)) = (share, &mut response.body) {
                *page = hold(std::mem::take(page), share);
            }
            Ok(response)
        }
    }
}

/// What may answer with megabytes keeps away from what a user waits for.
fn lane(request: &Request) -> Lane {
    match request {
        Request::Read { command, .. } if matches!(command.keys, KeyRange::Tokens(_)) => Lane::Bulk,
        Request::SchemaPush(_) | Request::SchemaPull | Request::Trace(_) => Lane::Bulk,
        Request::ForgetHints { .. } | Request::Truncate { .. } | Request::Truncated { .. } => Lane::Bulk,
        Request::Damage(_) => Lane::Bulk,
        _ => Lane::Requests,
    }
}

/// A node's door for peers.
pub struct Peers(pub Arc<Node<TokioEnv>>);

impl PeerService for Peers {
    fn handle(
        &self,
        from: SocketAddr,
        request: Bytes,
        arrived: tokio::time::Instant,
    ) -> BoxFuture<'static, Option<Encoded>> {
        match PeerRequest::decode(request) {
            Ok(request) => {
                let response = self.0.handle_queued(from, request, arrived.elapsed());
                Box::pin(async move { Some(response.await.encode_sharing()) })
            }
            // Who asked is told, and says so: its release is the newer one.
            Err(MessageError::Unknown(problem)) => {
                let response = self.0.not_understood(problem);
                Box::pin(async move { Some(response.encode_sharing()) })
            }
            Err(error) => {
                warn!(peer = %from, %error, "a request can't be understood");
                Box::pin(async { None })
            }
        }
    }

    fn lost(&self, peer: SocketAddr) {
        self.0.connection_lost(peer);
    }
}

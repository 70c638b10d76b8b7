//! Accepting connections: who is it, and who answers it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use quinn::{Connection, Incoming, crypto::rustls::HandshakeData};
use starling_cql::native;
use starling_replication::message::Encoded;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{
    Inner,
    endpoint::{CLOSE_PROTOCOL, CLOSE_UNAUTHORIZED},
    lane::Lane,
    large, served,
};
use crate::tls::PEER_ALPN;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections of peers and clients together.
const MAX_CONNECTIONS: usize = 8192;

/// From this many connections on, who connects must first prove that it receives at its address.
const VALIDATE_FROM: usize = 1024;

/// The node's side of native clients' connections.
pub trait ClientService: Send + Sync + 'static {
    /// Serves a connection to its end.
    fn serve(&self, connection: Connection) -> BoxFuture<'static, ()>;
}

/// Accepts connections until the endpoint is closed.
pub(super) async fn accept(inner: Arc<Inner>) {
    while let Some(incoming) = inner.endpoint.accept().await {
        let open = inner.endpoint.open_connections();
        if open >= MAX_CONNECTIONS {
            incoming.refuse();
        } else if open >= VALIDATE_FROM && !incoming.remote_address_validated() && incoming.may_retry() {
            // Only an incoming connection that can't be retried gives an error, and that was asked.
            let _ = incoming.retry();
        } else {
            tokio::spawn(welcome(Arc::clone(&inner), incoming));
        }
    }
}

async fn welcome(inner: Arc<Inner>, incoming: Incoming) {
    let from = incoming.remote_address();
    let connection = match tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return debug!(%from, %error, "a handshake failed"),
        Err(_) => return debug!(%from, "a handshake took too long"),
    };
    let protocol = connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.protocol);
    match protocol.as_deref() {
        Some(PEER_ALPN) if connection.peer_identity().is_some() => {
            info!(peer = %from, "a peer connected");
            inner.heard_of(from);
            serve_peer(&inner, &connection).await;
        }
        Some(native::ALPN) => inner.clients.wait().await.serve(connection).await,
        _ => {
            warn!(%from, "refused a peer that shows no certificate of this cluster");
            connection.close(
                quinn::VarInt::from_u32(CLOSE_UNAUTHORIZED),
                b"no certificate of this cluster",
            );
        }
    }
}

/// Serves the streams that a peer opens, until its connection ends.
async fn serve_peer(inner: &Arc<Inner>, connection: &Connection) {
    let from = connection.remote_address();
    loop {
        tokio::select! {
            stream = connection.accept_bi() => {
                let Ok((send, receive)) = stream else { break };
                let inner = Arc::clone(inner);
                // A peer opens its lanes first.
                if receive.id().index() < Lane::ALL.len() as u64 {
                    let calls = served::calls(inner, from, connection.clone(), send, receive);
                    tokio::spawn(finish(connection.clone(), calls));
                } else {
                    tokio::spawn(finish(connection.clone(), large::serve(inner, from, send, receive)));
                }
            }
            stream = connection.accept_uni() => {
                let Ok(receive) = stream else { break };
                tokio::spawn(finish(connection.clone(), served::casts(Arc::clone(inner), from, receive)));
            }
        }
    }
    debug!(peer = %from, "the peer's connection ended");
}

/// A stream that breaks the protocol takes its connection with it.
async fn finish(connection: Connection, stream: impl Future<Output = Result<(), served::ServeError>>) {
    if let Err(error) = stream.await {
        let peer = connection.remote_address();
        if error.is_violation() {
            warn!(%peer, %error, "closing the peer's connection");
        }
        connection.close(
            quinn::VarInt::from_u32(CLOSE_PROTOCOL),
            error.to_string().as_bytes(),
        );
    }
}

/// What a peer's request is given to. Its sender's time goes on while it waits for room here, so it counts from its header on.
pub(super) async fn answer(
    inner: &Inner,
    from: SocketAddr,
    request: Bytes,
    announced: Instant,
) -> Option<Encoded> {
    inner.peers.wait().await.handle(from, request, announced).await
}

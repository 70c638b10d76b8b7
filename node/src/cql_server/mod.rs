//! The listener for stock clients: the CQL native protocol, versions 4 and 5, over TCP.
//!
//! A connection is one task. It reads what has come, starts every request in it, polls them all in place
//! (no task per request), and writes all replies that are ready with one call. So a client that keeps many
//! requests in flight pays for few system calls.
//!
//! Bounds, each with what happens at it:
//! 1. connections ([`Options::max_connections`]): a further one is closed at once;
//! 2. requests in flight on a connection ([`Options::max_in_flight`]): the socket is not read until one
//!    is done, or, if the client asked for it (`THROW_ON_OVERLOAD`), further ones are answered Overloaded;
//! 3. requests in flight in all, by number and by the bytes of small ones (`admission`): Overloaded;
//!    a large message waits for room in the node's budget before it is read, or decompressed, and its
//!    socket is not read meanwhile (`THROW_ON_OVERLOAD`: it is passed over and answered Overloaded); who
//!    has room and sends slowly is closed when others wait for it;
//!    a large reply waits for room before it is encoded, and the connection's next ones behind it;
//! 4. replies that a client does not read ([`Options::max_unsent_bytes`]): its requests are not advanced
//!    and its socket is not read; after [`Options::write_timeout`] without progress it is closed, and
//!    sooner ([`Options::pressed_timeout`]) while others wait for the room that its replies take;
//! 5. a message's size ([`Options::max_message_bytes`]): it is passed over and answered with an error;
//! 6. time: for the handshake, for the rest of a message that has begun, and (if set) for silence.

mod admission;
pub mod backend;
mod connection;
pub mod counters;
mod deadline;
mod events;
mod handshake;
mod job;
mod listener;
pub mod options;
mod outbox;
mod session;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use self::{admission::Admission, events::Events};
pub use self::{backend::Backend, counters::Counters, options::Options};

/// What all connections of a listener share.
struct Shared<B> {
    backend: B,
    options: Options,
    admission: Arc<Admission>,
    counters: Arc<Counters>,
    events: Events,
    stopping: watch::Receiver<bool>,
}

/// A running listener. Dropping it stops it without waiting.
pub struct Server {
    address: SocketAddr,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    /// Ends when the last task of the listener has.
    alive: mpsc::Receiver<()>,
}

/// Serves clients that connect to `listener` with what `backend` can do. Must be called in a tokio runtime.
///
/// # Errors
/// If the listener has no local address.
pub fn serve<B: Backend>(listener: TcpListener, backend: B, options: Options) -> std::io::Result<Server> {
    let address = listener.local_addr()?;
    let counters = Arc::new(Counters::default());
    let (stop, stopping) = watch::channel(false);
    let (token, alive) = mpsc::channel(1);
    let shared = Arc::new(Shared {
        admission: Arc::new(Admission::new(
            options.max_requests,
            options.budget.small_requests.clone(),
        )),
        events: Events::of(&backend, options.max_queued_events),
        backend,
        counters: Arc::clone(&counters),
        stopping,
        options,
    });
    tokio::spawn(listener::accept(listener, shared, token));
    Ok(Server {
        address,
        counters,
        stop,
        alive,
    })
}

impl Server {
    /// Where it listens.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Stops gracefully: no connection and no request is taken any more, those in flight are answered,
    /// and then connections are closed. Ends when all are, or after `grace`; says whether all were.
    pub async fn stop(mut self, grace: Duration) -> bool {
        self.stop.send_replace(true);
        tokio::time::timeout(grace, self.alive.recv()).await.is_ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

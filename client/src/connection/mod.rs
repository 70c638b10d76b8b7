//! One connection to one node: a long-lived stream with requests pipelined on it.

mod dialer;
mod frame;
mod pending;
mod reader;
mod silence;
mod writer;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use starling_cql::native::{self, Event, Request, Response};
use tokio::{
    sync::{broadcast, mpsc, watch},
    time,
};

pub(crate) use dialer::{Dialer, Limits};
use pending::Pending;

use crate::error::{Error, ErrorKind};

/// A connection on which the handshake is done. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    quic: quinn::Connection,
    frames: mpsc::Sender<Bytes>,
    pending: Arc<Pending>,
    closed: watch::Receiver<bool>,
    silent: watch::Receiver<bool>,
}

impl Connection {
    /// Starts the reader and the writer on a fresh stream, and greets the node.
    async fn start(
        address: SocketAddr,
        quic: quinn::Connection,
        streams: (quinn::SendStream, quinn::RecvStream),
        limits: Limits,
        events: broadcast::Sender<Event>,
    ) -> Result<Self, Error> {
        let pending = Arc::new(Pending::new(address, limits.in_flight));
        let (frames, queue) = mpsc::channel(limits.in_flight);
        let (ended, closed) = watch::channel(false);
        let (hears, silent) = watch::channel(false);
        let (sender, receiver) = streams;
        tokio::spawn(writer::run(sender, queue, quic.clone()));
        tokio::spawn(silence::watch(address, quic.clone(), Arc::clone(&pending), hears));
        let reading = reader::run(address, receiver, Arc::clone(&pending), events);
        let reader_quic = quic.clone();
        tokio::spawn(async move {
            let reason = reading.await;
            reader_quic.close(1u32.into(), reason.to_string().as_bytes());
            ended.send_replace(true);
        });
        let connection = Self {
            address,
            quic,
            frames,
            pending,
            closed,
            silent,
        };
        connection.greet(limits.timeout).await?;
        Ok(connection)
    }

    async fn greet(&self, timeout: Duration) -> Result<(), Error> {
        let hello = Request::Hello {
            version: native::VERSION,
            client: concat!("starling-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        match self.request(&hello, timeout).await? {
            Response::Welcome { version, .. } if (1..=native::VERSION).contains(&version) => Ok(()),
            Response::Welcome { version, .. } => Err(Error::new(
                ErrorKind::Protocol,
                format!(
                    "{} speaks version {version} of the native protocol, this client up to {}",
                    self.address,
                    native::VERSION
                ),
            )),
            Response::Error(error) => Err(error.into()),
            _ => Err(unexpected(self.address, "a greeting")),
        }
    }

    /// Sends a request and waits for its answer, at most `timeout`. The answer may be an error response.
    ///
    /// Dropping the future abandons the request; the node may still carry it out.
    pub(crate) async fn request(&self, request: &Request, timeout: Duration) -> Result<Response, Error> {
        let ticket = self.pending.admit()?;
        let frame = frame::encode(ticket.id(), request)?;
        self.frames.try_send(frame).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => pending::overloaded(self.address),
            mpsc::error::TrySendError::Closed(_) => {
                self.pending.reason().with_outcome(crate::Outcome::NotApplied)
            }
        })?;
        match time::timeout(timeout, ticket.answer()).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::unknown(
                ErrorKind::Timeout,
                format!(
                    "no answer from {} within {timeout:?}; a write may have been applied",
                    self.address
                ),
            )),
        }
    }

    /// Ends when the connection is no longer of use.
    pub(crate) async fn closed(&self) -> Error {
        let mut closed = self.closed.clone();
        // An error means that the reader's task is gone, which is the same.
        let _ = closed.wait_for(|closed| *closed).await;
        self.pending.reason()
    }

    /// Ends once the node is silent, as [`silence`] has it, with the connection still open.
    pub(crate) async fn silent(&self) {
        let mut silent = self.silent.clone();
        if silent.wait_for(|silent| *silent).await.is_err() || !self.is_open() {
            // The connection ended, and all requests have been told.
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn is_silent(&self) -> bool {
        *self.silent.borrow()
    }

    pub(crate) fn is_open(&self) -> bool {
        !*self.closed.borrow()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.quic.close(0u32.into(), b"bye");
    }
}

/// The answer is well-formed and is none to this question.
pub(crate) fn unexpected(address: SocketAddr, wanted: &str) -> Error {
    Error::unknown(
        ErrorKind::Protocol,
        format!("{address} answered with something other than {wanted}; it may be of another release"),
    )
}

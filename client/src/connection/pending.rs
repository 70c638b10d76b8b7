//! Requests that wait for their answers: a bounded set, settled once each.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use starling_cql::native::Response;
use tokio::sync::{Notify, oneshot};

use crate::error::{Error, ErrorKind};

type Answer = Result<Response, Error>;

/// The requests in flight on one connection.
#[derive(Debug)]
pub(super) struct Pending {
    address: SocketAddr,
    limit: usize,
    state: Mutex<State>,
    asked: Notify,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
    /// Why the connection ended.
    reason: Option<Error>,
}

impl Pending {
    pub(super) fn new(address: SocketAddr, limit: usize) -> Self {
        Self {
            address,
            limit,
            state: Mutex::default(),
            asked: Notify::new(),
        }
    }

    /// A place for one more request; refused, before anything is sent, beyond the limit.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Ticket, Error> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        if let Some(reason) = &state.reason {
            return Err(reason.clone().with_outcome(crate::Outcome::NotApplied));
        }
        if state.waiting.len() >= self.limit {
            return Err(overloaded(self.address));
        }
        // Id 0 is for events.
        state.last_id += 1;
        let id = state.last_id;
        if state.waiting.is_empty() {
            self.asked.notify_one();
        }
        state.waiting.insert(id, sender);
        Ok(Ticket {
            id,
            receiver: Some(receiver),
            pending: Arc::clone(self),
        })
    }

    /// Ends once something was asked. It may have been answered by then.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().waiting.is_empty()
    }

    /// Gives an answer to whom it belongs. An answer that nobody waits for any more is dropped; one to a
    /// request that never was is an error.
    pub(super) fn settle(&self, id: u64, response: Response) -> Result<(), Error> {
        let mut state = self.state.lock();
        if let Some(waiter) = state.waiting.remove(&id) {
            // The caller may have given up this very moment.
            let _ = waiter.send(Ok(response));
            return Ok(());
        }
        if id == 0 || id > state.last_id {
            return Err(Error::unknown(
                ErrorKind::Protocol,
                format!("{} answered request {id}, which was never sent", self.address),
            ));
        }
        Ok(())
    }

    /// Ends the connection for all who wait and all who come.
    pub(super) fn fail(&self, reason: Error) {
        let mut state = self.state.lock();
        let reason = state.reason.get_or_insert(reason).clone();
        for (_, waiter) in state.waiting.drain() {
            let _ = waiter.send(Err(reason.clone()));
        }
    }

    /// Why the connection ended.
    pub(super) fn reason(&self) -> Error {
        let state = self.state.lock();
        state
            .reason
            .clone()
            .unwrap_or_else(|| broken(self.address, "it was closed"))
    }
}

/// One request in flight. Dropping it gives its place back.
#[derive(Debug)]
pub(super) struct Ticket {
    id: u64,
    receiver: Option<oneshot::Receiver<Answer>>,
    pending: Arc<Pending>,
}

impl Ticket {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) async fn answer(mut self) -> Answer {
        match self.receiver.take() {
            Some(receiver) => receiver.await.unwrap_or_else(|_| Err(self.pending.reason())),
            None => Err(self.pending.reason()),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pending.state.lock().waiting.remove(&self.id);
    }
}

pub(super) fn overloaded(address: SocketAddr) -> Error {
    Error::new(
        ErrorKind::Overloaded,
        format!("too many requests are in flight to {address}; nothing was sent, wait for answers first"),
    )
}

/// The connection broke under requests in flight.
pub(super) fn broken(address: SocketAddr, why: impl std::fmt::Display) -> Error {
    Error::unknown(
        ErrorKind::Connection,
        format!("the connection to {address} broke ({why}); a write in flight may have been applied"),
    )
}

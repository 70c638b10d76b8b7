//! Calls to one peer that wait for their answers.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use starling_replication::CallError;
use tokio::sync::oneshot;

use super::{Terms, frame::Received};

/// How many calls may wait for one peer.
const MAX_CALLS: usize = 8192;

/// How many bytes of requests may wait for one peer.
const MAX_BYTES: usize = 256 << 20;

pub(super) type Outcome = Result<Received, CallError>;

/// The calls of one link.
///
/// Contract:
/// 1. Every registered call gets exactly one outcome, or was abandoned by its caller.
/// 2. While [`refuse`](Self::fail_all) is on, nothing is registered.
/// 3. A call that fails with `NotSent` was never given to the connection.
pub(super) struct Pending {
    to: SocketAddr,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    next_id: u64,
    waiting: HashMap<u64, Waiting>,
    bytes: usize,
    refusing: bool,
}

struct Waiting {
    answer: oneshot::Sender<Outcome>,
    terms: Terms,
    bytes: usize,
    sent: bool,
}

/// A registered call: dropping it abandons the call.
pub(crate) struct Registered {
    pending: Arc<Pending>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.pending.calls.lock().remove(self.id);
    }
}

impl Calls {
    fn remove(&mut self, id: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        self.bytes -= waiting.bytes;
        Some(waiting)
    }
}

impl Pending {
    pub(super) fn new(to: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            to,
            calls: Mutex::default(),
        })
    }

    /// Registers a call and hands it to `queue`, which says whether there was room.
    pub(super) fn register(
        self: &Arc<Self>,
        bytes: usize,
        terms: Terms,
        queue: impl FnOnce(u64) -> bool,
    ) -> Result<(oneshot::Receiver<Outcome>, Registered), CallError> {
        let mut calls = self.calls.lock();
        if calls.refusing {
            return Err(CallError::NotSent(self.to));
        }
        if calls.waiting.len() >= MAX_CALLS || calls.bytes + bytes > MAX_BYTES {
            return Err(CallError::Overloaded(self.to));
        }
        calls.next_id += 1;
        let id = calls.next_id;
        if !queue(id) {
            return Err(CallError::Overloaded(self.to));
        }
        let (answer, outcome) = oneshot::channel();
        calls.bytes += bytes;
        calls.waiting.insert(
            id,
            Waiting {
                answer,
                terms,
                bytes,
                sent: false,
            },
        );
        drop(calls);
        Ok((
            outcome,
            Registered {
                pending: Arc::clone(self),
                id,
            },
        ))
    }

    /// These calls are about to be written.
    pub(super) fn mark_sent(&self, ids: impl Iterator<Item = u64>) {
        let mut calls = self.calls.lock();
        for id in ids {
            if let Some(waiting) = calls.waiting.get_mut(&id) {
                waiting.sent = true;
            }
        }
    }

    /// An answer came. One that nobody waits for any more is dropped.
    pub(super) fn answer(&self, answer: Received) {
        let waiting = self.calls.lock().remove(answer.id);
        if let Some(waiting) = waiting {
            // The caller may have gone at this very moment.
            let _ = waiting.answer.send(Ok(answer));
        }
    }

    /// Whether anybody still waits for this call's answer.
    pub(super) fn waits_for(&self, id: u64) -> bool {
        self.calls.lock().waiting.contains_key(&id)
    }

    /// On what terms this call's answer is waited for; `None` if nobody waits any more.
    pub(super) fn terms(&self, id: u64) -> Option<Terms> {
        self.calls.lock().waiting.get(&id).map(|waiting| waiting.terms)
    }

    /// Fails every call and refuses new ones until [`accept`](Self::accept).
    pub(super) fn fail_all(&self) {
        let mut calls = self.calls.lock();
        calls.refusing = true;
        calls.bytes = 0;
        let all = std::mem::take(&mut calls.waiting);
        drop(calls);
        for waiting in all.into_values() {
            let error = if waiting.sent {
                CallError::Broken
            } else {
                CallError::NotSent
            };
            let _ = waiting.answer.send(Err(error(self.to)));
        }
    }

    /// Whether a call waits for its answer.
    pub(super) fn is_waiting(&self) -> bool {
        !self.calls.lock().waiting.is_empty()
    }

    /// Accepts calls again.
    pub(super) fn accept(&self) {
        self.calls.lock().refusing = false;
    }
}

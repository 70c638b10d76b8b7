//! Calls to one peer that wait for their answers.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use starling_replication::CallError;
use tokio::sync::{mpsc, oneshot};

use super::{
    Terms,
    frame::{Frame, Received},
};

/// Set in the ids of calls that their callers may take back: the peer need not remember the others.
pub(super) const REVOCABLE: u64 = 1 << 63;

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

/// A registered call: dropping it abandons the call. One that may be taken back is not sent then, or its peer is
/// told that nobody waits any more.
pub(crate) struct Registered {
    pending: Arc<Pending>,
    id: u64,
    /// The way by which the call went.
    lane: Option<mpsc::Sender<Frame>>,
}

impl Registered {
    /// The call may be taken back: by a frame with its id and nothing in it, after it in `lane`.
    pub(super) fn revocable(&mut self, lane: &mpsc::Sender<Frame>) {
        self.lane = Some(lane.clone());
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let waited = self.pending.calls.lock().remove(self.id);
        let sent = waited.is_some_and(|waiting| waiting.sent);
        if let Some(lane) = self.lane.take().filter(|_| sent) {
            // Where there is no room the peer does the work for nothing.
            let _ = lane.try_send(Frame {
                id: self.id,
                payload: Bytes::new().into(),
            });
        }
    }
}

impl Calls {
    fn remove(&mut self, id: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        self.bytes -= waiting.bytes;
        Some(waiting)
    }

    fn mark_sent(&mut self, id: u64) -> bool {
        match self.waiting.get_mut(&id) {
            Some(waiting) => {
                waiting.sent = true;
                true
            }
            None => id & REVOCABLE == 0,
        }
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
        let id = calls.next_id | if terms.claim.is_some() { REVOCABLE } else { 0 };
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
                lane: None,
            },
        ))
    }

    /// This call is about to be written. `false`: it need not be, for it was taken back in time.
    pub(super) fn mark_sent(&self, id: u64) -> bool {
        self.calls.lock().mark_sent(id)
    }

    /// The same for many; what need not be written is taken out.
    pub(super) fn mark_all_sent(&self, frames: &mut Vec<Frame>) {
        let mut calls = self.calls.lock();
        frames.retain(|frame| calls.mark_sent(frame.id) || frame.payload.is_empty());
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

//! Where a shard is asked, and who serves it.
//!
//! Most requests take a shard a microsecond or two: a write, a read of some rows. To hand one to another thread and to
//! be woken for its answer costs several times as much. So they are served where they are asked: they go to a queue, and
//! whoever finds nobody at the shard serves the queue, its own request and others'. What may take long goes to
//! the shard's own thread, and so does the queue when there is much in it: a thread that serves connections is not kept.
//!
//! Invariants:
//! 1. A request that was queued is served: who does not get the shard leaves it to who has it, and who has it looks at
//!    the queue once more after letting go.
//! 2. Nobody waits here for a shard, but its own thread.
//! 3. The engine is touched by one thread at a time.
//! 4. A truncation removes every write that was asked for before it.
//!
//! The way is that of "flat combining" (Hendler, Incze, Shavit, Tzafrir: Flat Combining and the
//! Synchronization-Parallelism Tradeoff, SPAA 2010, section 2), with a queue for the publication list.

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering, fence},
    time::Duration,
};

use crossbeam::{
    channel::{Receiver, RecvTimeoutError, Sender, TrySendError},
    queue::ArrayQueue,
};
use parking_lot::Mutex;
use starling_replication::StoreError;

use super::{request::Request, shard::Shard, sync::Group, thread};

/// Light requests that may wait.
const LIGHT_REQUESTS: usize = 4096;

/// The most light requests that are served by a thread that has other things to do.
const LIGHT_AT_ONCE: usize = 16;

/// So many light requests later the shard's thread looks whether there is something to flush or to compact.
const LIGHT_PER_LOOK: usize = 64;

/// Requests that the shard's thread takes at one wake-up, before it hands their acknowledgements on.
const BATCH_REQUESTS: usize = 256;

/// An idle shard looks for background work this often.
const IDLE: Duration = Duration::from_secs(1);

/// A shard, and what it is asked.
pub(super) struct Desk {
    /// Requests that whoever comes by can serve.
    light: ArrayQueue<Request>,
    /// Those for the shard's own thread.
    inbox: Sender<Request>,
    /// Its thread was told to look at the light ones.
    called: AtomicBool,
    /// `None` once it has stopped.
    shard: Mutex<Option<Shard>>,
}

impl Desk {
    /// A desk for `shard`, whose own thread is asked by `inbox`.
    pub(super) fn new(shard: Shard, inbox: Sender<Request>) -> Self {
        Self {
            light: ArrayQueue::new(LIGHT_REQUESTS),
            inbox,
            called: AtomicBool::new(false),
            shard: Mutex::new(Some(shard)),
        }
    }

    /// Requests that wait.
    pub(super) fn queued(&self) -> usize {
        self.light.len() + self.inbox.len()
    }

    /// The way to the shard's own thread.
    pub(super) fn inbox(&self) -> &Sender<Request> {
        &self.inbox
    }

    /// Queues a request, or refuses it; it may be answered when this returns. Takes no longer than a few light requests
    /// do.
    pub(super) fn ask(&self, request: Request) -> Result<(), StoreError> {
        if !request.is_light() {
            return self.inbox.try_send(request).map_err(|error| match error {
                TrySendError::Full(_) => StoreError::Overloaded,
                TrySendError::Disconnected(_) => StoreError::Stopping,
            });
        }
        self.light.push(request).map_err(|_| StoreError::Overloaded)?;
        self.serve_light();
        Ok(())
    }

    /// Serves light requests if nobody else is at the shard.
    fn serve_light(&self) {
        let mut left = LIGHT_AT_ONCE;
        loop {
            // Pairs with the one below: either this sees that the shard is free, or who has it sees what is queued.
            fence(Ordering::SeqCst);
            let Some(mut shard) = self.shard.try_lock() else {
                return;
            };
            let Some(at_work) = shard.as_mut() else {
                // Stopped: who asked hears of it when the request is dropped.
                while self.light.pop().is_some() {}
                return;
            };
            let is_due = thread::guarded("a request to a shard", || {
                let served = self.serve_some(at_work, left, true);
                left -= served;
                at_work.count_unlooked(served) >= LIGHT_PER_LOOK
            });
            drop(shard);
            if is_due {
                self.call();
            }
            fence(Ordering::SeqCst);
            if self.light.is_empty() {
                return;
            }
            if left == 0 {
                self.call();
                return;
            }
        }
    }

    /// Serves up to `most` light requests, and says how many there were.
    fn serve_some(&self, shard: &mut Shard, most: usize, in_passing: bool) -> usize {
        let mut group = Group::default();
        let mut served = 0;
        while served < most
            && let Some(request) = self.light.pop()
        {
            // A light request never ends a shard.
            let _ = shard.serve(request, &mut group, in_passing);
            served += 1;
        }
        shard.hand_on(group);
        served
    }

    /// Has the shard's thread look at what is queued.
    fn call(&self) {
        if !self.called.swap(true, Ordering::AcqRel) {
            // A thread whose inbox is full is awake.
            let _ = self.inbox.try_send(Request::Look);
        }
    }

    /// The shard's own thread: serves until it is told to stop, or nobody can ask any more.
    pub(super) fn run(&self, inbox: &Receiver<Request>) {
        loop {
            let first = match inbox.recv_timeout(IDLE) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.called.store(false, Ordering::Release);
            let mut shard = self.shard.lock();
            let Some(at_work) = shard.as_mut() else { return };
            if self.serve_batch(at_work, first, inbox).is_break() {
                // What came before the stop is carried out, what comes after it is refused.
                while self.serve_some(at_work, BATCH_REQUESTS, false) > 0 {}
                at_work.stop();
                *shard = None;
                drop(shard);
                self.serve_light();
                return;
            }
            while self.serve_some(at_work, BATCH_REQUESTS, false) == BATCH_REQUESTS {
                at_work.offer_jobs();
            }
            at_work.offer_jobs();
            drop(shard);
            self.serve_light();
        }
    }

    fn serve_batch(
        &self,
        shard: &mut Shard,
        first: Option<Request>,
        inbox: &Receiver<Request>,
    ) -> ControlFlow<()> {
        let mut group = Group::default();
        let mut flow = ControlFlow::Continue(());
        for request in first.into_iter().chain(inbox.try_iter().take(BATCH_REQUESTS - 1)) {
            if matches!(request, Request::Truncate(..)) {
                // What was asked before it is done before it: a write that it overtook would outlive it.
                self.serve_some(shard, self.light.len(), false);
            }
            flow = shard.serve(request, &mut group, false);
            if flow.is_break() {
                break;
            }
        }
        shard.hand_on(group);
        flow
    }
}

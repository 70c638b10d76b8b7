//! The bound on what all connections have in flight.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Requests and bytes that may be in flight at once.
#[derive(Debug)]
pub struct Budget {
    requests: Pool,
    bytes: Pool,
    /// The part of `bytes` that messages which are still arriving may have: a half. Clients that announce
    /// much and send little then leave room for everybody else's requests.
    arriving: Pool,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
    /// How much of `bytes` counts as arriving.
    arriving: usize,
}

/// How much of something is taken.
#[derive(Debug)]
struct Pool {
    taken: AtomicUsize,
    limit: usize,
}

impl Pool {
    fn new(limit: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            limit,
        }
    }

    fn try_take(&self, amount: usize) -> bool {
        // Never above the limit, not even for a moment: another request would be refused for nothing.
        let more = |taken: usize| taken.checked_add(amount).filter(|total| *total <= self.limit);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .is_ok()
    }

    fn give_back(&self, amount: usize) {
        self.taken.fetch_sub(amount, Ordering::AcqRel);
    }
}

impl Budget {
    /// A budget of so many requests and so many bytes.
    pub fn new(requests: usize, bytes: usize) -> Self {
        Self {
            requests: Pool::new(requests),
            bytes: Pool::new(bytes),
            arriving: Pool::new(bytes / 2),
        }
    }

    /// Room for a request of `bytes` bytes, if there is any.
    pub fn try_take(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        if !self.requests.try_take(1) {
            return None;
        }
        if !self.bytes.try_take(bytes) {
            self.requests.give_back(1);
            return None;
        }
        Some(Permit {
            budget: Arc::clone(self),
            bytes,
            arriving: 0,
        })
    }

    /// Room for a message of `bytes` bytes that has begun to arrive, if there is any. It counts as arriving
    /// until [`Permit::arrived`].
    pub fn try_reserve(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        if !self.arriving.try_take(bytes) {
            return None;
        }
        let Some(mut permit) = self.try_take(bytes) else {
            self.arriving.give_back(bytes);
            return None;
        };
        permit.arriving = bytes;
        Some(permit)
    }

    /// Requests and bytes that are taken.
    pub fn taken(&self) -> (usize, usize) {
        let read = |pool: &Pool| pool.taken.load(Ordering::Acquire);
        (read(&self.requests), read(&self.bytes))
    }
}

impl Permit {
    /// The message is here and has `bytes` bytes, which are more than were announced if it was compressed.
    /// `None`: there is no room for the rest.
    pub fn arrived(mut self, bytes: usize) -> Option<Self> {
        let more = bytes.saturating_sub(self.bytes);
        if !self.budget.bytes.try_take(more) {
            return None;
        }
        self.bytes += more;
        self.budget.arriving.give_back(std::mem::take(&mut self.arriving));
        Some(self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.arriving.give_back(self.arriving);
        self.budget.requests.give_back(1);
        self.budget.bytes.give_back(self.bytes);
    }
}

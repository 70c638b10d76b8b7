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
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
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
        let before = self.taken.fetch_add(amount, Ordering::AcqRel);
        let fits = before
            .checked_add(amount)
            .is_some_and(|total| total <= self.limit);
        if !fits {
            self.give_back(amount);
        }
        fits
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
        })
    }

    /// Requests and bytes that are taken.
    pub fn taken(&self) -> (usize, usize) {
        let read = |pool: &Pool| pool.taken.load(Ordering::Acquire);
        (read(&self.requests), read(&self.bytes))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.requests.give_back(1);
        self.budget.bytes.give_back(self.bytes);
    }
}

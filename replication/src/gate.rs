//! How much may be under way at a time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Lets at most `limit` in. Who is refused comes again later: nobody queues here.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    inside: Arc<AtomicUsize>,
    limit: usize,
}

/// A place inside a [`Gate`]; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Gate {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            inside: Arc::default(),
            limit,
        }
    }

    /// A place, if one is free.
    pub(crate) fn enter(&self) -> Option<Permit> {
        let permit = Permit(Arc::clone(&self.inside));
        // Counted before it is compared; a refused permit takes its count back when it is dropped here.
        (self.inside.fetch_add(1, Ordering::AcqRel) < self.limit).then_some(permit)
    }

    /// How many are inside.
    pub(crate) fn inside(&self) -> usize {
        self.inside.load(Ordering::Acquire)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

//! How many requests all connections have in flight, and the bytes of the small ones. A large message
//! waits for its bytes before it is read (see `connection`).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use starling_replication::{Charge, budget::Pool};

/// Lets requests in.
#[derive(Debug)]
pub(super) struct Admission {
    inside: AtomicUsize,
    limit: usize,
    bytes: Pool,
}

/// A request's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    charge: Option<Charge>,
}

impl Admission {
    /// At most `limit` requests, whose bytes come out of `bytes`.
    pub(super) fn new(limit: usize, bytes: Pool) -> Self {
        Self {
            inside: AtomicUsize::new(0),
            limit,
            bytes,
        }
    }

    /// A place for a request of `bytes` bytes that are not counted yet, if there is any.
    pub(super) fn enter(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        // Never above the limit, not even for a moment: another request would be refused for nothing.
        let more = |inside: usize| (inside < self.limit).then_some(inside + 1);
        self.inside
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        let mut permit = Permit {
            admission: Arc::clone(self),
            charge: None,
        };
        if bytes > 0 {
            permit.charge = Some(self.bytes.try_take(bytes)?);
        }
        Some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

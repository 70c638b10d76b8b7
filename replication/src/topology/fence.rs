//! Requests that were planned on another ring than the one that is known now.
//!
//! Contract:
//! 1. A client's write or read is carried out by a replica only if it was planned on the ring that the replica
//!    knows. One that was planned on a ring that it does not know yet waits until the replica has learnt it, durably: so
//!    whatever was acknowledged on a ring, one who holds it knows that ring, also when its coordinator is dead for good.
//! 2. A node confirms a ring only when all requests are through that it let in on older ones. So once every member has
//!    confirmed a change, no write is under way that was planned without it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::message::Failure;

/// Counts the requests that were let in on one ring.
#[derive(Debug, Default)]
pub(crate) struct Passage(AtomicUsize);

impl Passage {
    /// How many are inside.
    pub(crate) fn inside(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// One more, until the pass is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Pass {
        self.0.fetch_add(1, Ordering::SeqCst);
        Pass(Arc::clone(self))
    }
}

/// A request that was let in.
#[derive(Debug)]
pub(crate) struct Pass(Arc<Passage>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How the ring that a request was planned on compares with the one that is known.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is let in.
    In(Pass),
    /// It was planned on another ring, and this node knows at least as much.
    Old { epoch: u64 },
    /// Who planned it knows a ring that this node does not.
    Unknown { epoch: u64 },
}

impl Admission {
    /// What lets a node's own request in: it knows no ring that the node does not.
    pub(crate) fn own(self) -> Result<Pass, Failure> {
        match self {
            Self::In(pass) => Ok(pass),
            Self::Old { epoch } | Self::Unknown { epoch } => Err(Failure::OldRing { epoch }),
        }
    }
}

//! What to do when a request fails: a small policy, and the sane default.

use std::fmt;

use crate::error::{Error, ErrorKind, Outcome};

/// A request that failed.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// How.
    pub error: &'a Error,
    /// Whether carrying it out twice is the same as once.
    pub idempotent: bool,
    /// How many tries failed, this one included: 1 after the first.
    pub attempts: u32,
}

impl Failure<'_> {
    /// Whether trying again can't do anything twice: nothing was done, or doing it twice is the same.
    pub fn is_safe(&self) -> bool {
        self.idempotent || self.error.outcome() == Outcome::NotApplied
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Give the error to the caller.
    Fail,
    /// Try the next node of the plan; if there is none left, the error goes to the caller.
    NextNode,
    /// Try the same node once more.
    SameNode,
}

/// Decides what happens after a failure. The session never tries more than [`MAX_ATTEMPTS`] times, and never
/// retries a request whose failure isn't [safe](Failure::is_safe), whatever the policy says.
pub trait RetryPolicy: fmt::Debug + Send + Sync {
    /// What to do after `failure`.
    fn decide(&self, failure: &Failure<'_>) -> Decision;

    /// Whether a request whose node has fallen silent is sent to the next node beside, to take the answer that comes first. Asked only
    /// of requests of which twice is the same as once. By default: yes.
    fn leaves_silent_nodes(&self) -> bool {
        true
    }
}

/// The most times that one request is sent.
pub const MAX_ATTEMPTS: u32 = 8;

/// The default: a node that can't be reached or refuses work is left for the next one; what timed out or
/// failed on the server is tried once more elsewhere; everything else goes to the caller.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultRetry;

impl RetryPolicy for DefaultRetry {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        if !failure.is_safe() {
            return Decision::Fail;
        }
        match failure.error.kind() {
            ErrorKind::Connection | ErrorKind::Overloaded => Decision::NextNode,
            // Another coordinator may know better who is alive, or stand nearer to the replicas. Once.
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Server if failure.attempts < 2 => {
                Decision::NextNode
            }
            _ => Decision::Fail,
        }
    }
}

/// Never sends anything twice.
#[derive(Debug, Clone, Copy, Default)]
pub struct NeverRetry;

impl RetryPolicy for NeverRetry {
    fn decide(&self, _: &Failure<'_>) -> Decision {
        Decision::Fail
    }

    fn leaves_silent_nodes(&self) -> bool {
        false
    }
}

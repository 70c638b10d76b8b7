//! What the listener has done, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the listener began; `connections` and `in_flight` are of now.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that are open.
    pub connections: Count,
    /// Connections that were taken.
    pub accepted: Count,
    /// Connections that were closed at once, because there were too many.
    pub turned_away: Count,
    /// Requests being carried out.
    pub in_flight: Count,
    /// Requests that were taken.
    pub requests: Count,
    /// Requests that were refused as Overloaded.
    pub overloaded: Count,
    /// Messages that were not of the protocol.
    pub malformed: Count,
    /// Bytes that were read.
    pub bytes_in: Count,
    /// Bytes that were written.
    pub bytes_out: Count,
}

/// A number that many tasks change.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// What it is.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }
}

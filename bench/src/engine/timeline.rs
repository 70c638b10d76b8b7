//! A load over time: what the writers saw in each tenth of a second.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// How long an interval is, in milliseconds.
pub const INTERVAL_MS: u64 = 100;

/// A load is followed for this long; what comes later counts to the last interval.
const MAX_INTERVALS: usize = 36_000;

/// One interval.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Interval {
    /// Writes that ended in it.
    pub writes: u64,
    /// The worst of them, in nanoseconds.
    pub worst_ns: u64,
}

/// All intervals since a start.
#[derive(Debug)]
pub struct Timeline {
    start: Instant,
    intervals: Vec<Interval>,
}

impl Timeline {
    /// An empty one.
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            intervals: Vec::new(),
        }
    }

    /// Counts writes that took `ns` each and ended `now`.
    pub fn record(&mut self, now: Instant, ns: u64, writes: u64) {
        let place = (now.saturating_duration_since(self.start).as_millis() as u64 / INTERVAL_MS) as usize;
        let place = place.min(MAX_INTERVALS - 1);
        if place >= self.intervals.len() {
            self.intervals.resize(place + 1, Interval::default());
        }
        let interval = &mut self.intervals[place];
        interval.writes += writes;
        interval.worst_ns = interval.worst_ns.max(ns);
    }

    /// Adds what another thread counted, which started at the same time.
    pub fn merge(&mut self, other: &Self) {
        if self.intervals.len() < other.intervals.len() {
            self.intervals.resize(other.intervals.len(), Interval::default());
        }
        for (own, theirs) in self.intervals.iter_mut().zip(&other.intervals) {
            own.writes += theirs.writes;
            own.worst_ns = own.worst_ns.max(theirs.worst_ns);
        }
    }

    /// The intervals, in order.
    pub fn intervals(self) -> Vec<Interval> {
        self.intervals
    }
}

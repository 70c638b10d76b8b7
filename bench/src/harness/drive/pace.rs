//! When the next operation begins.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// When a lane's operations begin.
#[derive(Debug, Clone)]
pub struct Pace {
    kind: Kind,
    /// How many operations all lanes may still begin.
    budget: Option<Arc<AtomicU64>>,
    end: Option<Instant>,
}

#[derive(Debug, Clone)]
enum Kind {
    /// As soon as there is room.
    Closed,
    /// At constant times, whatever the server does.
    Open { next: Instant, interval: Duration },
}

impl Pace {
    /// Whenever an operation is answered the next one begins. This measures what the server can do when its clients wait,
    /// and says nothing of the delay that clients see who don't.
    pub fn closed(end: Option<Instant>, budget: Option<Arc<AtomicU64>>) -> Self {
        Self {
            kind: Kind::Closed,
            budget,
            end,
        }
    }

    /// Operations arrive every `interval` from `first` on. One that can't be sent in time is late, and its latency counts
    /// from when it should have begun (no coordinated omission).
    pub fn open(
        first: Instant,
        interval: Duration,
        end: Option<Instant>,
        budget: Option<Arc<AtomicU64>>,
    ) -> Self {
        Self {
            kind: Kind::Open {
                next: first,
                interval,
            },
            budget,
            end,
        }
    }

    /// When an operation that may be sent now should have begun; `None` if there is none now.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        let intended = match &self.kind {
            Kind::Closed => now,
            Kind::Open { next, .. } if *next <= now => *next,
            Kind::Open { .. } => return None,
        };
        if self.end.is_some_and(|end| intended >= end) {
            return None;
        }
        if let Some(budget) = &self.budget {
            let taken = budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            taken.ok()?;
        }
        if let Kind::Open { next, interval } = &mut self.kind {
            *next += *interval;
        }
        Some(intended)
    }

    /// When the next operation is due; `None` if that does not depend on time.
    pub fn next_due(&self) -> Option<Instant> {
        match &self.kind {
            Kind::Open { next, .. } if !self.is_over(*next) => Some(*next),
            _ => None,
        }
    }

    /// Whether no operation begins at `now` or later.
    pub fn is_over(&self, now: Instant) -> bool {
        let next = match &self.kind {
            Kind::Closed => now,
            Kind::Open { next, .. } => *next,
        };
        self.end.is_some_and(|end| next >= end)
            || self
                .budget
                .as_ref()
                .is_some_and(|budget| budget.load(Ordering::Relaxed) == 0)
    }

    /// Operations that should have begun by now and have not, because nothing could be sent. They are given up.
    pub fn abandon(&mut self) -> u64 {
        let Kind::Open { next, interval } = &mut self.kind else {
            return 0;
        };
        let Some(end) = self.end else { return 0 };
        let left = end.saturating_duration_since(*next).as_nanos() / interval.as_nanos().max(1);
        *next = end;
        left as u64
    }
}

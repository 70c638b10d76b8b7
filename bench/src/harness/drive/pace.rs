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
    /// When it was first asked at or after the end: what was due by then, and has room at that moment, still begins.
    last_look: Option<Instant>,
}

/// Operations whose time came, and that were never begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// When the first of them was due.
    pub first: Instant,
    /// From each to the next.
    pub interval: Duration,
    /// How many.
    pub number: u64,
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
            last_look: None,
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
            last_look: None,
        }
    }

    /// When an operation that may be sent now should have begun; `None` if there is none now.
    ///
    /// Nothing begins after the end, however much waits, but for what the first call at or after it finds due: a lane
    /// that looks a moment late did not miss what came a moment before the end. All calls with that call's `now` belong to it.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        if self.end.is_some_and(|end| now >= end) && *self.last_look.get_or_insert(now) != now {
            return None;
        }
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

    /// When the next operation is due; `None` if that does not depend on time, or none begins any more.
    pub fn next_due(&self) -> Option<Instant> {
        match &self.kind {
            Kind::Open { next, .. } if self.last_look.is_none() && !self.is_over(*next) => Some(*next),
            _ => None,
        }
    }

    /// Whether no operation begins later than `now`. A lane asks with the time at which it last called [`Pace::take`].
    pub fn is_over(&self, now: Instant) -> bool {
        let next = match &self.kind {
            Kind::Closed => now,
            Kind::Open { next, .. } => now.max(*next),
        };
        self.end.is_some_and(|end| next >= end)
            || self
                .budget
                .as_ref()
                .is_some_and(|budget| budget.load(Ordering::Relaxed) == 0)
    }

    /// Operations that were due before the end and have not begun, because nothing could be sent. They are given up.
    pub fn abandon(&mut self) -> Option<Missed> {
        let Kind::Open { next, interval } = &mut self.kind else {
            return None;
        };
        let end = self.end?;
        let (first, interval) = (*next, *interval);
        let left = end.saturating_duration_since(first).as_nanos();
        let number = left.div_ceil(interval.as_nanos().max(1)) as u64;
        *next = first.max(end);
        (number > 0).then_some(Missed {
            first,
            interval,
            number,
        })
    }

    /// Whether operations have times at which they should begin, whatever the server does.
    pub fn is_open(&self) -> bool {
        matches!(self.kind, Kind::Open { .. })
    }
}

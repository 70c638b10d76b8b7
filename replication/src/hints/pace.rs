//! How fast hints are delivered to one node.
//!
//! A hint is *charged* for its bytes, and for [`LEAST_CHARGE`] of them at least: what a small write costs a replica is not its
//! bytes. So the rate bounds writes a second too, 8,192 of them at the default of 16 MiB a second, and a message bounds both
//! what it carries and how long it keeps the replica from its clients ([`MESSAGE_CHARGE`]).
//!
//! The rate is shared by all that deliver to it: each live node takes its part, since each may have as many
//! hints as this one. It is halved when the node refuses, or answers much slower than it usually does, and
//! grows back by a sixteenth with each good answer (additive increase, multiplicative decrease: Chiu and Jain
//! 1989). What is usual follows the answers: down at once, up slowly. So a node that is busy for good is not
//! taken for one that the hints made slow, and one that gets slow suddenly is spared.

use std::time::Duration;

/// What a hint is charged at least, in bytes. A small write costs a node 15 to 20 µs of CPU (docs/performance.md), in which a
/// newcomer takes in some 2 KiB of what it fetches (docs/convergence.md, "A node joins"). With twice as much, what is missed in an
/// hour at the 15,000 writes a second of docs/performance.md would not be delivered in the three hours that hints are kept for.
const LEAST_CHARGE: usize = 2 << 10;

/// Hints travel together until their charges come to so much: 64 small ones, which a replica carries out in a millisecond or so.
pub(super) const MESSAGE_CHARGE: usize = 128 << 10;

/// The most hints that travel together.
pub(super) const MESSAGE_HINTS: usize = MESSAGE_CHARGE / LEAST_CHARGE;

/// What a hint of so many bytes is charged against the rate, in bytes.
pub(super) fn charge(bytes: usize) -> usize {
    bytes.max(LEAST_CHARGE)
}

/// Of the full rate; never slower than this.
const SLOWEST: f64 = 1.0 / 64.0;

const STEP: f64 = 1.0 / 16.0;

/// An answer is slow if it takes so many times as long as usual, and some time more.
const SLOW_FACTOR: u32 = 4;
const SLOW_SLACK: Duration = Duration::from_millis(20);

/// How much of the way to a slower answer the usual one goes.
const DRIFT: u32 = 16;

/// How long a node that refuses is left alone, at full rate.
const RESPITE: Duration = Duration::from_millis(50);

/// The pace of one delivery.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second at most, as hints are charged.
    rate: f64,
    /// The part of it that the target bears.
    part: f64,
    usual: Option<Duration>,
}

impl Pace {
    /// A delivery at a rate (bytes a second) that so many nodes share.
    pub(super) fn new(rate: u64, sharers: usize) -> Self {
        Self {
            rate: (rate as f64 / sharers.max(1) as f64).max(1.0),
            part: 1.0,
            usual: None,
        }
    }

    /// The target took hints of this [`charge`] in all, in that time; returns how long to wait before the next ones. What was not
    /// used of the rate, because the target took long, is not made up for later: that would be a burst.
    pub(super) fn taken(&mut self, charge: usize, took: Duration) -> Duration {
        let usual = self.usual.unwrap_or(took);
        self.usual = Some(usual.min(took) + took.saturating_sub(usual) / DRIFT);
        if took > usual * SLOW_FACTOR + SLOW_SLACK {
            self.part = (self.part / 2.0).max(SLOWEST);
        } else {
            self.part = (self.part + STEP).min(1.0);
        }
        let pause = Duration::from_secs_f64(charge as f64 / (self.rate * self.part));
        // From when the hints left, so that the rate is that of what goes over the wire.
        pause.saturating_sub(took)
    }

    /// The target has too much to do; returns how long to leave it alone.
    pub(super) fn refused(&mut self) -> Duration {
        self.part = (self.part / 2.0).max(SLOWEST);
        RESPITE.div_f64(self.part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_millis(2);

    #[test]
    fn the_rate_is_shared() {
        let mut pace = Pace::new(1 << 20, 8);
        let pause = pace.taken(1 << 20, Duration::ZERO);
        assert_eq!(pause, Duration::from_secs(8));
    }

    /// An hour's hints of 146 bytes each, at the default rate.
    #[test]
    fn the_rate_bounds_small_hints_too() {
        let mut pace = Pace::new(crate::config::DEFAULT_HINT_RATE, 1);
        let took = Duration::from_millis(1);
        let (mut hints, mut time) = (0, Duration::ZERO);
        while hints < 720_000 {
            let message = MESSAGE_HINTS * charge(146);
            assert_eq!(message, MESSAGE_CHARGE);
            time += took + pace.taken(message, took);
            hints += MESSAGE_HINTS;
        }
        let rate = hints as f64 / time.as_secs_f64();
        assert!((rate - 8_192.0).abs() < 1.0, "{rate}");
        assert!(time < Duration::from_mins(2), "{time:?}");
        assert_eq!(
            charge(LEAST_CHARGE + 1),
            LEAST_CHARGE + 1,
            "large ones cost their bytes"
        );
    }

    #[test]
    fn what_was_not_used_is_no_credit() {
        let mut pace = Pace::new(1 << 20, 1);
        let usual = pace.taken(1 << 18, FAST);
        let slower = Duration::from_millis(25);
        let waits = pace.taken(1 << 18, slower);
        assert_eq!(waits + slower, usual + FAST, "counted from when the hints left");
        // Longer than the rate allows it, and not so slow that it is spared.
        let mut pace = Pace::new(1 << 30, 1);
        assert_eq!(pace.taken(1 << 18, slower), Duration::ZERO);
        assert!(pace.taken(1 << 26, FAST) > Duration::from_millis(60));
    }

    #[test]
    fn a_target_that_gets_slow_or_refuses_is_spared_until_it_recovers() {
        let mut pace = Pace::new(1 << 20, 1);
        let usual = pace.taken(1 << 18, FAST);
        let spared = pace.taken(1 << 18, Duration::from_millis(100));
        assert!(spared > usual.mul_f64(1.4), "{usual:?} {spared:?}");
        let first = pace.refused();
        let second = pace.refused();
        assert!(second > first);
        for _ in 0..20 {
            pace.taken(1 << 18, FAST);
        }
        assert_eq!(pace.taken(1 << 18, FAST), usual);
    }

    #[test]
    fn a_target_that_is_busy_for_good_gets_the_full_rate_again() {
        let mut pace = Pace::new(1 << 20, 1);
        let usual = pace.taken(1 << 18, FAST);
        let busy = Duration::from_millis(100);
        assert!(
            pace.taken(1 << 18, busy) > usual,
            "it may be the hints that made it slow"
        );
        for _ in 0..40 {
            pace.taken(1 << 18, busy);
        }
        assert_eq!(pace.taken(1 << 18, busy) + busy, usual + FAST);
    }

    #[test]
    fn it_never_stops() {
        let mut pace = Pace::new(1 << 20, 1);
        for _ in 0..100 {
            pace.refused();
        }
        assert!(pace.refused() <= RESPITE * 64);
    }
}

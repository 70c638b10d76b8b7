//! How fast hints are delivered to one node.
//!
//! The rate is shared by all that deliver to it: each live node takes its part, since each may have as many
//! hints as this one. It is halved when the node refuses, or answers much slower than it usually does, and
//! grows back by a sixteenth with each good answer (additive increase, multiplicative decrease: Chiu and Jain
//! 1989). What is usual follows the answers: down at once, up slowly. So a node that is busy for good is not
//! taken for one that the hints made slow, and one that gets slow suddenly is spared.

use std::time::Duration;

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
    /// Bytes a second at most.
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

    /// The target took so many bytes, in that time; returns how long to wait before the next ones.
    pub(super) fn taken(&mut self, bytes: usize, took: Duration) -> Duration {
        let usual = self.usual.unwrap_or(took);
        self.usual = Some(usual.min(took) + took.saturating_sub(usual) / DRIFT);
        if took > usual * SLOW_FACTOR + SLOW_SLACK {
            self.part = (self.part / 2.0).max(SLOWEST);
        } else {
            self.part = (self.part + STEP).min(1.0);
        }
        let pause = Duration::from_secs_f64(bytes as f64 / (self.rate * self.part));
        // The time that the target took counts: the rate is what goes over the wire.
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

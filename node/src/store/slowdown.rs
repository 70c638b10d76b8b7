//! Making writers slower while flushes and compactions lag.

use std::time::{Duration, Instant};

/// The longest that an acknowledgement is held back: half of what coordinators wait for a write unless set otherwise. To hold it for longer
/// would make timeouts, and hints for a replica that has the write.
const MOST_HELD: Duration = Duration::from_secs(1);

/// When the writes that were slowed down have waited for long enough.
#[derive(Debug, Default)]
pub(super) struct Slowdown {
    due: Option<Instant>,
}

impl Slowdown {
    /// When a write may be answered that is to take so much longer: after the delay of all before it, so that many clients are
    /// slowed down as one is. At once when nothing lags any more, whatever those before it still wait for.
    pub(super) fn hold(&mut self, delay: Duration, now: impl FnOnce() -> Instant) -> Option<Instant> {
        if delay.is_zero() {
            self.due = None;
            return None;
        }
        let now = now();
        let from = self.due.filter(|due| *due > now).unwrap_or(now);
        self.due = Some((from + delay).min(now + MOST_HELD));
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(10);

    #[test]
    fn each_waits_for_the_delay_of_all_before_it() {
        let now = Instant::now();
        let mut slowdown = Slowdown::default();
        assert_eq!(slowdown.hold(STEP, || now), Some(now + STEP));
        assert_eq!(slowdown.hold(STEP, || now), Some(now + STEP * 2));
        let later = now + STEP * 5;
        assert_eq!(slowdown.hold(STEP, || later), Some(later + STEP));
    }

    #[test]
    fn what_is_owed_is_forgotten_when_nothing_lags() {
        let now = Instant::now();
        let mut slowdown = Slowdown::default();
        slowdown.hold(STEP * 50, || now);
        assert_eq!(slowdown.hold(Duration::ZERO, || now), None);
        assert_eq!(slowdown.hold(STEP, || now), Some(now + STEP));
    }

    #[test]
    fn no_answer_is_held_for_longer_than_its_writer_waits() {
        let now = Instant::now();
        let mut slowdown = Slowdown::default();
        for _ in 0..1_000 {
            let due = slowdown.hold(STEP, || now).expect("it is slowed down");
            assert!(due <= now + MOST_HELD);
        }
    }
}

//! Timestamps of writes, for sessions that give them.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::SystemTime,
};

use starling_model::Timestamp;

/// Follows the machine's clock, and never gives a timestamp twice or one before.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: AtomicI64,
}

impl Clock {
    pub(crate) fn stamp(&self) -> Timestamp {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
        self.stamp_at(now)
    }

    fn stamp_at(&self, now: i64) -> Timestamp {
        let after = |last: i64| now.max(last.saturating_add(1));
        // Nothing else is read by it, so that order among threads beyond this value does not matter.
        let last = self.last.update(Ordering::Relaxed, Ordering::Relaxed, after);
        Timestamp(after(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_follow_the_clock_and_never_go_back() {
        let clock = Clock::default();
        let stamps = [10, 10, 5, 20].map(|now| clock.stamp_at(now).0);
        assert_eq!(stamps, [10, 11, 12, 20]);
    }
}

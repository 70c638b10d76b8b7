//! How fast a peer answers reads.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

/// Exponentially weighted mean and mean deviation of a peer's read latency, in microseconds, as TCP
/// estimates its round trip (RFC 6298). Concurrent updates may lose a sample, which does no harm.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    mean: AtomicU32,
    deviation: AtomicU32,
    /// Something was recorded since [`forgive`](Self::forgive) was called last.
    asked: AtomicBool,
}

/// Before the first sample a peer is assumed to be this fast, so that it gets tried.
const UNKNOWN: Duration = Duration::from_millis(1);
const UNKNOWN_MICROS: u32 = 1000;
/// A read is never suspected to be slow before this.
const SPECULATE_FLOOR: Duration = Duration::from_millis(5);

impl Latency {
    /// Takes in one read: what it took, or what it has taken until now, if others are asked instead.
    pub(crate) fn record(&self, took: Duration) {
        self.asked.store(true, Ordering::Relaxed);
        let sample = u32::try_from(took.as_micros())
            .unwrap_or(u32::MAX / 8)
            .clamp(1, u32::MAX / 8);
        let mean = self.mean.load(Ordering::Relaxed);
        if mean == 0 {
            self.mean.store(sample, Ordering::Relaxed);
            self.deviation.store(sample / 2, Ordering::Relaxed);
            return;
        }
        let deviation = self.deviation.load(Ordering::Relaxed);
        let off = sample.abs_diff(mean);
        self.deviation
            .store(deviation - deviation / 4 + off / 4, Ordering::Relaxed);
        self.mean
            .store((mean - mean / 8 + sample / 8).max(1), Ordering::Relaxed);
    }

    /// Some time has passed since this was called last. Who was not asked meanwhile is trusted a little more again:
    /// otherwise a peer that was slow once would never be tried again.
    pub(crate) fn forgive(&self) {
        if self.asked.swap(false, Ordering::Relaxed) {
            return;
        }
        let mean = self.mean.load(Ordering::Relaxed);
        if mean > UNKNOWN_MICROS {
            self.mean.store(mean - mean / 8, Ordering::Relaxed);
        }
    }

    /// The usual latency.
    pub(crate) fn usual(&self) -> Duration {
        match self.mean.load(Ordering::Relaxed) {
            0 => UNKNOWN,
            mean => Duration::from_micros(u64::from(mean)),
        }
    }

    /// After how long another replica should be asked too: beyond what nearly all reads take, and at
    /// most a quarter of the timeout.
    pub(crate) fn suspicious_after(&self, timeout: Duration) -> Duration {
        let slack = Duration::from_micros(u64::from(self.deviation.load(Ordering::Relaxed)) * 4);
        (self.usual() + slack).max(SPECULATE_FLOOR).min(timeout / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_late_is_slower_until_it_is_forgiven() {
        let latency = Latency::default();
        for _ in 0..20 {
            latency.record(Duration::from_micros(400));
        }
        let before = latency.usual();
        for _ in 0..20 {
            latency.record(Duration::from_millis(20));
        }
        let late = latency.usual();
        assert!(late > before * 10, "{late:?}");
        // Whoever is being asked has its latency measured.
        latency.forgive();
        assert_eq!(latency.usual(), late);
        for _ in 0..60 {
            latency.forgive();
        }
        assert!(latency.usual() <= UNKNOWN, "{:?}", latency.usual());
    }
}

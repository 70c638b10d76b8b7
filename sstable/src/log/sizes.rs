//! How many writes share a sync.

use std::sync::atomic::{AtomicU64, Ordering};

/// Classes of a [`BatchSizes`].
const CLASSES: usize = 20;

/// How many syncs had how many writes: a histogram over powers of two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchSizes {
    /// Place n counts the syncs of at least 2^n writes, and less than twice that; the last one also larger ones.
    pub counts: [u64; CLASSES],
}

impl BatchSizes {
    /// All syncs that it counts.
    pub fn syncs(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The least number of writes that a share of the syncs, from 0 to 1, does not exceed, rounded up to the end of its
    /// class; 0 if there were none.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.syncs() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (class, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return (2 << class) - 1;
            }
        }
        0
    }
}

/// The histogram while it is counted.
#[derive(Debug, Default)]
pub(super) struct Counting {
    counts: [AtomicU64; CLASSES],
}

impl Counting {
    pub(super) fn count(&self, writes: u64) {
        let class = writes.max(1).ilog2() as usize;
        self.counts[class.min(CLASSES - 1)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sizes(&self) -> BatchSizes {
        BatchSizes {
            counts: std::array::from_fn(|class| self.counts[class].load(Ordering::Relaxed)),
        }
    }
}

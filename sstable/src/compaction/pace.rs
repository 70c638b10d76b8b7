//! How fast compactions may go: no faster than they have to.

const SECOND_NANOS: u64 = 1_000_000_000;

/// A budget of bytes per second. Time comes from the caller, in nanoseconds from any beginning.
///
/// Unused budget is kept for a tenth of a second, so that steps of work need not be small.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    bytes_per_second: u64,
    /// When what was taken is paid for.
    paid_at: u64,
}

/// The bounds of a [`Pace`] that follows the debt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceLimits {
    /// The least, in bytes per second.
    pub least: u64,
    /// The most, in bytes per second.
    pub most: u64,
    /// In how many seconds the debt is to be worked off.
    pub seconds: u64,
}

impl Default for PaceLimits {
    fn default() -> Self {
        Self {
            least: 32 << 20,
            most: 1 << 30,
            seconds: 20,
        }
    }
}

impl PaceLimits {
    /// How fast to go with so many bytes to be compacted: in proportion, so that a burst of writes is not
    /// followed by one of compactions, and compactions that lag catch up.
    pub fn bytes_per_second(&self, debt: u64) -> u64 {
        let most = self.most.max(self.least);
        (debt / self.seconds.max(1)).clamp(self.least, most)
    }
}

impl Pace {
    /// A budget. 0 is taken as 1.
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            paid_at: 0,
        }
    }

    /// Changes the budget.
    pub fn set(&mut self, bytes_per_second: u64) {
        self.bytes_per_second = bytes_per_second.max(1);
    }

    /// Takes the price of work that was done. Returns for how long no more should be done, in nanoseconds.
    pub fn take(&mut self, now: u64, bytes: u64) -> u64 {
        let price = u128::from(bytes) * u128::from(SECOND_NANOS) / u128::from(self.bytes_per_second);
        let price = u64::try_from(price).unwrap_or(u64::MAX);
        let from = self.paid_at.max(now.saturating_sub(SECOND_NANOS / 10));
        self.paid_at = from.saturating_add(price);
        self.paid_at.saturating_sub(now)
    }
}

//! Time as data: the write timestamps that order cells, the seconds that expire them, and the clock
//! that hands timestamps out.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, as a client or a coordinator stamps a write. May be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Older than every timestamp that a write can carry.
    pub const MIN: Self = Self(i64::MIN);

    /// The whole second this timestamp falls in; 0 before the epoch.
    pub fn seconds(self) -> Seconds {
        Seconds(u32::try_from(self.0.max(0) / 1_000_000).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Seconds since the Unix epoch (until 2106): expiry of cells and age of tombstones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seconds(pub u32);

impl Seconds {
    /// Later than every expiry.
    pub const MAX: Self = Self(u32::MAX);
}

/// A deletion: everything it covers that was written at or before `timestamp` is gone.
///
/// Orders by timestamp first, so that the larger deletion is the one that wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Deletion {
    /// Covers what was written at this timestamp or earlier.
    pub timestamp: Timestamp,
    /// When the deletion was made, by the coordinator's clock: the age that purging goes by.
    pub at: Seconds,
}

impl Deletion {
    /// Whether something written at `timestamp` is deleted by this.
    pub fn covers(&self, timestamp: Timestamp) -> bool {
        timestamp <= self.timestamp
    }

    /// The stronger of two deletions, either of which may be absent.
    pub fn strongest(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        a.max(b)
    }
}

/// How far ahead of the local clock a remote timestamp may lie, in microseconds, before
/// [`HybridClock::observe`] refuses it: one minute.
pub const MAX_DRIFT_MICROS: i64 = 60_000_000;

/// A hybrid logical clock on microseconds (Kulkarni et al., "Logical Physical Clocks", 2014), with the
/// logical part folded into the low bits of the timestamp: a tick is one microsecond.
///
/// Contract:
/// 1. [`tick`](Self::tick) returns strictly increasing timestamps, also when the wall clock goes back.
/// 2. After [`observe`](Self::observe) accepted `t`, every later tick is greater than `t`.
/// 3. A remote timestamp more than [`MAX_DRIFT_MICROS`] ahead of the local wall clock is refused and
///    changes nothing, so one broken clock can't drag the cluster into the future.
#[derive(Debug, Clone)]
pub struct HybridClock {
    last: i64,
}

impl Default for HybridClock {
    fn default() -> Self {
        Self { last: i64::MIN }
    }
}

/// A timestamp lies further in the future than the clock tolerates. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "timestamp {timestamp} is {ahead} microseconds ahead of this node's clock; at most {MAX_DRIFT_MICROS} are accepted"
)]
pub struct TooFarAhead {
    /// The refused timestamp, in microseconds since the epoch.
    pub timestamp: i64,
    /// How far it is ahead of the wall clock, in microseconds.
    pub ahead: i64,
}

impl HybridClock {
    /// The next timestamp, given what the wall clock reads (microseconds since the epoch).
    pub fn tick(&mut self, wall: Timestamp) -> Timestamp {
        self.last = wall.0.max(self.last.saturating_add(1));
        Timestamp(self.last)
    }

    /// Learns of a timestamp that another node issued.
    pub fn observe(&mut self, remote: Timestamp, wall: Timestamp) -> Result<(), TooFarAhead> {
        let ahead = remote.0.saturating_sub(wall.0);
        if ahead > MAX_DRIFT_MICROS {
            return Err(TooFarAhead {
                timestamp: remote.0,
                ahead,
            });
        }
        self.last = self.last.max(remote.0);
        Ok(())
    }

    /// The newest timestamp that was issued or observed.
    pub fn latest(&self) -> Timestamp {
        Timestamp(self.last)
    }
}

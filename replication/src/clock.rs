//! The node's hybrid logical clock, shared by all that hand out or hear timestamps.

use parking_lot::Mutex;
use starling_cql::Error;
use starling_model::{HybridClock, Timestamp};

/// How far ahead of the node's clock a timestamp that a client gives may lie, in microseconds: one hour.
///
/// Cassandra takes any; but a row stamped in the far future can't be changed or deleted until then, and
/// nearly always is a mistake in the unit (nanoseconds instead of microseconds). Small and negative
/// timestamps are fine.
pub(crate) const MAX_CLIENT_DRIFT_MICROS: i64 = 3_600_000_000;

/// A hybrid logical clock behind a lock that is held for a few instructions.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<State>);

#[derive(Debug)]
struct State {
    clock: HybridClock,
    /// The newest timestamp that was handed out.
    issued: Timestamp,
}

impl Default for State {
    fn default() -> Self {
        Self {
            clock: HybridClock::default(),
            issued: Timestamp(i64::MIN),
        }
    }
}

impl Clock {
    /// The next timestamp: greater than every one that was handed out or observed.
    pub(crate) fn tick(&self, wall: Timestamp) -> Timestamp {
        let mut state = self.0.lock();
        state.issued = state.clock.tick(wall);
        state.issued
    }

    /// The newest timestamp that was handed out.
    pub(crate) fn issued(&self) -> Timestamp {
        self.0.lock().issued
    }

    /// Every later timestamp is greater than this, however far ahead of the wall clock it is.
    pub(crate) fn begin_after(&self, floor: Timestamp) {
        // By its own clock it is not ahead, so it is not refused.
        let _ = self.0.lock().clock.observe(floor, floor);
    }

    /// The newest timestamp that was handed out or observed, or the wall clock if that is later. What
    /// messages carry.
    pub(crate) fn latest(&self, wall: Timestamp) -> Timestamp {
        self.0.lock().clock.latest().max(wall)
    }

    /// Learns of a peer's clock. One that is far ahead is not believed: better to lose causality with a
    /// node whose clock is broken than to follow it.
    pub(crate) fn observe(&self, remote: Timestamp, wall: Timestamp) {
        if let Err(error) = self.0.lock().clock.observe(remote, wall) {
            ::tracing::warn!(%error, "a peer's clock is not believed");
        }
    }
}

/// Refuses a client's timestamp that lies more than [`MAX_CLIENT_DRIFT_MICROS`] ahead of `wall`.
pub(crate) fn check_client_timestamp(timestamp: Timestamp, wall: Timestamp) -> Result<(), Error> {
    let ahead = timestamp.0.saturating_sub(wall.0);
    if ahead > MAX_CLIENT_DRIFT_MICROS {
        return Err(Error::invalid(format!(
            "timestamp {timestamp} is {} seconds ahead of this node's clock, and at most {} are accepted; timestamps are microseconds since 1970; nothing was written",
            ahead / 1_000_000,
            MAX_CLIENT_DRIFT_MICROS / 1_000_000
        )));
    }
    Ok(())
}

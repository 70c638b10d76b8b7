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

/// Timestamps that follow one far ahead are spread over so many microseconds.
const APART_MICROS: u64 = 1000;

/// How often the log says that some peer's clock is not believed, at most, in microseconds.
const WARNING_MICROS: i64 = 60_000_000;

/// A hybrid logical clock behind a lock that is held for a few instructions.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<State>);

#[derive(Debug)]
struct State {
    clock: HybridClock,
    /// The newest timestamp that was handed out.
    issued: Timestamp,
    /// When the log last said that a peer's clock is not believed.
    warned: Timestamp,
}

impl Default for State {
    fn default() -> Self {
        Self {
            clock: HybridClock::default(),
            issued: Timestamp::MIN,
            warned: Timestamp::MIN,
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

    /// The next timestamp, greater also than `newest`, which a replica has told: its clock, or its client's, is
    /// ahead. If it is far ahead only this timestamp follows it, and not the clock. `random` keeps two that
    /// follow the same one apart.
    pub(crate) fn tick_after(&self, newest: Timestamp, wall: Timestamp, random: u64) -> Timestamp {
        let mut state = self.0.lock();
        // Refused if it is far ahead: so be it.
        let _ = state.clock.observe(newest, wall);
        let tick = state.clock.tick(wall);
        state.issued = tick;
        if tick > newest {
            return tick;
        }
        let apart = 1 + (random % APART_MICROS) as i64;
        Timestamp(newest.0.saturating_add(apart))
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
        let mut state = self.0.lock();
        let Err(error) = state.clock.observe(remote, wall) else {
            return;
        };
        let due = wall.0.saturating_sub(state.warned.0).saturating_abs() >= WARNING_MICROS;
        if due {
            state.warned = wall;
            drop(state);
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

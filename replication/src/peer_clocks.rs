//! What gossip tells of the other nodes' clocks, so that a node finds out that its own is wrong.
//!
//! Replicas refuse writes from further in the future than any client may choose and any clock may be wrong. But a
//! coordinator is a replica too, and measures its own writes with the clock that is wrong: it would store them, and repair
//! would spread them, since what one replica has the others must take, or they would differ for ever. So a coordinator refuses
//! what most of the other nodes would refuse.
//!
//! A node tells its hybrid clock, which is never behind its wall clock: what is taken for far ahead is at least so far ahead.
//! One other node with a clock that is far behind decides nothing, unless there are but two: then the one that is ahead is
//! taken for wrong, for what is stamped too low can be mended by writing it again.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use starling_cql::Error;
use starling_model::{NodeId, Timestamp};

use crate::{
    clock::MAX_CLIENT_DRIFT_MICROS,
    clock_floor::{COVERED_MICROS, Now},
};

/// How far ahead of the others' clocks a write may be, in microseconds: as far as they accept it.
pub(crate) const MOST_AHEAD_MICROS: i64 = MAX_CLIENT_DRIFT_MICROS + COVERED_MICROS;

/// Who was not heard for so long does not count.
const LATELY: Duration = Duration::from_mins(1);

/// How often the log says that this node's clock is wrong, at most.
const WARNING: Duration = Duration::from_mins(1);

/// Nothing was heard yet.
const UNKNOWN: i64 = i64::MAX;

/// The clocks of the other nodes.
#[derive(Debug)]
pub(crate) struct PeerClocks {
    heard: Mutex<Heard>,
    /// How far most of the others' clocks are ahead of this node's monotonic clock, at most, in microseconds.
    offset: AtomicI64,
}

#[derive(Debug, Default)]
struct Heard {
    /// For each node how far its clock was ahead of the monotonic one of this node, and when that was.
    nodes: BTreeMap<NodeId, (i64, Duration)>,
    warned: Option<Duration>,
}

impl Default for PeerClocks {
    fn default() -> Self {
        Self {
            heard: Mutex::default(),
            offset: AtomicI64::new(UNKNOWN),
        }
    }
}

impl PeerClocks {
    /// Notes what a member says of its clock; nothing before 1970 is one. To be called about once a second for each.
    pub(crate) fn note(&self, node: NodeId, clock: Timestamp, now: Now) {
        if clock.0 <= 0 {
            return;
        }
        let mut heard = self.heard.lock();
        let monotonic = i64::try_from(now.monotonic.as_micros()).unwrap_or(i64::MAX);
        let offset = clock.0.saturating_sub(monotonic);
        heard.nodes.insert(node, (offset, now.monotonic));
        heard
            .nodes
            .retain(|_, (_, at)| now.monotonic.saturating_sub(*at) <= LATELY);
        let mut offsets: Vec<i64> = heard.nodes.values().map(|(offset, _)| *offset).collect();
        offsets.sort_unstable();
        // More than half of them are at most so far ahead.
        let most = offsets[offsets.len() / 2];
        self.offset.store(most, Ordering::Relaxed);
        let ahead = self.ahead(now.wall, now.monotonic);
        let due = heard
            .warned
            .is_none_or(|warned| now.monotonic.saturating_sub(warned) >= WARNING);
        if ahead > MOST_AHEAD_MICROS && due {
            heard.warned = Some(now.monotonic);
            drop(heard);
            ::tracing::error!(
                seconds = ahead / 1_000_000,
                "this node's clock is far ahead of the others': it takes no writes until that is mended"
            );
        }
    }

    /// How far a timestamp is ahead of most of the others' clocks, at least, in microseconds.
    fn ahead(&self, timestamp: Timestamp, monotonic: Duration) -> i64 {
        let offset = self.offset.load(Ordering::Relaxed);
        let monotonic = i64::try_from(monotonic.as_micros()).unwrap_or(i64::MAX);
        timestamp.0.saturating_sub(offset.saturating_add(monotonic))
    }

    /// Refuses a write's newest timestamp if most of the other nodes would. Nothing is refused before any was heard.
    pub(crate) fn check(&self, newest: Timestamp, monotonic: Duration) -> Result<(), Error> {
        let ahead = self.ahead(newest, monotonic);
        if ahead > MOST_AHEAD_MICROS {
            return Err(Error::server(format!(
                "the write's timestamp is {} seconds ahead of the other nodes' clocks: this node's clock is wrong; nothing was written",
                ahead / 1_000_000
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    /// How far ahead of true time, in hours, each node's clock is; whether a write with the true time is taken.
    fn takes(others: &[i64], newest: i64) -> bool {
        let clocks = PeerClocks::default();
        for (at, hours) in others.iter().enumerate() {
            let now = Now {
                wall: Timestamp(100 * HOUR),
                monotonic: Duration::from_secs(at as u64),
            };
            let clock = Timestamp((100 + hours) * HOUR + at as i64 * 1_000_000);
            clocks.note(NodeId(at as u128), clock, now);
        }
        let newest = Timestamp(100 * HOUR + newest);
        clocks
            .check(newest, Duration::from_secs(others.len() as u64))
            .is_ok()
    }

    #[test]
    fn most_of_the_others_decide() {
        assert!(takes(&[], 1000 * HOUR), "nobody was heard");
        for others in [
            &[0][..],
            &[0, 0],
            &[0, -3, 0],
            &[0, 0, -3, -3],
            &[5, 0, 0],
            &[0, 5],
        ] {
            assert!(takes(others, 0), "{others:?}");
            assert!(takes(others, HOUR), "{others:?}");
        }
        for others in [&[0][..], &[0, 0], &[0, -3, 0], &[5, 0, 0], &[5, 0, 0, 0]] {
            assert!(!takes(others, 2 * HOUR), "{others:?}");
        }
        assert!(takes(&[0, 5], 2 * HOUR), "one of two would take it");
    }

    #[test]
    fn who_is_silent_does_not_count() {
        let clocks = PeerClocks::default();
        let now = |seconds| Now {
            wall: Timestamp(100 * HOUR),
            monotonic: Duration::from_secs(seconds),
        };
        clocks.note(NodeId(3), Timestamp(0), now(0));
        clocks
            .check(Timestamp(100 * HOUR), Duration::from_secs(1))
            .unwrap();
        clocks.note(NodeId(1), Timestamp(90 * HOUR), now(0));
        clocks
            .check(Timestamp(100 * HOUR), Duration::from_secs(1))
            .unwrap_err();
        clocks.note(NodeId(2), Timestamp(100 * HOUR), now(100));
        clocks
            .check(Timestamp(100 * HOUR), Duration::from_secs(101))
            .unwrap();
    }
}

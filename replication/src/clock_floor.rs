//! What a node's clock remembers across restarts.
//!
//! The hybrid clock never goes back while a process lives. A wall clock that is set back while the node is
//! down (by hand, by a virtual machine's host, by a lost battery) would make it: writes after the restart
//! would get older timestamps than durable ones from before it, and lose to them, unseen. So the newest
//! timestamp that was handed out is stored, about once a second while any are, and a restart goes on from it.
//!
//! The same holds for the writes that the node took as a replica: it forgets with a restart which rows had
//! which timestamps ([`Newest`](crate::newest::Newest)), and takes all for as new as the newest. Those that
//! are not ahead of its clock need no storing one by one: the clock after the restart is later, or what is stored each
//! second is. One that is ahead waits until a bound above it is durable, which then holds for the next seconds. A wall
//! clock that has just jumped ahead is no measure of that: since the last storing it has gone on by what the monotonic
//! clock has, at most.
//!
//! What is left: a write within the last second before a crash, with none in the seconds before, is forgotten if the clock
//! is set back behind it while the node is down.

use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use starling_model::Timestamp;
use starling_sstable::fs::Fs;

use crate::{
    clock::{Clock, MAX_CLIENT_DRIFT_MICROS},
    durable_file::{self, ReplaceError},
    env::Env,
    start_error::StartError,
};

const PATH: &str = "node/clock";
const MAGIC: [u8; 8] = *b"STRLCLCK";

/// How much later than the stored timestamp the newest one may have been, in microseconds.
const LAG_MICROS: i64 = 2_000_000;

/// How far ahead of the wall clock a write may be without anything being stored for it, in microseconds:
/// clocks that are kept in step are closer. After a restart everything counts as so much newer.
const SLACK_MICROS: i64 = 100_000;

/// How far ahead of a write the bound is set that makes it outlast a restart, in microseconds.
const HEADROOM_MICROS: i64 = 5_000_000;

/// Writes that are further ahead of the wall clock, in microseconds, are not respected after a restart: no
/// coordinator's clock is wrong by so much, so a client has chosen the timestamp. Ten minutes.
pub(crate) const COVERED_MICROS: i64 = 600_000_000;

/// The newest timestamps that are stored.
pub(crate) struct ClockFloor {
    stored: Mutex<Stored>,
    /// The newest write that was taken, as far as restarts respect it.
    taken: AtomicI64,
    /// A copy of what is stored of it.
    covered: AtomicI64,
    /// How far the wall clock was ahead of the monotonic one when something was stored last, or at the start, in
    /// microseconds.
    offset: AtomicI64,
    /// All writes of earlier runs are at most this new.
    begin: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stored {
    /// Handed out.
    issued: Timestamp,
    /// Taken as a replica, or about to be.
    taken: Timestamp,
}

/// What a node's two clocks show at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// The wall clock, which may jump.
    pub(crate) wall: Timestamp,
    /// The monotonic clock.
    pub(crate) monotonic: Duration,
}

impl Now {
    pub(crate) fn of<E: Env>(env: &E) -> Self {
        Self {
            wall: env.wall(),
            monotonic: env.monotonic(),
        }
    }

    /// How far the wall clock is ahead of the monotonic one, in microseconds.
    fn offset(self) -> i64 {
        self.wall.0.saturating_sub(micros(self.monotonic))
    }

    /// What the wall clock would show if it had been so far ahead of the monotonic one.
    fn steady(self, offset: i64) -> i64 {
        offset.saturating_add(micros(self.monotonic))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl ClockFloor {
    /// Reads what the last run stored, and sets `clock` after it if the wall clock was set back since.
    ///
    /// A floor that is more than an hour ahead is not believed: the last run's clock was wrong then, and
    /// following it would be wrong for as long.
    pub(crate) fn load(fs: &dyn Fs, clock: &Clock, now: Now) -> Result<Self, StartError> {
        let wall = now.wall;
        let stored = match durable_file::read(fs, Path::new(PATH), MAGIC)? {
            None => Stored {
                issued: Timestamp::MIN,
                taken: Timestamp::MIN,
            },
            Some(content) => decode(&content).ok_or_else(|| StartError::Damaged {
                file: PATH.to_owned(),
                problem: "it is neither 8 nor 16 bytes long".to_owned(),
            })?,
        };
        let back = stored.issued.0.saturating_sub(wall.0);
        if back > MAX_CLIENT_DRIFT_MICROS {
            ::tracing::error!(
                seconds = back / 1_000_000,
                "the clock is far behind that of the last run: check the clock"
            );
        } else if back > 0 {
            ::tracing::warn!(
                seconds = back / 1_000_000,
                "the clock was set back since the last run: timestamps go on from there"
            );
            clock.begin_after(Timestamp(stored.issued.0.saturating_add(LAG_MICROS)));
        }
        let last = stored.issued.max(stored.taken);
        let begin = if last > wall {
            last.0.saturating_add(LAG_MICROS)
        } else {
            wall.0
        };
        Ok(Self {
            stored: Mutex::new(stored),
            taken: AtomicI64::new(stored.taken.0),
            covered: AtomicI64::new(stored.taken.0),
            offset: AtomicI64::new(now.offset()),
            begin: Timestamp(begin.saturating_add(SLACK_MICROS)),
        })
    }

    /// No write of an earlier run that this class remembers is newer than this.
    pub(crate) fn begin(&self) -> Timestamp {
        self.begin
    }

    /// Notes that a write is about to be taken; whether something must be [stored](Self::cover) before.
    pub(crate) fn take(&self, newest: Timestamp, now: Now) -> bool {
        let steady = now.steady(self.offset.load(Ordering::Acquire));
        let ahead = newest.0.saturating_sub(now.wall.0.min(steady));
        if newest.0.saturating_sub(now.wall.0) > COVERED_MICROS {
            return false;
        }
        self.taken.fetch_max(newest.0, Ordering::AcqRel);
        ahead > SLACK_MICROS && newest.0 > self.covered.load(Ordering::Acquire)
    }

    /// Makes durable that writes as new as this were taken. Blocks.
    pub(crate) fn cover(&self, fs: &dyn Fs, newest: Timestamp) -> Result<(), ReplaceError> {
        let mut stored = self.stored.lock();
        if stored.taken >= newest {
            return Ok(());
        }
        let next = Stored {
            taken: Timestamp(newest.0.saturating_add(HEADROOM_MICROS)),
            ..*stored
        };
        self.replace(fs, &mut stored, next)
    }

    /// Stores the newest timestamps that `clock` handed out and that were taken, if they are newer.
    pub(crate) fn store(&self, fs: &dyn Fs, clock: &Clock, now: Now) {
        let mut stored = self.stored.lock();
        let next = Stored {
            issued: clock.issued().max(stored.issued),
            taken: Timestamp(self.taken.load(Ordering::Acquire)).max(stored.taken),
        };
        if next == *stored {
            return;
        }
        match self.replace(fs, &mut stored, next) {
            Ok(()) => self.offset.store(now.offset(), Ordering::Release),
            Err(error) => ::tracing::warn!(%error, "the clock's state can't be stored"),
        }
    }

    fn replace(&self, fs: &dyn Fs, stored: &mut Stored, next: Stored) -> Result<(), ReplaceError> {
        let mut content = next.issued.0.to_be_bytes().to_vec();
        content.extend_from_slice(&next.taken.0.to_be_bytes());
        durable_file::replace(fs, Path::new(PATH), MAGIC, &content)?;
        *stored = next;
        self.covered.store(next.taken.0, Ordering::Release);
        Ok(())
    }
}

/// The content is what was handed out, and since version 2 what was taken.
fn decode(content: &[u8]) -> Option<Stored> {
    let number = |bytes: &[u8]| Some(Timestamp(i64::from_be_bytes(bytes.try_into().ok()?)));
    let (issued, taken) = match content.len() {
        8 => (number(content)?, Timestamp::MIN),
        16 => (number(&content[..8])?, number(&content[8..])?),
        _ => return None,
    };
    Some(Stored { issued, taken })
}

#[cfg(test)]
mod tests {
    use starling_sstable::fs::MemoryFs;

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    /// The clocks show `wall`, and never jumped.
    fn at(wall: Timestamp) -> Now {
        Now {
            wall,
            monotonic: Duration::from_micros(wall.0 as u64),
        }
    }

    /// The first timestamp after a restart at which the wall clock shows `wall`; before it one was handed
    /// out at `NOW`.
    fn first_after_restart(wall: Timestamp) -> Timestamp {
        let fs = MemoryFs::new();
        let clock = Clock::default();
        let floor = ClockFloor::load(&fs, &clock, at(NOW)).expect("there is none");
        clock.tick(NOW);
        floor.store(&fs, &clock, at(NOW));
        let fs = fs.after_crash(&mut |_, _| 0);
        let clock = Clock::default();
        ClockFloor::load(&fs, &clock, at(wall)).expect("it is whole");
        clock.tick(wall)
    }

    #[test]
    fn a_clock_that_was_set_back_goes_on_after_the_last_run() {
        let first = first_after_restart(Timestamp(NOW.0 - 60_000_000));
        assert!(first.0 > NOW.0 + LAG_MICROS);
    }

    #[test]
    fn a_clock_that_went_on_is_followed() {
        let wall = Timestamp(NOW.0 + 1);
        assert_eq!(first_after_restart(wall), wall);
    }

    #[test]
    fn a_clock_that_was_in_the_far_future_is_not_followed() {
        let wall = Timestamp(NOW.0 - MAX_CLIENT_DRIFT_MICROS - 1);
        assert_eq!(first_after_restart(wall), wall);
    }

    #[test]
    fn what_was_only_observed_is_not_stored() {
        let fs = MemoryFs::new();
        let clock = Clock::default();
        let floor = ClockFloor::load(&fs, &clock, at(NOW)).expect("there is none");
        clock.observe(NOW, NOW);
        floor.store(&fs, &clock, at(NOW));
        assert!(!fs.exists(Path::new(PATH)).expect("the disk works"));
    }

    #[test]
    fn a_write_from_ahead_outlasts_a_crash() {
        let fs = MemoryFs::new();
        let floor = ClockFloor::load(&fs, &Clock::default(), at(NOW)).expect("there is none");
        assert_eq!(floor.begin(), Timestamp(NOW.0 + SLACK_MICROS));
        assert!(
            !floor.take(Timestamp(NOW.0 + SLACK_MICROS), at(NOW)),
            "close enough"
        );
        let ahead = Timestamp(NOW.0 + 300_000_000);
        assert!(floor.take(ahead, at(NOW)));
        floor.cover(&fs, ahead).expect("the disk works");
        assert!(
            !floor.take(Timestamp(ahead.0 + HEADROOM_MICROS), at(NOW)),
            "covered"
        );
        let fs = fs.after_crash(&mut |_, _| 0);
        let clock = Clock::default();
        let later = Timestamp(NOW.0 + 1_000_000);
        let floor = ClockFloor::load(&fs, &clock, at(later)).expect("it is whole");
        assert!(floor.begin() >= ahead);
        assert_eq!(
            clock.tick(later),
            later,
            "the node's own clock is not dragged along"
        );
    }

    #[test]
    fn a_write_by_a_clock_that_has_just_jumped_ahead_outlasts_a_crash() {
        let fs = MemoryFs::new();
        let clock = Clock::default();
        let floor = ClockFloor::load(&fs, &clock, at(NOW)).expect("there is none");
        let later = Timestamp(NOW.0 + 3_600_000_000);
        assert!(!floor.take(later, at(later)), "an hour passed");
        let jumped = Now {
            wall: Timestamp(later.0 + 300_000_000),
            ..at(later)
        };
        assert!(floor.take(jumped.wall, jumped));
        floor.cover(&fs, jumped.wall).expect("the disk works");
        let after = ClockFloor::load(&fs.after_crash(&mut |_, _| 0), &clock, at(later)).expect("it is whole");
        assert!(after.begin() >= jumped.wall);
        // What is stored each second holds for what comes after it.
        clock.tick(jumped.wall);
        floor.store(&fs, &clock, jumped);
        let next = Now {
            wall: Timestamp(jumped.wall.0 + 60_000_000),
            monotonic: jumped.monotonic + Duration::from_mins(1),
        };
        assert!(!floor.take(next.wall, next));
    }

    #[test]
    fn what_a_client_stamped_far_ahead_does_not_hold_for_everything_after_a_restart() {
        let fs = MemoryFs::new();
        let clock = Clock::default();
        let floor = ClockFloor::load(&fs, &clock, at(NOW)).expect("there is none");
        assert!(!floor.take(Timestamp(NOW.0 + COVERED_MICROS + 1), at(NOW)));
        floor.store(&fs, &clock, at(NOW));
        let floor = ClockFloor::load(&fs, &clock, at(NOW)).expect("it is whole");
        assert_eq!(floor.begin(), Timestamp(NOW.0 + SLACK_MICROS));
    }

    #[test]
    fn a_file_of_the_first_version_is_read() {
        let fs = MemoryFs::new();
        durable_file::replace(&fs, Path::new(PATH), MAGIC, &NOW.0.to_be_bytes()).expect("the disk works");
        let floor = ClockFloor::load(&fs, &Clock::default(), at(NOW)).expect("it is whole");
        assert_eq!(floor.stored.lock().issued, NOW);
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let fs = MemoryFs::new();
        durable_file::replace(&fs, Path::new(PATH), MAGIC, b"short").expect("the disk works");
        let loaded = ClockFloor::load(&fs, &Clock::default(), at(NOW));
        assert!(matches!(loaded, Err(StartError::Damaged { .. })));
    }
}

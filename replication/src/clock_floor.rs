//! What a node's clock remembers across restarts.
//!
//! The hybrid clock never goes back while a process lives. A wall clock that is set back while the node is
//! down (by hand, by a virtual machine's host, by a lost battery) would make it: writes after the restart
//! would get older timestamps than durable ones from before it, and lose to them, unseen. So the newest
//! timestamp that was handed out is stored, about once a second while any are, and a restart goes on from it.

use std::path::Path;

use parking_lot::Mutex;
use starling_model::Timestamp;
use starling_sstable::fs::Fs;

use crate::{
    clock::{Clock, MAX_CLIENT_DRIFT_MICROS},
    durable_file,
    start_error::StartError,
};

const PATH: &str = "node/clock";
const MAGIC: [u8; 8] = *b"STRLCLCK";

/// How much later than the stored timestamp the newest one may have been, in microseconds.
const LAG_MICROS: i64 = 2_000_000;

/// The newest timestamp that is stored.
pub(crate) struct ClockFloor {
    stored: Mutex<Timestamp>,
}

impl ClockFloor {
    /// Reads what the last run stored, and sets `clock` after it if the wall clock was set back since.
    ///
    /// A floor that is more than an hour ahead is not believed: the last run's clock was wrong then, and
    /// following it would be wrong for as long.
    pub(crate) fn load(fs: &dyn Fs, clock: &Clock, wall: Timestamp) -> Result<Self, StartError> {
        let stored = match durable_file::read(fs, Path::new(PATH), MAGIC)? {
            None => Timestamp(i64::MIN),
            Some(content) => {
                let bytes = content[..].try_into().map_err(|_| StartError::Damaged {
                    file: PATH.to_owned(),
                    problem: "it is not 8 bytes long".to_owned(),
                })?;
                Timestamp(i64::from_be_bytes(bytes))
            }
        };
        let back = stored.0.saturating_sub(wall.0);
        if back > MAX_CLIENT_DRIFT_MICROS {
            ::tracing::error!(
                seconds = back / 1_000_000,
                "the clock is far behind that of the last run: new writes lose to those of that time; check the clock"
            );
        } else if back > 0 {
            ::tracing::warn!(
                seconds = back / 1_000_000,
                "the clock was set back since the last run: timestamps go on from there"
            );
            clock.begin_after(Timestamp(stored.0.saturating_add(LAG_MICROS)));
        }
        Ok(Self {
            stored: Mutex::new(stored),
        })
    }

    /// Stores the newest timestamp that `clock` handed out, if it is a newer one.
    pub(crate) fn store(&self, fs: &dyn Fs, clock: &Clock) {
        let mut stored = self.stored.lock();
        let issued = clock.issued();
        if issued <= *stored {
            return;
        }
        match durable_file::replace(fs, Path::new(PATH), MAGIC, &issued.0.to_be_bytes()) {
            Ok(()) => *stored = issued,
            Err(error) => ::tracing::warn!(%error, "the clock's state can't be stored"),
        }
    }
}

#[cfg(test)]
mod tests {
    use starling_sstable::fs::MemoryFs;

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    /// The first timestamp after a restart at which the wall clock shows `wall`; before it one was handed
    /// out at `NOW`.
    fn first_after_restart(wall: Timestamp) -> Timestamp {
        let fs = MemoryFs::new();
        let clock = Clock::default();
        let floor = ClockFloor::load(&fs, &clock, NOW).expect("there is none");
        clock.tick(NOW);
        floor.store(&fs, &clock);
        let fs = fs.after_crash(&mut |_, _| 0);
        let clock = Clock::default();
        ClockFloor::load(&fs, &clock, wall).expect("it is whole");
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
        let floor = ClockFloor::load(&fs, &clock, NOW).expect("there is none");
        clock.observe(NOW, NOW);
        floor.store(&fs, &clock);
        assert!(!fs.exists(Path::new(PATH)).expect("the disk works"));
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let fs = MemoryFs::new();
        durable_file::replace(&fs, Path::new(PATH), MAGIC, b"short").expect("the disk works");
        let loaded = ClockFloor::load(&fs, &Clock::default(), NOW);
        assert!(matches!(loaded, Err(StartError::Damaged { .. })));
    }
}

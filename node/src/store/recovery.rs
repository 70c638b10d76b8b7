//! What a node says while it replays its logs, so that a start that takes minutes does not look like one that hangs.

use std::time::Duration;

use starling_sstable::{Progress, Recovery};
use tracing::info;

/// How often a shard tells how far it is.
const EVERY: Duration = Duration::from_secs(2);

/// The replay of one shard's log.
#[derive(Debug, Default)]
pub(super) struct Watch {
    shard: u32,
    /// When something was said last, since the replay began.
    told: Duration,
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Told {
    percent: u64,
    mib: u64,
    mib_in_all: u64,
    mib_per_second: f64,
}

impl Watch {
    pub(super) fn new(shard: u32) -> Self {
        Self {
            shard,
            told: Duration::ZERO,
        }
    }

    /// A piece of the log was replayed, `elapsed` after the beginning. Tells of it now and then.
    pub(super) fn progress(&mut self, elapsed: Duration, progress: Progress) {
        let Some(Told {
            percent,
            mib,
            mib_in_all,
            mib_per_second,
        }) = self.due(elapsed, progress)
        else {
            return;
        };
        info!(
            shard = self.shard,
            writes = progress.writes,
            "replaying the log: {mib} of {mib_in_all} MiB ({percent} %), {mib_per_second:.0} MiB/s"
        );
    }

    fn due(&mut self, elapsed: Duration, progress: Progress) -> Option<Told> {
        if elapsed < self.told + EVERY {
            return None;
        }
        self.told = elapsed;
        Some(Told {
            percent: progress.read * 100 / progress.read_in_all.max(1),
            mib: progress.read >> 20,
            mib_in_all: progress.read_in_all >> 20,
            mib_per_second: rate(progress.read, elapsed),
        })
    }
}

/// MiB a second.
fn rate(bytes: u64, elapsed: Duration) -> f64 {
    bytes as f64 / f64::from(1 << 20) / elapsed.as_secs_f64().max(0.001)
}

/// One line about all shards, once they are open.
pub(super) fn conclude(all: &[Recovery], elapsed: Duration) {
    let sum = |figure: fn(&Recovery) -> u64| all.iter().map(figure).sum::<u64>();
    let bytes = sum(|shard| shard.log_bytes);
    info!(
        shards = all.len(),
        tables = sum(|shard| shard.tables as u64),
        log_bytes = bytes,
        replayed = sum(|shard| shard.replayed),
        skipped = sum(|shard| shard.skipped),
        seconds = elapsed.as_secs_f64(),
        "the storage is open: {:.0} MiB/s of log",
        rate(bytes, elapsed)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(read: u64) -> Progress {
        Progress {
            read: read << 20,
            read_in_all: 200 << 20,
            ..Progress::default()
        }
    }

    #[test]
    fn a_replay_tells_how_far_it_is_every_two_seconds() {
        let mut watch = Watch::new(3);
        let said: Vec<(u64, Option<u64>)> = (1..=12)
            .map(|half| {
                let told = watch.due(Duration::from_millis(500 * half), progress(10 * half));
                (half, told.map(|told| told.percent))
            })
            .filter(|(_, percent)| percent.is_some())
            .collect();
        assert_eq!(said, [(4, Some(20)), (8, Some(40)), (12, Some(60))]);
        let told = watch.due(Duration::from_secs(9), progress(180)).unwrap();
        assert_eq!((told.mib, told.mib_in_all), (180, 200));
        assert!((told.mib_per_second - 20.0).abs() < 0.01);
    }
}

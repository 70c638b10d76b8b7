//! How fast a node fetches.

use std::time::Duration;

use parking_lot::Mutex;
use starling_sstable::Pace;

use crate::env::Env;

/// How long a piece waits where many requests are under way.
pub(super) const YIELD: Duration = Duration::from_millis(10);

/// The budget of all streams of a node together.
pub(super) struct Throttle<E: Env> {
    env: E,
    /// `None`: as fast as it goes.
    pace: Option<Mutex<Pace>>,
    rate: u64,
}

impl<E: Env> Throttle<E> {
    /// So many bytes a second; 0: as fast as it goes.
    pub(super) fn new(env: E, rate: u64) -> Self {
        Self {
            env,
            pace: (rate > 0).then(|| Mutex::new(Pace::new(rate))),
            rate,
        }
    }

    /// Bytes a second; 0: no limit.
    pub(super) fn rate(&self) -> u64 {
        self.rate
    }

    /// Ends when so many bytes more may be asked for.
    pub(super) async fn take(&self, bytes: u64) {
        let Some(pace) = &self.pace else { return };
        let now = u64::try_from(self.env.monotonic().as_nanos()).unwrap_or(u64::MAX);
        let wait = pace.lock().take(now, bytes);
        if wait > 0 {
            self.env.sleep(Duration::from_nanos(wait)).await;
        }
    }
}

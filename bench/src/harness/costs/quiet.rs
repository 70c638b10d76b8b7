//! Servers that have flushed and compacted what they had to.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    super::evidence::process::Meter,
    threads::{self, Spent},
};

/// Servers that spend less than this in a second have nothing left to do.
const IDLE: Duration = Duration::from_millis(50);

/// How long they may take until then.
const IDLE_WITHIN: Duration = Duration::from_mins(3);

/// Waits until the servers have nothing left to do, or three minutes.
pub fn wait(processes: &[u32]) {
    let deadline = Instant::now() + IDLE_WITHIN;
    let mut meter = Meter::default();
    let mut before = meter.sample(processes).cpu;
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_secs(1));
        let now = meter.sample(processes).cpu;
        if now.saturating_sub(before) < IDLE * processes.len() as u32 {
            return;
        }
        before = now;
    }
}

/// What threads of idle servers spend in a second.
pub fn idle_second(processes: &[u32]) -> BTreeMap<String, Spent> {
    let before = threads::sample(processes);
    std::thread::sleep(Duration::from_secs(1));
    threads::between(&before, &threads::sample(processes))
}

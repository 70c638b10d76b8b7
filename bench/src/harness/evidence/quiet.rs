//! Servers that have flushed and compacted what they had to.

use std::time::{Duration, Instant};

use super::process::Meter;

/// Servers that spend no more than this in a second have nothing left to do.
const IDLE: Duration = Duration::from_millis(50);

/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long they may take until then.
pub const WITHIN: Duration = Duration::from_mins(3);

/// Waits until the servers have nothing left to do, three minutes at most. Gives whether that is so: what is measured after it
/// otherwise has work in it that is not its own.
#[must_use]
pub fn wait(processes: &[u32]) -> bool {
    wait_within(processes, WITHIN)
}

pub(super) fn wait_within(processes: &[u32], limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let mut meter = Meter::default();
    let mut before = meter.sample(processes).cpu;
    while Instant::now() < deadline {
        std::thread::sleep(LOOK);
        let now = meter.sample(processes).cpu;
        if now.saturating_sub(before) <= IDLE * processes.len() as u32 {
            return true;
        }
        before = now;
    }
    false
}

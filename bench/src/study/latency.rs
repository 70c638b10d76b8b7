//! What a writer waits for over a long load that flushes and compacts all the time.
//!
//! Beside what a put took stands how much of that the thread computed. The rest is waiting: for the engine, which
//! slows writers down, or for a processor that others use.

use std::{path::Path, time::Duration};

use rustix::time::{ClockId, clock_gettime};

use super::{
    Numbers,
    command::Findings,
    rows::{self, insert},
    timed,
};
use crate::engine::{error::Error, rows::Values};

/// Into how many parts the load is divided.
const PARTS: u64 = 20;

/// Rows of a partition.
const WIDTH: u64 = 1_000;

/// Measures the puts of so many rows in random order.
///
/// # Errors
///
/// The engine's.
pub fn study(dir: &Path, rows: u64) -> Result<Findings, Error> {
    let values = Values::new();
    let mut shard = rows::shard(dir)?;
    let mut numbers = Numbers(4);
    let mut findings = Findings {
        header: vec![
            "second",
            "puts, k/s",
            "median, us",
            "99 %, us",
            "99.9 %, us",
            "99.99 %, us",
            "worst, ms",
            "worst, computing, ms",
            "tables that overlap",
        ],
        rows: Vec::new(),
    };
    let mut second = Duration::ZERO;
    for _ in 0..PARTS {
        let mut times = Vec::with_capacity((rows / PARTS) as usize);
        let mut computing = Duration::ZERO;
        let (outcome, took) = timed(|| {
            for _ in 0..rows / PARTS {
                let number = numbers.below(rows);
                let record = insert(&values, number / WIDTH, number % WIDTH);
                let before = computed();
                let (outcome, took) = timed(|| shard.apply(&record));
                outcome?;
                computing = computing.max(computed().saturating_sub(before));
                times.push(took);
            }
            Ok::<_, Error>(())
        });
        outcome?;
        second += took;
        times.sort_unstable();
        let at = |part: usize| times[((times.len() - 1) * part).div_ceil(10_000)];
        let micros = |part| format!("{:.1}", at(part).as_nanos() as f64 / 1e3);
        findings.rows.push(vec![
            format!("{:.0}", second.as_secs_f64()),
            format!("{:.0}", times.len() as f64 / took.as_secs_f64() / 1e3),
            micros(5_000),
            micros(9_900),
            micros(9_990),
            micros(9_999),
            format!("{:.2}", at(10_000).as_secs_f64() * 1e3),
            format!("{:.2}", computing.as_secs_f64() * 1e3),
            shard.engine.stats().overlapping.to_string(),
        ]);
    }
    Ok(findings)
}

/// The CPU time of this thread so far.
fn computed() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

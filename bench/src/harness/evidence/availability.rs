//! What faults did to the timeline.

use super::result::{Availability, FaultEvent, Second};

/// An operation is never slow below this, in microseconds: on a quiet loopback ten times the usual is nothing.
const SLOW_AT_LEAST_US: u64 = 1000;

/// Judges the measured seconds, and tells for each fault how long requests were slow after it, if it is known what is slow.
pub fn judge(timeline: &[Second], faults: &mut [FaultEvent]) -> Availability {
    let measured: Vec<&Second> = timeline.iter().filter(|second| !second.warm_up).collect();
    let slow_from_us = slow_from(&measured, faults);
    for at in 0..faults.len() {
        let next = faults.get(at + 1).map_or(f64::INFINITY, |fault| fault.at);
        let fault = &mut faults[at];
        fault.last_slow_after = slow_from_us.and_then(|slow_from_us| {
            measured
                .iter()
                .rev()
                .flat_map(|second| slow_tenths(second, slow_from_us))
                .find(|&(begin, end)| end > fault.at && begin < next)
                .map(|(_, end)| end - fault.at)
        });
    }
    let good = |second: &&&Second| second.done > 0 && second.errors.is_empty();
    let mut longest = 0;
    let mut gap = 0;
    for second in &measured {
        gap = if second.done == 0 { gap + 1 } else { 0 };
        longest = longest.max(gap);
    }
    Availability {
        seconds: measured.len() as u64,
        without_errors: measured.iter().filter(good).count() as f64 / (measured.len().max(1) as f64),
        longest_gap_seconds: longest,
        slow_from_us,
    }
}

/// When the tenths of a second in which requests were slow or failed begin and end, in seconds of the run, the last one first.
fn slow_tenths(second: &Second, slow_from_us: u64) -> impl Iterator<Item = (f64, f64)> {
    let at = move |tenths: usize| second.second as f64 + tenths as f64 / 10.0;
    let tenths = second.tenths.iter().enumerate().rev();
    tenths
        .filter(move |(_, tenth)| tenth.failed || tenth.slowest_us >= slow_from_us)
        .map(move |(place, _)| (at(place), at(place + 1)))
}

/// The p99 of the worst measured second and of the median one, in microseconds; `None` without answers. What was answered when
/// the run was over belongs to its last second. Cliffs (flushes, compactions, pauses) show in their ratio.
pub fn steadiness(timeline: &[Second]) -> Option<(u64, u64)> {
    let measured = timeline.iter().filter(|second| !second.warm_up);
    worst_and_median(
        measured
            .filter_map(|second| second.if_any(second.p99_us))
            .collect(),
    )
}

/// The same of each measured second's worst sync of the disk itself; `None` if it was not asked.
pub fn worst_syncs(timeline: &[Second]) -> Option<(u64, u64)> {
    let measured = timeline.iter().filter(|second| !second.warm_up);
    worst_and_median(measured.filter_map(|second| second.disk_sync_us).collect())
}

fn worst_and_median(mut values: Vec<u64>) -> Option<(u64, u64)> {
    values.sort_unstable();
    Some((*values.last()?, values[values.len() / 2]))
}

/// What the servers kept for a member that was away, and how long it took them to hand it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandOff {
    /// The most that was kept at the end of a second, in bytes.
    pub most_bytes: u64,
    /// Seconds from the last one with that much to the first one with nothing; `None` if something was left at the end.
    pub seconds: Option<u64>,
}

/// Looks for hints; `None` if there were none.
pub fn hand_off(timeline: &[Second]) -> Option<HandOff> {
    let kept = || {
        timeline
            .iter()
            .filter_map(|second| Some((second.second, second.hint_bytes?)))
    };
    let (fullest, most_bytes) = kept().max_by_key(|&(_, bytes)| bytes)?;
    let empty = kept().find(|&(second, bytes)| second > fullest && bytes == 0);
    (most_bytes > 0).then_some(HandOff {
        most_bytes,
        seconds: empty.map(|(second, _)| second - fullest),
    })
}

/// `None` without a second before the first fault: nobody knows what is usual.
fn slow_from(measured: &[&Second], faults: &[FaultEvent]) -> Option<u64> {
    let first = faults.first().map_or(f64::INFINITY, |fault| fault.at);
    let mut usual: Vec<u64> = measured
        .iter()
        .filter(|second| second.done > 0 && (second.second as f64) + 1.0 <= first)
        .map(|second| second.p99_us)
        .collect();
    usual.sort_unstable();
    let median = usual.get(usual.len() / 2)?;
    Some((median * 10).max(SLOW_AT_LEAST_US))
}

//! A second of a lane's run, and histograms as lists.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies from a microsecond to ten minutes; longer ones count as ten minutes.
pub const MAX_LATENCY_US: u64 = 600_000_000;

/// A histogram of latencies in microseconds, to three digits.
pub fn fine() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_LATENCY_US, 3).expect("the bounds are constants that the crate accepts")
}

/// The same to two digits, which is 3 % of the memory: one for each second of the timeline.
pub fn coarse() -> Histogram<u32> {
    Histogram::new_with_bounds(1, MAX_LATENCY_US, 2).expect("the bounds are constants that the crate accepts")
}

/// Value (microseconds) and count of what was recorded.
pub type Counts = Vec<(u64, u64)>;

/// A histogram as a list.
pub fn counts<C: hdrhistogram::Counter>(histogram: &Histogram<C>) -> Counts {
    histogram
        .iter_recorded()
        .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
        .collect()
}

/// A list back into a histogram.
pub fn add_counts<C: hdrhistogram::Counter>(histogram: &mut Histogram<C>, counts: &Counts) {
    for &(value, count) in counts {
        let mut left = count;
        while left > 0 {
            // Every counter holds this many.
            let part = left.min(u64::from(u32::MAX));
            histogram.saturating_record_n(value, C::from_u64(part).unwrap_or_else(C::one));
            left -= part;
        }
    }
}

/// What was worst in a tenth of a second: how long requests are slow after a fault is told that exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenth {
    /// The slowest of the operations that should have begun in it, or in the tenth before and were still under way; in
    /// microseconds, 0 if all that did failed.
    pub slowest_us: u64,
    /// Whether one of them failed.
    pub failed: bool,
}

/// The tenths of a second, in order.
pub type Tenths = [Tenth; 10];

/// Adds what another saw of the same second.
pub fn add_tenths(tenths: &mut Tenths, others: &Tenths) {
    for (tenth, other) in tenths.iter_mut().zip(others) {
        tenth.slowest_us = tenth.slowest_us.max(other.slowest_us);
        tenth.failed |= other.failed;
    }
}

/// What one lane did in one second of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Seconds since the run began, warm-up included.
    pub second: u64,
    /// Latencies of the operations that were answered in it.
    pub latencies: Counts,
    /// Errors by kind, of operations that should have begun in it.
    pub errors: BTreeMap<String, u64>,
    /// When in it slow ones, and those that failed, should have begun.
    pub tenths: Tenths,
}

/// What a lane did of one operation while it was measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Its place in the program.
    pub operation: usize,
    /// Latencies.
    pub latencies: Counts,
    /// How many succeeded within the measured time, whenever they should have begun.
    pub answered: u64,
    /// Errors by kind.
    pub errors: BTreeMap<String, u64>,
}

/// What a lane did in all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// For each operation.
    pub tallies: Vec<Tally>,
    /// Errors of no operation: what was never sent, and nodes that could not be reached.
    pub errors: BTreeMap<String, u64>,
    /// How late operations of an open load were begun, in microseconds.
    pub lateness: Counts,
    /// Bytes of values in acknowledged writes that should have begun in the measured time.
    pub payload_bytes: u64,
    /// The same of the whole run.
    pub all_payload_bytes: u64,
    /// For each kind of error the first message.
    pub examples: BTreeMap<String, String>,
}

//! The timeline of all lanes, and their totals.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use super::{
    process::Sample,
    result::{OperationResult, Second},
    slice::{Slice, Tenths, Total, add_counts, add_tenths, coarse, fine},
};

/// The timeline is kept for so many seconds: two days. What comes later counts for the last one.
const MAX_SECONDS: u64 = 200_000;

/// Puts together what lanes, and the processes that they run in, report.
#[derive(Debug)]
pub struct Collector {
    warm_up: u64,
    /// How many seconds the run has; absent where a number of operations ends it.
    length: Option<u64>,
    seconds: BTreeMap<u64, Tallied>,
    /// Answers that came when the run was over: part of its last second, whose requests they answer.
    late: Histogram<u32>,
    samples: BTreeMap<u64, Sample>,
    hints: BTreeMap<u64, u64>,
    disk_syncs: BTreeMap<u64, Duration>,
    operations: BTreeMap<usize, Operation>,
    errors: BTreeMap<String, u64>,
    lateness: Histogram<u32>,
    payload_bytes: u64,
    all_payload_bytes: u64,
    examples: BTreeMap<String, String>,
}

/// What all lanes did of one operation.
#[derive(Debug)]
struct Operation {
    latencies: Histogram<u64>,
    answered: u64,
    errors: BTreeMap<String, u64>,
}

impl Operation {
    fn new() -> Self {
        Self {
            latencies: fine(),
            answered: 0,
            errors: BTreeMap::new(),
        }
    }

    fn result(&self, name: &str, seconds: f64) -> OperationResult {
        OperationResult::of(
            name,
            &self.latencies,
            self.errors.clone(),
            (self.answered, seconds),
        )
    }
}

fn add_errors(all: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (kind, number) in more {
        *all.entry(kind.clone()).or_default() += number;
    }
}

#[derive(Debug)]
struct Tallied {
    latencies: Histogram<u32>,
    errors: BTreeMap<String, u64>,
    tenths: Tenths,
}

impl Collector {
    /// For a run whose first `warm_up` seconds are not measured, and that has so many in all, if that is known.
    pub fn new(warm_up: u64, length: Option<u64>) -> Self {
        Self {
            warm_up,
            length,
            seconds: BTreeMap::new(),
            late: coarse(),
            samples: BTreeMap::new(),
            hints: BTreeMap::new(),
            disk_syncs: BTreeMap::new(),
            operations: BTreeMap::new(),
            errors: BTreeMap::new(),
            lateness: coarse(),
            payload_bytes: 0,
            all_payload_bytes: 0,
            examples: BTreeMap::new(),
        }
    }

    /// A lane's second.
    pub fn slice(&mut self, slice: &Slice) {
        if self.length.is_some_and(|length| slice.second >= length) {
            add_counts(&mut self.late, &slice.latencies);
            return;
        }
        let second = self
            .seconds
            .entry(slice.second.min(MAX_SECONDS))
            .or_insert_with(|| Tallied {
                latencies: coarse(),
                errors: BTreeMap::new(),
                tenths: Tenths::default(),
            });
        add_counts(&mut second.latencies, &slice.latencies);
        add_tenths(&mut second.tenths, &slice.tenths);
        add_errors(&mut second.errors, &slice.errors);
    }

    /// A lane's total.
    pub fn total(&mut self, total: Total) {
        self.payload_bytes += total.payload_bytes;
        self.all_payload_bytes += total.all_payload_bytes;
        for tally in total.tallies {
            let entry = self.operations.entry(tally.operation);
            let operation = entry.or_insert_with(Operation::new);
            add_counts(&mut operation.latencies, &tally.latencies);
            operation.answered += tally.answered;
            add_errors(&mut operation.errors, &tally.errors);
        }
        add_errors(&mut self.errors, &total.errors);
        add_counts(&mut self.lateness, &total.lateness);
        for (kind, message) in total.examples {
            self.examples.entry(kind).or_insert(message);
        }
    }

    /// What the servers had spent when a second was over.
    pub fn sample(&mut self, second: u64, sample: Sample) {
        self.samples.insert(second.min(MAX_SECONDS), sample);
    }

    /// How many bytes of hints the servers kept when a second was over.
    pub fn hints(&mut self, second: u64, bytes: u64) {
        self.hints.insert(second.min(MAX_SECONDS), bytes);
    }

    /// What a sync took that had nothing to do with the servers, in the second in which it ended.
    pub fn disk_sync(&mut self, second: u64, took: Duration) {
        let worst = self.disk_syncs.entry(second.min(MAX_SECONDS)).or_default();
        *worst = took.max(*worst);
    }

    /// The newest complete second, for the terminal, when second `now` has just begun. Of the one before most lanes say what
    /// they did only when they have done something in this one.
    pub fn newest(&self, now: u64) -> Option<Second> {
        let (&second, _) = self.seconds.range(..now.saturating_sub(1)).next_back()?;
        Some(self.second(second))
    }

    /// Every second of the run, in order: a server from which nothing comes any more has seconds too. Where the run's length is
    /// not known, those up to the last one with news.
    pub fn timeline(&self) -> Vec<Second> {
        let with_news = || self.seconds.keys().next_back().map_or(0, |last| last + 1);
        let length = self.length.unwrap_or_else(with_news);
        (0..length.min(MAX_SECONDS + 1))
            .map(|second| self.second(second))
            .collect()
    }

    fn second(&self, second: u64) -> Second {
        let mut out = Second {
            second,
            warm_up: second < self.warm_up,
            ..Second::default()
        };
        let tallied = self.seconds.get(&second);
        let mut latencies = tallied.map_or_else(coarse, |tallied| tallied.latencies.clone());
        out.done = latencies.len();
        if self.length == Some(second + 1) {
            latencies.add(&self.late).expect("both have the same bounds");
            out.late = self.late.len();
        }
        if !latencies.is_empty() {
            let at = |quantile| latencies.value_at_quantile(quantile);
            (out.p50_us, out.p99_us, out.p999_us) = (at(0.5), at(0.99), at(0.999));
            out.max_us = latencies.max();
        }
        if let Some(tallied) = tallied {
            out.errors.clone_from(&tallied.errors);
            out.tenths = tallied.tenths;
        }
        out.hint_bytes = self.hints.get(&second).copied();
        let sync = self.disk_syncs.get(&second);
        out.disk_sync_us = sync.map(|sync| u64::try_from(sync.as_micros()).unwrap_or(u64::MAX));
        if let Some(sample) = self.samples.get(&second) {
            out.server_memory_bytes = Some(sample.memory_bytes);
            let before = self.samples.range(..second).next_back();
            out.server_cpu_seconds =
                before.map(|(_, before)| sample.cpu.saturating_sub(before.cpu).as_secs_f64());
        }
        out
    }

    /// The figures of each operation, in the order of the program, and of all together.
    pub fn operations(&self, names: &[String], seconds: f64) -> (Vec<OperationResult>, OperationResult) {
        let mut all = Operation::new();
        all.errors.clone_from(&self.errors);
        let mut each = Vec::new();
        for (place, name) in names.iter().enumerate() {
            let none = Operation::new();
            let one = self.operations.get(&place).unwrap_or(&none);
            all.latencies
                .add(&one.latencies)
                .expect("both have the same bounds");
            all.answered += one.answered;
            add_errors(&mut all.errors, &one.errors);
            each.push(one.result(name, seconds));
        }
        (each, all.result("all", seconds))
    }

    /// How late 99 % of the operations of an open load were begun at most, in microseconds; `None` of a closed one.
    pub fn lateness_p99_us(&self) -> Option<u64> {
        (!self.lateness.is_empty()).then(|| self.lateness.value_at_quantile(0.99))
    }

    /// Bytes of values in acknowledged, measured writes.
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// The same of the whole run, warm-up included.
    pub fn all_payload_bytes(&self) -> u64 {
        self.all_payload_bytes
    }

    /// For each kind of error the first message.
    pub fn examples(&self) -> &BTreeMap<String, String> {
        &self.examples
    }

    /// The most memory that a sample saw.
    pub fn memory_peak(&self) -> u64 {
        self.most(|sample| sample.memory_bytes)
    }

    /// The most memory of its own that a sample saw of a process.
    pub fn own_memory_peak(&self) -> u64 {
        self.most(|sample| sample.own_memory_bytes)
    }

    fn most(&self, figure: impl Fn(&Sample) -> u64) -> u64 {
        self.samples.values().map(figure).max().unwrap_or(0)
    }
}

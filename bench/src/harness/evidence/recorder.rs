//! What one lane measures.

use std::{
    collections::BTreeMap,
    sync::mpsc::Sender,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::{
    super::drive::{answer::Failure, pace::Missed},
    slice::{Counts, Slice, Tally, Tenth, Tenths, Total, coarse, counts, fine},
};

/// The times of a run.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// When the first operation begins.
    pub start: Instant,
    /// When the warm-up is over: operations that should begin from here on are measured.
    pub measured: Instant,
    /// When the last operation begins; `None` where a number of operations ends the run.
    pub end: Option<Instant>,
}

/// What a lane gives to the collector.
#[derive(Debug)]
pub enum News {
    /// A second is over.
    Slice(Slice),
    /// The lane is over.
    Total(Total),
}

/// Kinds of errors that are told apart; further ones count as `Other`.
const MAX_KINDS: usize = 32;

/// A tenth of a second, of which the timeline tells the worst.
const TENTH: Duration = Duration::from_millis(100);

/// What is measured of one operation.
#[derive(Debug, Clone, Default)]
struct Measured {
    /// Absent until one succeeds: histograms are large.
    latencies: Option<Histogram<u64>>,
    answered: u64,
    errors: BTreeMap<String, u64>,
}

/// What went wrong in a second, and when in it.
#[derive(Debug, Default)]
struct Marks {
    errors: BTreeMap<String, u64>,
    tenths: Tenths,
}

/// Measures a lane.
///
/// An answer counts for the second of the timeline in which it comes. Latency and errors count for the result if the
/// operation should have begun in the measured time, however late its answer comes; and what failed or was slow is placed
/// where the operation should have begun, so that what goes wrong at the end of a run is part of it.
#[derive(Debug)]
pub struct Recorder {
    span: Span,
    second: u64,
    slice: Histogram<u32>,
    /// Seconds with something to tell beside the answers that came; at most those since the last [`Recorder::hand_over`]
    /// and those that answers since then began in.
    marks: BTreeMap<u64, Marks>,
    operations: Vec<Measured>,
    /// Of no operation.
    errors: BTreeMap<String, u64>,
    lateness: Histogram<u32>,
    payload_bytes: u64,
    all_payload_bytes: u64,
    examples: BTreeMap<String, String>,
    news: Sender<News>,
}

impl Recorder {
    /// For `operations` operations.
    pub fn new(span: Span, operations: usize, news: Sender<News>) -> Self {
        Self {
            span,
            second: 0,
            slice: coarse(),
            marks: BTreeMap::new(),
            operations: vec![Measured::default(); operations],
            errors: BTreeMap::new(),
            lateness: coarse(),
            payload_bytes: 0,
            all_payload_bytes: 0,
            examples: BTreeMap::new(),
            news,
        }
    }

    /// An operation of an open load that should have begun at `intended` begins at `now`.
    pub fn begun(&mut self, intended: Instant, now: Instant) {
        if self.is_measured(intended) {
            self.lateness.saturating_record(micros(intended, now));
        }
    }

    /// An operation that should have begun at `intended` was answered at `now`.
    pub fn done(&mut self, operation: usize, intended: Instant, now: Instant) {
        self.turn(now);
        let micros = micros(intended, now);
        self.slice.saturating_record(micros);
        self.mark(intended, now, |tenth| {
            tenth.slowest_us = tenth.slowest_us.max(micros);
        });
        let measured = self.is_measured(intended);
        let in_time = self.is_measured(now) && self.span.end.is_none_or(|end| now < end);
        let operation = &mut self.operations[operation];
        operation.answered += u64::from(in_time);
        if measured {
            operation
                .latencies
                .get_or_insert_with(fine)
                .saturating_record(micros);
        }
    }

    /// A write of `payload` bytes was acknowledged.
    pub fn wrote(&mut self, payload: u64, intended: Instant) {
        self.all_payload_bytes += payload;
        if self.is_measured(intended) {
            self.payload_bytes += payload;
        }
    }

    /// An operation failed.
    pub fn failed(&mut self, operation: usize, intended: Instant, now: Instant, failure: &Failure) {
        self.turn(now);
        let kind = self.example(&failure.kind, || failure.message.clone());
        self.mark(intended, now, |tenth| tenth.failed = true);
        let second = self.second_of(intended);
        let errors = &mut self.marks.entry(second).or_default().errors;
        *errors.entry(kind.clone()).or_default() += 1;
        if self.is_measured(intended) {
            *self.operations[operation].errors.entry(kind).or_default() += 1;
        }
    }

    /// Operations whose time came, and that could never be sent. Each is an error where it was due.
    pub fn never_sent(&mut self, missed: Missed) {
        let kind = self.example("NeverSent", || {
            "until the run ended all requests in flight were taken, or no node could be reached".into()
        });
        let interval = missed.interval.max(Duration::from_nanos(1));
        let (mut due, mut left) = (missed.first, missed.number);
        while left > 0 {
            let next_tenth = self.span.start + TENTH * (self.tenth_of(due) as u32 + 1);
            // The measured time may begin within a tenth.
            let until = Some(self.span.measured).filter(|measured| due < *measured);
            let until = until.map_or(next_tenth, |measured| measured.min(next_tenth));
            let fit = until.saturating_duration_since(due).as_nanos();
            let number = (fit.div_ceil(interval.as_nanos()) as u64).clamp(1, left);
            self.mark(due, due, |tenth| tenth.failed = true);
            let second = self.second_of(due);
            let errors = &mut self.marks.entry(second).or_default().errors;
            *errors.entry(kind.clone()).or_default() += number;
            if self.is_measured(due) {
                *self.errors.entry(kind.clone()).or_default() += number;
            }
            due += Duration::from_nanos((interval.as_nanos() as u64).saturating_mul(number));
            left -= number;
        }
    }

    /// A node could not be reached at `now`, and the next one is tried: an error of no operation.
    pub fn unreachable(&mut self, now: Instant, message: impl FnOnce() -> String) {
        if self.span.end.is_some_and(|end| now >= end) {
            return;
        }
        self.turn(now);
        let kind = self.example("Unreachable", message);
        self.mark(now, now, |tenth| tenth.failed = true);
        let second = self.second_of(now);
        let errors = &mut self.marks.entry(second).or_default().errors;
        *errors.entry(kind.clone()).or_default() += 1;
        if self.is_measured(now) {
            *self.errors.entry(kind).or_default() += 1;
        }
    }

    /// Whether a number of operations ends the run, and not the time.
    pub fn has_no_end(&self) -> bool {
        self.span.end.is_none()
    }

    /// Hands everything to the collector.
    pub fn close(&mut self) {
        self.hand_over();
        let tallies = self
            .operations
            .iter()
            .enumerate()
            .map(|(operation, measured)| Tally {
                operation,
                latencies: measured.latencies.as_ref().map(counts).unwrap_or_default(),
                answered: measured.answered,
                errors: measured.errors.clone(),
            });
        let total = Total {
            tallies: tallies.collect(),
            errors: std::mem::take(&mut self.errors),
            lateness: counts(&self.lateness),
            payload_bytes: self.payload_bytes,
            all_payload_bytes: self.all_payload_bytes,
            examples: std::mem::take(&mut self.examples),
        };
        // A collector that is gone has ended the run already.
        let _ended = self.news.send(News::Total(total));
    }

    fn is_measured(&self, intended: Instant) -> bool {
        intended >= self.span.measured
    }

    /// Hands the last second over when the next one has begun.
    fn turn(&mut self, now: Instant) {
        let second = now.saturating_duration_since(self.span.start).as_secs();
        if second != self.second {
            self.hand_over();
            self.second = second;
        }
    }

    fn second_of(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.span.start).as_secs()
    }

    /// Tenths of a second since the run began.
    fn tenth_of(&self, at: Instant) -> u64 {
        (at.saturating_duration_since(self.span.start).as_millis() / TENTH.as_millis()) as u64
    }

    /// Marks the tenth of a second in which an operation should have begun, and the next one if it was under way then: that
    /// of a fault which met it on its way.
    fn mark(&mut self, intended: Instant, now: Instant, mark: impl Fn(&mut Tenth)) {
        let first = self.tenth_of(intended);
        let last = self.tenth_of(now.min(intended + TENTH)).max(first);
        for tenth in first..=last {
            let marks = self.marks.entry(tenth / 10).or_default();
            mark(&mut marks.tenths[tenth as usize % 10]);
        }
    }

    /// Keeps the first message of a kind. Gives the kind, or `Other` where there are too many.
    fn example(&mut self, kind: &str, message: impl FnOnce() -> String) -> String {
        let known = self.examples.len() < MAX_KINDS || self.examples.contains_key(kind);
        let kind = if known { kind } else { "Other" };
        self.examples.entry(kind.to_owned()).or_insert_with(message);
        kind.to_owned()
    }

    fn hand_over(&mut self) {
        if !self.slice.is_empty() {
            let latencies = counts(&self.slice);
            self.slice.reset();
            let marks = self.marks.remove(&self.second).unwrap_or_default();
            self.hand(self.second, latencies, marks);
        }
        for (second, marks) in std::mem::take(&mut self.marks) {
            self.hand(second, Counts::new(), marks);
        }
    }

    fn hand(&self, second: u64, latencies: Counts, marks: Marks) {
        let slice = Slice {
            second,
            latencies,
            errors: marks.errors,
            tenths: marks.tenths,
        };
        // A collector that is gone has ended the run already.
        let _ended = self.news.send(News::Slice(slice));
    }
}

/// From one to the other, in whole microseconds; 1 at least.
fn micros(from: Instant, to: Instant) -> u64 {
    (to.saturating_duration_since(from).as_micros() as u64).max(1)
}

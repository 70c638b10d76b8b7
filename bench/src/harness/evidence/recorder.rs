//! What one lane measures.

use std::{
    collections::BTreeMap,
    sync::mpsc::Sender,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::{
    super::drive::answer::Failure,
    slice::{Slice, Tally, Tenth, Tenths, Total, coarse, counts, fine},
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

/// What is measured of one operation.
#[derive(Debug, Clone, Default)]
struct Measured {
    /// Absent until one succeeds: histograms are large.
    latencies: Option<Histogram<u64>>,
    errors: BTreeMap<String, u64>,
}

/// Measures a lane. An operation counts for the second in which it is answered, and for the result if it should have
/// begun in the measured time, however late its answer comes.
#[derive(Debug)]
pub struct Recorder {
    span: Span,
    second: u64,
    slice: Histogram<u32>,
    slice_errors: BTreeMap<String, u64>,
    tenths: Tenths,
    operations: Vec<Measured>,
    payload_bytes: u64,
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
            slice_errors: BTreeMap::new(),
            tenths: Tenths::default(),
            operations: vec![Measured::default(); operations],
            payload_bytes: 0,
            examples: BTreeMap::new(),
            news,
        }
    }

    /// An operation that should have begun at `intended` was answered at `now`.
    pub fn done(&mut self, operation: usize, intended: Instant, now: Instant) {
        self.turn(now);
        let micros = (now.saturating_duration_since(intended).as_micros() as u64).max(1);
        self.slice.saturating_record(micros);
        let tenth = self.tenth(now);
        tenth.slowest_us = tenth.slowest_us.max(micros);
        if self.is_measured(intended) {
            let latencies = &mut self.operations[operation].latencies;
            latencies.get_or_insert_with(fine).saturating_record(micros);
        }
    }

    /// A write of `payload` bytes was acknowledged.
    pub fn wrote(&mut self, payload: u64, intended: Instant) {
        if self.is_measured(intended) {
            self.payload_bytes += payload;
        }
    }

    /// An operation failed.
    pub fn failed(&mut self, operation: usize, intended: Instant, now: Instant, failure: &Failure) {
        self.turn(now);
        let kind = if self.examples.len() < MAX_KINDS || self.examples.contains_key(&failure.kind) {
            failure.kind.as_str()
        } else {
            "Other"
        };
        self.examples
            .entry(kind.to_owned())
            .or_insert_with(|| failure.message.clone());
        *self.slice_errors.entry(kind.to_owned()).or_default() += 1;
        self.tenth(now).failed = true;
        if self.is_measured(intended) {
            let errors = &mut self.operations[operation].errors;
            *errors.entry(kind.to_owned()).or_default() += 1;
        }
    }

    /// Operations whose time came, and that could never be sent.
    pub fn never_sent(&mut self, number: u64, now: Instant) {
        if number == 0 {
            return;
        }
        self.turn(now);
        let kind = "NeverSent".to_owned();
        self.examples.entry(kind.clone()).or_insert_with(|| {
            "the servers were too slow for the rate: the run ended before it was sent".into()
        });
        *self.slice_errors.entry(kind.clone()).or_default() += number;
        self.tenth(now).failed = true;
        if let Some(first) = self.operations.first_mut() {
            *first.errors.entry(kind).or_default() += number;
        }
    }

    /// Whether what is not answered, or not sent, by now need not be waited for: `grace` after the end.
    pub fn is_past_end(&self, now: Instant, grace: Duration) -> bool {
        self.span.end.is_some_and(|end| now > end + grace)
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
                errors: measured.errors.clone(),
            });
        let total = Total {
            tallies: tallies.collect(),
            payload_bytes: self.payload_bytes,
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

    /// The part of the present second that `now` falls into.
    fn tenth(&mut self, now: Instant) -> &mut Tenth {
        let millis = now.saturating_duration_since(self.span.start).subsec_millis();
        &mut self.tenths[millis as usize / 100]
    }

    fn hand_over(&mut self) {
        if self.slice.is_empty() && self.slice_errors.is_empty() {
            return;
        }
        let slice = Slice {
            second: self.second,
            latencies: counts(&self.slice),
            errors: std::mem::take(&mut self.slice_errors),
            tenths: std::mem::take(&mut self.tenths),
        };
        self.slice.reset();
        let _ended = self.news.send(News::Slice(slice));
    }
}

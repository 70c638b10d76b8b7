//! Phi-accrual failure detection: not "dead" or "alive" but how surprising the silence is.
//!
//! After Hayashibara, Défago, Yared and Katayama, "The phi accrual failure detector" (2004): intervals
//! between heartbeats are taken to be normally distributed, and phi is `-log10` of the probability that
//! the next one comes even later than now. The normal distribution's tail is approximated by a logistic
//! function (error below 0.00014), which needs no table.

use std::{collections::VecDeque, time::Duration};

/// How many intervals are remembered.
const WINDOW: usize = 100;

/// The intervals between heartbeats of one member, and when the last one came.
#[derive(Debug, Clone)]
pub struct Detector {
    intervals: VecDeque<f64>,
    last: Duration,
}

impl Detector {
    /// A detector that expects `first_interval` until it knows better, as of a heartbeat at `now`.
    pub fn new(first_interval: Duration, now: Duration) -> Self {
        // Two values with the expected mean, a quarter of it away.
        let mean = first_interval.as_secs_f64();
        let intervals = VecDeque::from([mean * 0.75, mean * 1.25]);
        Self { intervals, last: now }
    }

    /// A heartbeat came.
    pub fn heartbeat(&mut self, now: Duration) {
        if self.intervals.len() == WINDOW {
            self.intervals.pop_front();
        }
        self.intervals
            .push_back(now.saturating_sub(self.last).as_secs_f64());
        self.last = self.last.max(now);
    }

    /// The member is alive for sure at `now`, by something that is not a heartbeat: it says nothing about
    /// intervals.
    pub fn proof(&mut self, now: Duration) {
        self.last = self.last.max(now);
    }

    /// Silence of this length, up to `now`, says nothing about the member: nobody listened.
    pub fn excuse(&mut self, silence: Duration, now: Duration) {
        self.last = (self.last + silence).min(now).max(self.last);
    }

    /// When it was last known to be alive.
    pub fn last(&self) -> Duration {
        self.last
    }

    /// How surprising it is at `now` that no heartbeat came since the last. Not below 0; grows with the
    /// silence. `tolerated` is silence beyond the mean that does not count, `deviation` the least spread
    /// that is assumed (a network that was regular so far may become less so).
    pub fn phi(&self, now: Duration, tolerated: Duration, deviation: Duration) -> f64 {
        let count = self.intervals.len() as f64;
        let mean = self.intervals.iter().sum::<f64>() / count;
        let variance = self
            .intervals
            .iter()
            .map(|interval| (interval - mean).powi(2))
            .sum::<f64>()
            / count;
        let deviation = variance.sqrt().max(deviation.as_secs_f64()).max(1e-6);
        let silence = now.saturating_sub(self.last).as_secs_f64();
        let y = (silence - mean - tolerated.as_secs_f64()) / deviation;
        // The probability of a later arrival is 1 / (1 + exp(power)).
        let power = y * (1.597_6 + 0.070_566 * y * y);
        if power > 0.0 {
            // exp(power) may overflow; its logarithm does not.
            (power + (-power).exp().ln_1p()) * std::f64::consts::LOG10_E
        } else {
            power.exp().ln_1p() * std::f64::consts::LOG10_E
        }
    }
}

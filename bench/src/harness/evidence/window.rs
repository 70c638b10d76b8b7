//! What the servers spend in the measured time, and not before or after it.

use std::time::{Duration, Instant};

use super::process::Sample;

/// What the servers had spent when the measured time began, and when it ended.
#[derive(Debug)]
pub struct Window {
    measured: Instant,
    /// Absent where a number of operations ends the run.
    end: Option<Instant>,
    before: Option<Sample>,
    after: Option<Sample>,
}

impl Window {
    /// From `measured` to `end`; to when the load ends if there is none.
    pub fn new(measured: Instant, end: Option<Instant>) -> Self {
        Self {
            measured,
            end,
            before: None,
            after: None,
        }
    }

    /// The servers had spent so much before the load began, and there is no warm-up: what they spend on a short load's first
    /// moments counts too.
    #[must_use]
    pub fn since(self, idle: Sample) -> Self {
        Self {
            before: Some(idle),
            ..self
        }
    }

    /// How long it is from `now` to the next sample; `None` if there is none left whose time is known.
    pub fn next(&self, now: Instant) -> Option<Duration> {
        let next = match (&self.before, &self.after) {
            (None, _) => Some(self.measured),
            (Some(_), None) => self.end,
            (Some(_), Some(_)) => None,
        };
        next.map(|next| next.saturating_duration_since(now))
    }

    /// Whether the measured time has begun and is not over, as far as [`Self::look`] has seen.
    pub fn is_open(&self) -> bool {
        self.before.is_some() && self.after.is_none()
    }

    /// Takes the samples whose time has come. Lanes may go on after the end, until they have their last answers: what the
    /// servers spend on that, and on what is left to do, is not of the measured time.
    pub fn look(&mut self, now: Instant, sample: impl FnOnce() -> Sample) {
        if self.next(now) != Some(Duration::ZERO) {
            return;
        }
        let sample = sample();
        if self.before.is_none() {
            self.before = Some(sample);
        }
        if self.end.is_some_and(|end| now >= end) {
            self.after = Some(sample);
        }
    }

    /// All lanes have ended: takes the last sample, if there is none yet. Gives the first and the last one.
    pub fn close(self, sample: impl FnOnce() -> Sample) -> (Sample, Sample) {
        let after = self.after.unwrap_or_else(sample);
        (self.before.unwrap_or(after), after)
    }
}

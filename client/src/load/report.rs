//! What a load did.

use std::time::Duration;

/// The most errors whose text is kept; further ones are counted only.
pub const MAX_REPORTED_ERRORS: usize = 100;

/// What was done so far, or in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Rows that are in the table.
    pub rows: u64,
    /// Rows that are not, or of which it isn't known.
    pub failed: u64,
    /// Time since the start.
    pub elapsed: Duration,
    /// The first [`MAX_REPORTED_ERRORS`] failures.
    pub errors: Vec<LineError>,
    /// The load stopped before the end, because too many rows failed.
    pub stopped: bool,
}

/// A row that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// The line of the input that the row begins on, from 1.
    pub line: u64,
    /// Why.
    pub message: String,
}

impl LoadReport {
    pub(super) fn fail(&mut self, line: u64, message: impl Into<String>) {
        self.failed += 1;
        if self.errors.len() < MAX_REPORTED_ERRORS {
            self.errors.push(LineError {
                line,
                message: message.into(),
            });
        }
    }

    /// Rows a second, over the whole time.
    pub fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            self.rows as f64 / seconds
        } else {
            0.0
        }
    }
}

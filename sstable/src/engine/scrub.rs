//! Looking for damage before a reader meets it.
//!
//! All tokens of the engine are gone through once in [`Options::scrub_seconds`](crate::Options::scrub_seconds), a
//! small slice of them at a time, and of each slice everything that tables have there is read and checked. Which slice's
//! turn it is depends on the wall clock alone. So nothing need be remembered: compactions may replace tables meanwhile,
//! and after a restart the scrub goes on where it would be anyway. What fell due while the engine was closed is left
//! for the next time.

use std::sync::Arc;

use starling_model::{Seconds, Token, TokenRange};

use super::Engine;
use crate::{
    Error,
    compaction::Slices,
    table::{Scrub, Table},
};

/// Into how many slices the tokens are cut.
const SLICES: u64 = 1 << 12;

/// How far the engine has come.
#[derive(Debug, Default)]
pub(super) struct Scrubber {
    /// Slices up to this one were looked at, counted from the beginning of time.
    done: Option<u64>,
    /// A job is out.
    out: bool,
    bytes: u64,
}

impl Scrubber {
    /// Bytes that were checked since the engine was opened.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Some slices of all tables, on their way through the job.
pub(super) struct Scrubbing {
    left: Vec<Scrub>,
    /// The slice that it ends with.
    upto: u64,
    read: u64,
    found: Vec<Error>,
}

impl Scrubbing {
    /// Checks what one stripe of one table has; `true` once all is checked.
    pub(super) fn step(&mut self) -> bool {
        let Some(scrub) = self.left.last_mut() else {
            return true;
        };
        let before = scrub.bytes();
        let more = scrub.step(&mut self.found);
        self.read += scrub.bytes() - before;
        if !more {
            self.left.pop();
        }
        self.left.is_empty()
    }

    /// Bytes that were read so far.
    pub(super) fn read(&self) -> u64 {
        self.read
    }
}

impl Engine {
    /// The job for the slices that fell due since the last one, if there are any.
    pub(super) fn next_scrub(&mut self, now: Seconds) -> Option<Scrubbing> {
        if self.scrubber.out || self.options.scrub_seconds == 0 {
            return None;
        }
        let present = u64::from(now.0) * SLICES / u64::from(self.options.scrub_seconds);
        let done = *self.scrubber.done.get_or_insert(present);
        if present <= done {
            // A clock that went back is believed.
            self.scrubber.done = Some(present);
            return None;
        }
        // Not beyond the last slice, where the tokens end; and not twice the same one.
        let from = done.max(present.saturating_sub(SLICES));
        let upto = present.min(from - from % SLICES + SLICES);
        let tokens = self.slice(from % SLICES, upto - from);
        let tables = self.tables.values().flat_map(|state| state.tables.live());
        let left: Vec<Scrub> = tables
            .filter_map(|table: &Arc<Table>| Scrub::new(table, tokens))
            .collect();
        if left.is_empty() {
            self.scrubber.done = Some(upto);
            return None;
        }
        self.scrubber.out = true;
        Some(Scrubbing {
            left,
            upto,
            read: 0,
            found: Vec::new(),
        })
    }

    /// The tokens of so many slices. The first and the last slice have those that are not the engine's, too.
    fn slice(&self, first: u64, count: u64) -> TokenRange {
        let slices = Slices::new(self.options.tokens);
        let boundary = |slice| match slice {
            0 => Token(i64::MIN),
            SLICES => Token(i64::MAX),
            slice => slices.boundary(slice, SLICES),
        };
        TokenRange {
            start: boundary(first),
            end: boundary(first + count),
        }
    }

    /// Takes a scrub back: what it found is quarantined.
    pub(super) fn scrubbed(&mut self, scrub: Scrubbing) {
        self.scrubber.out = false;
        self.scrubber.bytes += scrub.read;
        if scrub.left.is_empty() {
            self.scrubber.done = Some(scrub.upto);
        }
        for error in &scrub.found {
            self.report(error);
        }
        self.look_at_reports();
    }
}

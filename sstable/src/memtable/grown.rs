//! A large row that grows by small writes.
//!
//! To merge each write with all that is held of a row would copy the row each time: a collection of n elements that
//! are added one by one would cost n^2. So what came is kept as *runs*, states of the row of which each has more than
//! twice the bytes of the next, newer one. A write is merged with the runs that are not much larger than itself, and so
//! are they; then a byte is copied once for each doubling of what it lies in: O(n log n) for all of them, and all runs
//! together have less than twice the bytes of the first. (The logarithmic method of Bentley and Saxe, 1980.)
//!
//! Whoever reads the row merges the runs, once for all readers until the next write, which goes on from what they made.

use std::sync::OnceLock;

use starling_model::{DecodeError, encoding::RowMerger};

/// Runs that are smaller are always merged, in bytes: many of them would cost more than their copies.
const SMALLEST_BYTES: usize = 256;

/// What a run costs beside its bytes.
const RUN_BYTES: usize = size_of::<Vec<u8>>() + 16;

/// States of one row, encoded.
#[derive(Debug)]
pub(super) struct Grown {
    /// At least one, oldest first; each has more than twice the bytes of the next.
    runs: Vec<Vec<u8>>,
    /// The merge of all of them, if they are more than one and somebody has asked.
    merged: OnceLock<Vec<u8>>,
}

impl Grown {
    /// A row as it is so far.
    pub(super) fn new(row: Vec<u8>) -> Self {
        Self {
            runs: vec![row],
            merged: OnceLock::new(),
        }
    }

    /// Adds a state of the row. After an error, which only bad memory can cause, it may be there or not.
    pub(super) fn push(&mut self, row: &[u8], merger: &mut RowMerger) -> Result<(), DecodeError> {
        if let Some(merged) = self.merged.take() {
            self.runs.clear();
            self.runs.push(merged);
        }
        let mut newest = row.to_vec();
        let mut merged = Ok(());
        while let Some(before) = self.runs.last()
            && before.len() <= (2 * newest.len()).max(SMALLEST_BYTES)
        {
            merged = merger.merge(&[before, &newest], None).map(drop);
            if merged.is_err() {
                break;
            }
            newest = merger.take();
            self.runs.pop();
        }
        self.runs.push(newest);
        merged
    }

    /// The row. If memory went bad it is empty, which no reader takes for a row.
    pub(super) fn row(&self) -> &[u8] {
        match &self.runs[..] {
            [only] => only,
            runs => self.merged.get_or_init(|| merge(runs).unwrap_or_default()),
        }
    }

    /// Bytes of all runs: the row has no more.
    pub(super) fn bytes(&self) -> usize {
        self.runs.iter().map(Vec::len).sum()
    }

    /// Memory held, in bytes, about, with what readers may make of it: so they change nothing.
    pub(super) fn weight(&self) -> usize {
        let bytes = self.bytes();
        let merged = if self.runs.len() > 1 { bytes } else { 0 };
        bytes + merged + self.runs.len() * RUN_BYTES + size_of::<Self>()
    }
}

/// The merge of runs, from the smallest on: so their bytes are copied twice at most.
fn merge(runs: &[Vec<u8>]) -> Result<Vec<u8>, DecodeError> {
    let states: Vec<&[u8]> = runs.iter().rev().map(|run| &run[..]).collect();
    let mut merger = RowMerger::default();
    merger.merge(&states, None)?;
    Ok(merger.take())
}

//! What the pickers know of a table, and what they answer.

use starling_model::{Seconds, Timestamp, TokenRange};

/// The most tables merged at once: bounds the memory of a merge.
pub const MAX_INPUTS: usize = 32;

/// What a picker knows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The file's number; older data has smaller ones, mostly.
    pub number: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// The tokens that it was made for, not wrapping. It need not hold something at either end.
    pub tokens: TokenRange,
    /// The smallest and largest timestamp in it.
    pub timestamps: (Timestamp, Timestamp),
    /// The second after which all of it is dead: deleted or expired. `None`: something lives on.
    pub dead_after: Option<Seconds>,
    /// It holds something that was deleted, or expires.
    pub droppable: bool,
    /// Cells, markers and deletions in it.
    pub things: u64,
    /// About how many of them may be forgotten by now, as far as their age tells.
    pub due: u64,
    /// Bytes of the largest row, in its encoding; 0 if it is small.
    pub largest_row: u64,
}

/// Tables to merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// Their numbers: at least one, at most [`MAX_INPUTS`], ascending.
    pub files: Vec<u64>,
    /// Their bytes.
    pub bytes: u64,
    /// The tokens for which an output is made each, ascending and disjoint: all that the inputs were made for.
    pub parts: Vec<TokenRange>,
}

impl Candidate {
    /// The tokens that these tables were made for, from the first to the last; `None` for no tables.
    pub(super) fn span(tables: &[Self]) -> Option<TokenRange> {
        let start = tables.iter().map(|table| table.tokens.start).min()?;
        let end = tables.iter().map(|table| table.tokens.end).max()?;
        Some(TokenRange { start, end })
    }

    pub(super) fn total(tables: &[Self]) -> u64 {
        tables
            .iter()
            .fold(0, |sum, table| sum.saturating_add(table.bytes))
    }
}

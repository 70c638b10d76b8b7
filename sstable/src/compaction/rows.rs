//! How large a row may become by merging. A pure choice.
//!
//! A row, with all elements of its collections, is one entry of a table, and is merged in memory; no entry has more than
//! [`MAX_ROW_BYTES`]. Nothing keeps clients from writing more than that to one row, bit by bit. So merges are chosen by
//! the largest row of each input, which its table tells: no more than [`MERGED_BYTES`] of them together, and what cannot
//! be merged within that stays in the tables that it is in. A table with a row of more than [`APART_BYTES`] takes no part
//! in the strategies' merges, so that it never keeps others from theirs; it still goes as a whole once all is dead in it,
//! and is merged with tables of small rows for what it may forget, or if everything is compacted.
//!
//! - Any two tables that are not apart can be merged, so that the strategies always get on.
//! - Tables that are apart have more than [`APART_BYTES`] each, so they are few for the data that they hold.
//! - No merge that is chosen makes an entry that is too large: a row's states are no larger than the largest rows, and their
//!   merge is no larger than they are together.

use super::candidate::{Candidate, MAX_INPUTS};
use crate::table::{properties::TOLD_ROW_BYTES, writer::MAX_ROW_BYTES};

/// A table with a larger row is not merged by the strategies, in bytes.
pub const APART_BYTES: u64 = 64 << 20;

/// The most that the largest rows of a merge's inputs have together, in bytes: where more than one of them tells.
pub const MERGED_BYTES: u64 = 2 * APART_BYTES;

const _: () = assert!(
    MERGED_BYTES + MAX_INPUTS as u64 * TOLD_ROW_BYTES < MAX_ROW_BYTES as u64,
    "rows of which tables tell nothing fit beside those of which they do"
);

/// Whether a table whose largest row has so many bytes stays apart.
pub fn is_apart(largest: u64) -> bool {
    largest > APART_BYTES
}

/// Whether inputs with these largest rows may be merged; one with less than [`TOLD_ROW_BYTES`] counts as that much.
pub fn fit(largest: impl Iterator<Item = u64>) -> bool {
    let (mut small, mut told, mut sum) = (0, 0, 0_u64);
    for bytes in largest {
        if bytes < TOLD_ROW_BYTES {
            small += 1;
        } else {
            told += 1;
            sum = sum.saturating_add(bytes);
        }
    }
    // Beside small rows a large one grows little.
    let fits = sum.saturating_add(small * TOLD_ROW_BYTES) <= MAX_ROW_BYTES as u64;
    small + told <= 1 || sum <= MERGED_BYTES || (told == 1 && fits)
}

/// How many of some inputs, from the first, may be merged: at least one, if there is one.
pub fn fitting(largest: &[u64]) -> usize {
    let most = largest.len();
    (1..most)
        .find(|count| !fit(largest[..=*count].iter().copied()))
        .unwrap_or(most)
}

/// Leaves tables with the largest rows out until the others may be merged.
pub(super) fn leave_out(tables: &mut Vec<Candidate>) {
    while !fit(tables.iter().map(|table| table.largest_row)) {
        let largest = tables
            .iter()
            .enumerate()
            .max_by_key(|(_, table)| table.largest_row);
        let Some((at, _)) = largest else { return };
        tables.remove(at);
    }
}

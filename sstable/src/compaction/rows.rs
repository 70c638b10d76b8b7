//! How large a row may become by merging. A pure choice.
//!
//! A row, with all elements of its collections, is one entry of a table, and is merged in memory; no entry has more than
//! [`MAX_ROW_BYTES`]. Nothing keeps clients from writing more than that to one row, bit by bit. So merges are chosen by
//! the largest row of each input, which its table tells: no more than [`MERGED_BYTES`] of them together, or two that make an
//! entry, and what cannot be merged within that stays in the tables that it is in. A table with a row of more than
//! [`APART_BYTES`] takes no part in the strategies' merges, so that it never keeps others from theirs. Such tables are
//! merged [with one another](picks), two at a time, so that a large row that is overwritten is not in ever more of them. They
//! still go as a whole once all is dead in them, and are merged with tables of small rows for what they may forget, or if
//! everything is compacted.
//!
//! - Any two tables that are not apart can be merged, so that the strategies always get on; and any two that are apart and
//!   not [stuck](is_stuck).
//! - Tables that are stuck have more than half of [`MAX_ROW_BYTES`] in a row each, so they are few for the data that they hold.
//! - No merge that is chosen makes an entry that is too large: a row's states are no larger than the largest rows, and their
//!   merge is no larger than they are together.

use starling_model::Seconds;

use super::{
    candidate::{Candidate, MAX_INPUTS, Pick},
    strategy::{Scaling, Strategy},
    unified::{self, Sizes},
    window,
};
use crate::table::{properties::TOLD_ROW_BYTES, writer::MAX_ROW_BYTES};

/// A table with a larger row is not merged by the strategies, in bytes.
pub const APART_BYTES: u64 = 64 << 20;

/// The most that the largest rows of a merge's inputs have together, in bytes: where more than two of them tell.
pub const MERGED_BYTES: u64 = 2 * APART_BYTES;

const _: () = assert!(
    MERGED_BYTES + MAX_INPUTS as u64 * TOLD_ROW_BYTES < MAX_ROW_BYTES as u64,
    "rows of which tables tell nothing fit beside those of which they do"
);

/// Whether a table whose largest row has so many bytes stays apart.
pub fn is_apart(largest: u64) -> bool {
    largest > APART_BYTES
}

/// Whether a table whose largest row has so many bytes may find no other that is apart to be merged with.
pub fn is_stuck(largest: u64) -> bool {
    largest > MAX_ROW_BYTES as u64 / 2
}

/// The merges that are due of tables that are apart: of two of a level that overlap, so that a read meets few states of a
/// large row. Each makes fewer tables overlap, so they come to an end; levels and windows are the strategies', so that
/// large tables are not written again for small ones.
pub fn picks(tables: &[Candidate], sizes: Sizes, strategy: Strategy, now: Seconds) -> Vec<Pick> {
    let mut groups = match strategy {
        Strategy::Unified(_) => vec![tables.to_vec()],
        Strategy::TimeWindow { seconds } => window::windows(tables, seconds, now).into_values().collect(),
    };
    for group in &mut groups {
        group.retain(|table| is_apart(table.largest_row));
    }
    let picks = groups
        .iter()
        .flat_map(|group| unified::picks(group, sizes, Scaling::all(0)));
    picks.collect()
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
    // Beside small rows a large one grows little; and two states of a row that is overwritten are merged while one entry
    // holds both.
    let fits = sum.saturating_add(small * TOLD_ROW_BYTES) <= MAX_ROW_BYTES as u64;
    small + told <= 1 || sum <= MERGED_BYTES || (told <= 2 && fits)
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

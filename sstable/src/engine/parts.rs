//! Where tokens are cut that go to another node: where few tables are cut.
//!
//! An export links the tables of which all is wanted, and has to write the others anew. So parts are slices, halved again and
//! again as compactions halve them: a boundary of theirs is one of the tables', and what a part is too small for is only
//! what was written lately. A part that could be smaller stays as large as it may be where halving it would cut much.

use std::ops::RangeInclusive;

use starling_model::{TableId, Token, TokenRange, TokenSet};

use super::{Engine, table_state::TableState};
use crate::compaction::{Slices, slices::MAX_SLICES};

/// Halving is not worth it where more than this part of the bytes would be in tables that it cuts.
const MOST_CUT: u64 = 8;

impl Engine {
    /// Cuts tokens into parts, to be exported one by one; each with about how many bytes it has. `slices` don't wrap and
    /// don't overlap; no part has tokens of two of them, and what is in none is left out. A part has at most as many bytes
    /// as `bytes` begins with, or, where smaller ones would cut tables that can go as they are, as it ends with; more only if
    /// it is one of 4096 in its slice.
    pub fn parts_of(
        &self,
        table: TableId,
        tokens: &TokenSet,
        slices: &[TokenRange],
        bytes: &RangeInclusive<u64>,
    ) -> Vec<(TokenSet, u64)> {
        let mut parts = Vec::new();
        for slice in slices {
            let grid = Slices::new(*slice);
            // Which one of how many; the next one last.
            let mut left = vec![(0, 1)];
            while let Some((number, count)) = left.pop() {
                let start = grid.boundary(number, count);
                let end = grid.boundary(number + 1, count);
                // One that ends where it starts would be all tokens.
                if start >= end {
                    continue;
                }
                let part = tokens.intersection(&TokenSet::from(TokenRange { start, end }));
                if part.is_empty() {
                    continue;
                }
                let size = self.bytes_of(table, &part);
                let middle = grid.boundary(2 * number + 1, 2 * count);
                let cut = || {
                    self.tables
                        .get(&table)
                        .map_or(0, |state| cut_at(state, &part, middle))
                };
                let is_small = size <= *bytes.start() || count == MAX_SLICES;
                if is_small || size <= *bytes.end() && cut() > size / MOST_CUT {
                    parts.push((part, size));
                } else {
                    left.extend([(2 * number + 1, 2 * count), (2 * number, 2 * count)]);
                }
            }
        }
        parts
    }
}

/// How many bytes are in tables that could go as they are, and that a boundary would cut.
fn cut_at(state: &TableState, tokens: &TokenSet, boundary: Token) -> u64 {
    let live = state.tables.live().iter();
    let crossing = live.filter(|table| table.span().start < boundary && boundary < table.span().end);
    let whole = crossing.filter(|table| tokens.covers(table.span()));
    whole.map(|table| table.bytes()).sum()
}

//! Keeping the page cache for readers.
//!
//! A merge reads and writes everything once, which would push out of memory what requests read again and again. So
//! where its inputs were mostly not in memory, nobody reads them much: they are forgotten behind the merge, and so is
//! what it writes. Where they were, the output takes their place in memory, or reads would turn cold with each
//! compaction.

use std::sync::Arc;

use starling_model::TokenRange;

use super::input::Input;
use crate::read::lanes::start_of;
use crate::table::Table;

/// Places at which each input is asked whether it is in memory.
const SAMPLES: u64 = 16;

/// Bytes that are looked at in each place.
const SAMPLE_BYTES: u64 = 4096;

/// Inputs are forgotten in pieces of at least this size, in bytes, and no closer to the merge than this.
const PIECE_BYTES: u64 = 1 << 20;

/// The inputs of a cold merge, each with how much of it is forgotten already, in bytes.
pub(super) struct Behind(Vec<(Arc<Table>, u64)>);

impl Behind {
    /// Looks at the inputs; `None` if they are in memory, and so is to be what comes of them.
    pub(super) fn of(inputs: &[Input], tokens: TokenRange) -> Option<Self> {
        let start = start_of(&tokens.start.ordered_bytes());
        let end = start_of(&tokens.end.ordered_bytes());
        let mut tables = Vec::new();
        let (mut asked, mut warm) = (0_u64, 0_u64);
        for input in inputs {
            let Input::Table(table) = input else { continue };
            let (from, to) = (place(table, start), place(table, end));
            for sample in 0..SAMPLES {
                let at = from + (to - from) / SAMPLES * sample;
                asked += 1;
                warm += u64::from(table.is_resident(at..at + SAMPLE_BYTES));
            }
            tables.push((Arc::clone(table), from));
        }
        (2 * warm < asked).then_some(Self(tables))
    }

    /// Forgets what lies behind a merge that has come to `token`.
    pub(super) fn forget(&mut self, token: u64) {
        for (table, forgotten) in &mut self.0 {
            let at = place(table, token).saturating_sub(PIECE_BYTES);
            if at >= *forgotten + PIECE_BYTES {
                table.forget(*forgotten..at);
                *forgotten = at;
            }
        }
    }
}

/// About where in a table's file a token lies: tokens are uniform.
fn place(table: &Table, token: u64) -> u64 {
    let properties = table.properties();
    let first = start_of(&properties.first_key.token.ordered_bytes());
    let last = start_of(&properties.last_key.token.ordered_bytes());
    interpolate(first, last, table.bytes(), token)
}

pub(super) fn interpolate(first: u64, last: u64, bytes: u64, token: u64) -> u64 {
    let width = u128::from(last.saturating_sub(first)) + 1;
    let gone = u128::from(token.clamp(first, last.max(first)) - first);
    (u128::from(bytes) * gone / width) as u64
}

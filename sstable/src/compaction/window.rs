//! The strategy for time series: one table for each window of time. A pure choice.
//!
//! A table belongs to the window of its newest timestamp. While a window lasts, its tables are compacted in
//! tiers, as by the unified strategy; once it is over, they become one, which is not written again until it has
//! expired, and is removed without being read. Tables of different windows are never merged.
//!
//! What comes late (repairs, clocks that lag) makes small tables of old windows. They are merged among
//! themselves, and with the large one only when they are half its size together, so that every byte is still
//! written a few times only. Each merge of an old window makes fewer of its tables overlap, so they come to an end.

use std::collections::BTreeMap;

use starling_model::Seconds;

use super::{
    Scaling,
    candidate::{Candidate, Pick},
    unified::{self, Sizes},
};

/// How many small tables of an old window are merged.
const LATE: usize = 4;

/// The merges that are due, of the newest window first.
pub fn picks(tables: &[Candidate], sizes: Sizes, seconds: u32, now: Seconds) -> Vec<Pick> {
    let mut due = Vec::new();
    for (window, tables) in windows(tables, seconds, now).into_iter().rev() {
        if window == present(seconds, now) {
            due.extend(unified::picks(&tables, sizes, Scaling::default()));
        } else {
            due.extend(past(tables, sizes));
        }
    }
    due
}

/// The tables of each window.
pub(super) fn windows(tables: &[Candidate], seconds: u32, now: Seconds) -> BTreeMap<i64, Vec<Candidate>> {
    let mut windows: BTreeMap<i64, Vec<Candidate>> = BTreeMap::new();
    for table in tables {
        let window = table.timestamps.1.0.div_euclid(length(seconds));
        // What claims to be of the future is merged like the present.
        let window = window.min(present(seconds, now));
        windows.entry(window).or_default().push(*table);
    }
    windows
}

fn present(seconds: u32, now: Seconds) -> i64 {
    (i64::from(now.0) * 1_000_000).div_euclid(length(seconds))
}

/// A window's length, in microseconds.
fn length(seconds: u32) -> i64 {
    i64::from(seconds.max(1)) * 1_000_000
}

/// The merge in a window that is over.
fn past(mut tables: Vec<Candidate>, sizes: Sizes) -> Option<Pick> {
    // Tables that were cut from one output don't count twice: they are side by side.
    tables.sort_by_key(|table| (sizes.slices.density(table.bytes, table.tokens), table.number));
    let mut sum = 0_u64;
    let mut count = 0;
    for table in &tables {
        let density = sizes.slices.density(table.bytes, table.tokens);
        if count > 0 && density > sum.saturating_mul(2) {
            break;
        }
        sum = sum.saturating_add(density);
        count += 1;
    }
    if count < tables.len() && count < LATE {
        return None;
    }
    unified::merge_overlapping(&tables[..count], sizes)
}

//! Tables that are worth a compaction for what they may forget, although no strategy wants them. A pure choice.
//!
//! A table that no others join keeps its tombstones, and what has expired, for as long as it lives; and so do older
//! tables keep what its tombstones cover. Where enough of a table has fallen due, it is merged with those older ones, or
//! alone if there are none. What a merge could not forget, because something older is in memory or in a table that can't be
//! merged now, is not tried again at once: that is for the caller to see to.

use starling_model::Timestamp;

use super::{
    candidate::{Candidate, MAX_INPUTS, Pick},
    slices::overlap,
    unified::{self, Sizes},
};

/// A merge is worth it if at least one in so many things that it reads may be forgotten.
const WORTH: u64 = 5;

/// The merges that are worth it, that with most to forget first.
///
/// `idle` are the tables that may be merged; of `wanted` alone is asked whether they are worth it. `others` are live
/// tables that can't be merged now, and `memory` is the oldest timestamp in the memtables: nothing newer than those is
/// forgotten. `alone`: tables are not merged with each other, and those that will go as a whole are waited for.
pub fn picks(
    idle: &[Candidate],
    wanted: impl Fn(u64) -> bool,
    others: &[Candidate],
    memory: Option<Timestamp>,
    alone: bool,
    sizes: Sizes,
) -> Vec<Pick> {
    let mut groups: Vec<Vec<Candidate>> = Vec::new();
    for table in idle.iter().filter(|table| wanted(table.number)) {
        if !is_worth(&[*table]) || (alone && table.dead_after.is_some()) {
            continue;
        }
        // What it hides is older than it.
        let hidden = |other: &&Candidate| {
            other.number != table.number
                && overlap(other.tokens, table.tokens)
                && other.timestamps.0 <= table.timestamps.1
        };
        let mut group: Vec<Candidate> = idle.iter().filter(hidden).copied().collect();
        let stays = others.iter().filter(hidden).map(|other| other.timestamps.0);
        let oldest = stays.chain(memory).min();
        if oldest.is_some_and(|oldest| oldest <= table.timestamps.0) || (alone && !group.is_empty()) {
            continue;
        }
        group.push(*table);
        if group.len() <= MAX_INPUTS && is_worth(&group) {
            groups.push(group);
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.iter().map(|table| table.due).sum::<u64>()));
    groups
        .into_iter()
        .filter_map(|group| unified::merge_of(group, sizes))
        .collect()
}

fn is_worth(tables: &[Candidate]) -> bool {
    let due: u64 = tables.iter().map(|table| table.due).sum();
    let things: u64 = tables.iter().map(|table| table.things).sum();
    due > 0 && due.saturating_mul(WORTH) >= things
}

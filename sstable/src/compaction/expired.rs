//! Tables that are dead as a whole: they are removed without being read. A pure choice.

use starling_model::{Seconds, Timestamp, TokenRange};

use super::{candidate::Candidate, slices::overlap};

/// The tables of `idle` in which everything is dead and may be forgotten.
///
/// `purgeable` tells before which second things of some tokens may be forgotten. `others` are live tables that
/// can't go, and `memory` is the oldest timestamp in the memtables: a tombstone stays while something that it
/// may shadow is elsewhere.
pub fn pick(
    idle: &[Candidate],
    others: &[Candidate],
    memory: Option<Timestamp>,
    purgeable: impl Fn(TokenRange) -> Option<Seconds>,
) -> Vec<u64> {
    let (mut dead, alive): (Vec<Candidate>, Vec<Candidate>) = idle.iter().partition(|table| {
        table
            .dead_after
            .is_some_and(|second| purgeable(table.tokens).is_some_and(|before| second < before))
    });
    let mut staying: Vec<Candidate> = alive.into_iter().chain(others.iter().copied()).collect();
    // The one with the newest timestamp is the first that may have to stay, and then holds others back.
    dead.sort_by_key(|table| std::cmp::Reverse((table.timestamps.1, table.number)));
    let mut gone = Vec::new();
    for table in dead {
        let oldest = staying
            .iter()
            .filter(|other| overlap(other.tokens, table.tokens))
            .map(|other| other.timestamps.0)
            .chain(memory)
            .min();
        if oldest.is_none_or(|oldest| table.timestamps.1 < oldest) {
            gone.push(table.number);
        } else {
            staying.push(table);
        }
    }
    gone.sort_unstable();
    gone
}

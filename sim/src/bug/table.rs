//! Which checkers find which bug, in how many seeds.

use std::{collections::BTreeMap, fmt, num::NonZeroUsize, ops::Range};

use super::Bug;
use crate::{
    checkers::Promise,
    run::{Plan, run},
    side_by_side,
};

/// What came of looking for one bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The bug.
    pub bug: Bug,
    /// How many seeds were run.
    pub seeds: u64,
    /// In how many of them it was found: a promise was broken that it may break.
    pub found: u64,
    /// The first of them.
    pub first: Option<u64>,
    /// Which promises were broken, in how many seeds each.
    pub broken: BTreeMap<Promise, u64>,
    /// Seeds that panicked where no run could be judged any more, with what they said: they show nothing of the bug.
    pub panicked: Vec<(u64, String)>,
}

/// The plan of one seed with a bug.
pub fn plan(bug: Bug, seed: u64, steps: usize) -> Plan {
    Plan {
        bug: Some(bug),
        evils: bug.evils(),
        upheaval: Some(bug.needs_upheaval()),
        calm: bug.needs_calm(),
        steps,
        ..Plan::new(seed)
    }
}

/// The promises that one seed with a bug breaks, of those that the bug may break.
pub fn broken(bug: Bug, seed: u64, steps: usize) -> Vec<Promise> {
    let mut promises: Vec<Promise> = run(&plan(bug, seed, steps), None)
        .violations
        .into_iter()
        .map(|violation| violation.promise)
        .filter(|promise| bug.breaks().contains(promise))
        .collect();
    promises.sort_unstable();
    promises.dedup();
    promises
}

/// Runs all seeds with a bug, so many at a time.
pub fn search(bug: Bug, seeds: Range<u64>, steps: usize, jobs: NonZeroUsize) -> Search {
    let mut search = Search {
        bug,
        seeds: 0,
        found: 0,
        first: None,
        broken: BTreeMap::new(),
        panicked: Vec::new(),
    };
    let look = |seed| broken(bug, seed, steps);
    side_by_side::in_order(seeds, jobs, look, |seed, broken| {
        search.seeds += 1;
        let broken = broken.unwrap_or_else(|panic| {
            search.panicked.push((seed, panic));
            Vec::new()
        });
        if !broken.is_empty() {
            search.found += 1;
            search.first.get_or_insert(seed);
        }
        for promise in broken {
            *search.broken.entry(promise).or_default() += 1;
        }
    });
    search
}

/// The table's head, in Markdown.
pub const HEAD: &str = "| bug | what it does | found in | by |\n|---|---|---|---|";

/// The table's line, in Markdown.
impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by: Vec<String> = self
            .broken
            .iter()
            .map(|(promise, seeds)| format!("{promise:?} {seeds}"))
            .collect();
        write!(
            f,
            "| {:?} | {} | {} of {} seeds | {} |",
            self.bug,
            self.bug.what(),
            self.found,
            self.seeds,
            if by.is_empty() {
                "nothing".to_owned()
            } else {
                by.join(", ")
            }
        )
    }
}

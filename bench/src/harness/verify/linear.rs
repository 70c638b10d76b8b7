//! Whether a history of one register is linearizable.
//!
//! Wing and Gong's search ("Testing and verifying concurrent objects", 1993) with Lowe's memory of states that were seen
//! ("Testing for linearizability", 2017): an operation may come next in the order if no other one that is not in it yet
//! had ended before this one began. Operations without an end may come at any time after they began, or never.

use std::collections::HashSet;

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The register holds this from then on.
    Write(i64),
    /// It held this; `None`: nothing yet.
    Read(Option<i64>),
    /// A conditional write: if it held the first it holds the second; and whether it did.
    Swap {
        /// What it must hold.
        expected: Option<i64>,
        /// What it holds then.
        new: i64,
        /// What the server said; `None`: it is not known.
        applied: Option<bool>,
    },
}

/// An operation of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// When it was sent.
    pub began: u64,
    /// When it was answered; `u64::MAX`: never.
    pub ended: u64,
    /// What it did.
    pub action: Action,
}

/// What the search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order.
    Linearizable,
    /// There is none.
    Violation,
    /// The search was given up after [`MAX_STATES`] states.
    Undecided,
}

/// States that are looked at, at most.
pub const MAX_STATES: usize = 200_000;

/// Which operations are in the order, and what the register holds after them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    ordered: Vec<u64>,
    first: usize,
    value: Option<i64>,
}

/// Looks for an order. The register holds nothing at first.
///
/// A history that was cut off holds reads of writes that were still under way then: a version that no operation of
/// the history writes is taken as written by one without an end, from the beginning on.
pub fn check(history: &[Operation]) -> Verdict {
    let mut operations = history.to_vec();
    operations.extend(unseen_writes(history));
    operations.sort_by_key(|operation| (operation.began, operation.ended));
    let start = State {
        ordered: vec![0; operations.len().div_ceil(64)],
        first: 0,
        value: None,
    };
    let mut seen = HashSet::new();
    let mut open = vec![start];
    while let Some(state) = open.pop() {
        let Some(deadline) = earliest_end(&operations, &state) else {
            return Verdict::Linearizable;
        };
        if seen.len() >= MAX_STATES {
            return Verdict::Undecided;
        }
        // The earliest candidates are tried first: they lie on top.
        let candidates = operations.iter().enumerate().skip(state.first);
        let mut next: Vec<State> = candidates
            .take_while(|(_, operation)| operation.began <= deadline)
            .filter(|(place, _)| !is_ordered(&state, *place))
            .filter_map(|(place, operation)| apply(&operations, &state, place, operation))
            .filter(|next| seen.insert(next.clone()))
            .collect();
        next.reverse();
        open.append(&mut next);
    }
    Verdict::Violation
}

fn unseen_writes(history: &[Operation]) -> Vec<Operation> {
    let written: HashSet<i64> = history
        .iter()
        .filter_map(|operation| match operation.action {
            Action::Write(value) | Action::Swap { new: value, .. } => Some(value),
            Action::Read(_) => None,
        })
        .collect();
    let read: HashSet<i64> = history
        .iter()
        .filter_map(|operation| match operation.action {
            Action::Read(value) => value,
            _ => None,
        })
        .filter(|value| !written.contains(value))
        .collect();
    let write = |value| Operation {
        began: 0,
        ended: u64::MAX,
        action: Action::Write(value),
    };
    read.into_iter().map(write).collect()
}

fn is_ordered(state: &State, place: usize) -> bool {
    state.ordered[place / 64] & (1 << (place % 64)) != 0
}

/// The end of the operation that ended first of those that are not in the order; `None` if all that ended are.
fn earliest_end(operations: &[Operation], state: &State) -> Option<u64> {
    let mut earliest = u64::MAX;
    for (place, operation) in operations.iter().enumerate().skip(state.first) {
        if operation.began > earliest {
            break;
        }
        if !is_ordered(state, place) {
            earliest = earliest.min(operation.ended);
        }
    }
    (earliest != u64::MAX).then_some(earliest)
}

/// The state with one more operation in the order, if the register allows it there.
fn apply(operations: &[Operation], state: &State, place: usize, operation: &Operation) -> Option<State> {
    let value = match operation.action {
        Action::Write(value) => Some(value),
        Action::Read(value) if value == state.value => value,
        Action::Read(_) => return None,
        Action::Swap {
            expected,
            new,
            applied,
        } => {
            let holds = expected == state.value;
            if applied.is_some_and(|applied| applied != holds) {
                return None;
            }
            if holds { Some(new) } else { state.value }
        }
    };
    let mut next = state.clone();
    next.value = value;
    next.ordered[place / 64] |= 1 << (place % 64);
    while next.first < operations.len() && is_ordered(&next, next.first) {
        next.first += 1;
    }
    Some(next)
}

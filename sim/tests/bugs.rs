//! Each bug that the simulator can plant is found by the checkers within a few seeds.

use starling_sim::{
    bug::Bug,
    checkers::Promise,
    nemesis::Evils,
    run::{Plan, run},
};

/// The promises that a seed with a bug breaks.
fn broken(bug: Bug, seed: u64) -> Vec<Promise> {
    let plan = Plan {
        bug: Some(bug),
        nodes: Some(3),
        upheaval: Some(false),
        evils: Some(Evils::ALL),
        ..Plan::new(seed)
    };
    run(&plan, None)
        .violations
        .into_iter()
        .map(|violation| violation.promise)
        .collect()
}

/// Fails unless one of a few seeds breaks one of the promises.
fn is_found(bug: Bug, promises: &[Promise]) {
    let found = (0..40).any(|seed| broken(bug, seed).iter().any(|promise| promises.contains(promise)));
    assert!(found, "{bug:?} was not found");
}

#[test]
fn acknowledging_before_the_sync_loses_writes() {
    is_found(
        Bug::AcknowledgeBeforeSync,
        &[Promise::NoLostWrite, Promise::MonotonicReads],
    );
}

#[test]
fn dropping_repairs_breaks_monotonic_reads_or_convergence() {
    is_found(Bug::DropRepairs, &[Promise::MonotonicReads, Promise::Convergence]);
}

#[test]
fn a_wrong_tie_break_breaks_convergence_or_loses_writes() {
    is_found(
        Bug::FirstOfEqualsWins,
        &[
            Promise::Convergence,
            Promise::NoLostWrite,
            Promise::MonotonicReads,
        ],
    );
}

#[test]
fn ignored_range_deletions_bring_rows_back() {
    is_found(Bug::IgnoreRangeDeletions, &[Promise::NoLostWrite]);
}

#[test]
fn purging_too_early_brings_deleted_data_back() {
    is_found(
        Bug::PurgeTooEarly,
        &[Promise::NoLostWrite, Promise::MonotonicReads],
    );
}

#[test]
fn changes_that_nobody_hears_of_break_convergence() {
    is_found(Bug::ForgetChanges, &[Promise::Convergence]);
}

#[test]
fn writes_that_replicas_lose_are_lost() {
    is_found(Bug::LoseWrites, &[Promise::NoLostWrite]);
}

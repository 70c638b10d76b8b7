//! Bugs that the simulator can plant are found by the checkers. Each is looked for first in a seed that found it when this
//! was written, and then in others, for a change anywhere makes other runs of the seeds. All bugs in many seeds:
//! `starling-sim --bugs`.

use starling_sim::bug::{Bug, table};

/// Seeds in which a bug is looked for.
const SEEDS: u64 = 100;
const STEPS: usize = 300;

fn are_found(bugs: &[(Bug, u64)]) {
    let is_found = |bug, known| {
        let mut seeds = [known].into_iter().chain(0..SEEDS);
        seeds.any(|seed| !table::broken(bug, seed, STEPS).is_empty())
    };
    let missed = bugs.iter().filter(|(bug, known)| !is_found(*bug, *known));
    let missed: Vec<Bug> = missed.map(|(bug, _)| *bug).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn bugs_of_durability_are_found() {
    are_found(&[
        (Bug::AcknowledgeBeforeSync, 0),
        (Bug::SkipSync, 0),
        (Bug::SkipDirectorySync, 0),
        (Bug::ReadBeforeSync, 0),
        (Bug::AcknowledgeFailures, 62),
    ]);
}

#[test]
fn bugs_of_replicas_are_found() {
    are_found(&[
        (Bug::LoseWrites, 0),
        (Bug::LoseNearWrites, 0),
        (Bug::LoseLastRow, 0),
        (Bug::StaleCache, 0),
        (Bug::StopAtShard, 6),
        (Bug::FirstOfEqualsWins, 13),
        (Bug::IgnoreRangeDeletions, 0),
        (Bug::IgnoreTruncation, 0),
        (Bug::TakeLateWrites, 0),
    ]);
}

#[test]
fn bugs_of_convergence_are_found() {
    are_found(&[
        (Bug::DropRepairs, 2),
        (Bug::DropHints, 1),
        (Bug::RestampHints, 1),
        (Bug::ForgetHints, 0),
        (Bug::KeepSchemaSecret, 0),
        (Bug::FirstSchemaWins, 0),
        (Bug::ForgetChanges, 17),
        (Bug::ForgetBatches, 0),
        (Bug::GiveUpDamage, 1),
        (Bug::HideDamage, 1),
    ]);
}

#[test]
fn bugs_of_answers_are_found() {
    are_found(&[
        (Bug::SwapRows, 0),
        (Bug::RefuseReads, 0),
        (Bug::PanicAtDeletions, 0),
        (Bug::RefuseAsNewcomer, 0),
    ]);
}

#[test]
fn bugs_of_deletions_clocks_and_the_ring_are_found() {
    are_found(&[
        (Bug::HideDeletions, 1),
        (Bug::PurgeTooEarly, 4),
        (Bug::NeverBehind, 0),
        (Bug::ForgetClock, 0),
        (Bug::StreamNothing, 3),
        (Bug::KeepForeign, 1),
        (Bug::ReadOnOldRing, 0),
        (Bug::SkipBarrier, 0),
    ]);
}

#[test]
fn a_bug_has_a_name() {
    for bug in Bug::ALL {
        assert_eq!(Bug::named(&format!("{bug:?}")), Some(bug));
        assert!(!bug.breaks().is_empty() && !bug.what().is_empty());
    }
    assert_eq!(Bug::named("NoSuchBug"), None);
}

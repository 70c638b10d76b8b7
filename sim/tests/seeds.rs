//! Whole clusters under a hundred seeds or so, most of them with a part of their steps, keep what they promise. `.ci/run sim` runs the
//! seeds 0 to 299 with all their steps.

use starling_sim::run::{Plan, run};

/// Runs seeds and fails with all that went wrong, and how to see it again.
fn check(seeds: impl IntoIterator<Item = u64>, upheaval: Option<bool>) {
    let mut failures = Vec::new();
    for seed in seeds {
        let plan = Plan {
            steps: 150,
            upheaval,
            ..Plan::new(seed)
        };
        let report = run(&plan, None);
        if !report.violations.is_empty() {
            let violations: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
            failures.push(format!(
                "cargo run --release -p starling-sim -- --seed {seed} --steps 150{} --trace\n  {}",
                if upheaval == Some(true) { " --upheaval" } else { "" },
                violations.join("\n  ")
            ));
        }
    }
    assert!(failures.is_empty(), "broken promises:\n{}", failures.join("\n"));
}

// Two tests, so that two cores share the work.

#[test]
fn promises_hold_in_the_first_seeds() {
    check(0..40, None);
}

#[test]
fn promises_hold_in_further_seeds() {
    check(40..80, None);
}

#[test]
fn promises_hold_while_the_ring_changes() {
    check(200..220, Some(true));
}

/// Seeds that broke a promise once.
#[test]
fn promises_hold_where_they_were_broken() {
    // A node that was not in the ring yet prepared statements, and knew of no tables.
    check([7, 21, 41, 60, 111, 118, 128, 136, 141], Some(true));
}

/// The same, with all their steps.
#[test]
fn promises_hold_where_long_runs_broke_them() {
    let seeds = [
        0,       // A node whose clock had jumped ahead lost its power, and came back with the clock right.
        90,      // A scan took the pieces beside a full one for the end of its range.
        111,     // Members that took long to forget earlier rings kept any change from beginning.
        181,     // A batch that was kept for replay was called unavailable.
        229,     // Hints that busy replicas did not take were kept for them, passed on, and multiplied.
        5_904,   // A hint at ANY was delivered to a node that had given its range away.
        10_078,  // After two crashes a file of the log had two names, of which one was written to.
        15_308,  // A newcomer knew of no node that was still there.
        20_037,  // A node whose kept batches were damaged did not start.
        50_059,  // A bit that no reader needs kept a newcomer asking for the same file without end.
        100_203, // A deletion that failed was told to a client, and not to other replicas.
        201_511, // A full disk kept a batch that was done, and a restart carried it out again.
        201_603, // The simulated operator did not know of a newcomer that died at once.
        300_222, // Clients wrote faster than slow compactions could follow, until successors had their data.
        600_111, // What was on its way to departed nodes kept a table from being truncated.
    ];
    let broken: Vec<String> = seeds
        .iter()
        .map(|seed| run(&Plan::new(*seed), None))
        .filter(|report| !report.violations.is_empty())
        .map(|report| format!("seed {}: {:?}", report.seed, report.violations))
        .collect();
    assert!(broken.is_empty(), "broken promises:\n{}", broken.join("\n"));
}

/// A simulation in which nothing happens proves nothing.
#[test]
fn the_runs_are_eventful() {
    let reports: Vec<_> = (0..20)
        .map(|seed| {
            run(
                &Plan {
                    steps: 150,
                    ..Plan::new(seed)
                },
                None,
            )
        })
        .collect();
    let sum = |figure: fn(&starling_sim::run::Figures) -> u64| -> u64 {
        reports.iter().map(|report| figure(&report.figures)).sum()
    };
    assert!(sum(|figures| figures.acknowledged as u64) > 50);
    assert!(sum(|figures| figures.unknown as u64) > 0);
    assert!(sum(|figures| figures.reads as u64) > 50);
    assert!(sum(|figures| figures.lost) > 0);
    assert!(sum(|figures| figures.duplicated) > 0);
    assert!(sum(|figures| figures.flushes) > 0);
    assert!(sum(|figures| figures.compactions) > 0);
    assert!(sum(|figures| figures.rotten_bits) > 10, "disks rot");
    assert!(sum(|figures| figures.healed) > 0, "what rotted is written anew");
    assert!(sum(|figures| figures.ring_changes) > 20, "rings change");
    assert!(sum(|figures| figures.dooms as u64) > 0);
    assert!(sum(|figures| figures.overloaded) > 10, "nodes have no room");
    assert!(sum(|figures| figures.given_up) > 10, "clients go away");
    assert!(sum(|figures| figures.contradictions as u64) > 10);
    assert!(
        sum(|figures| figures.datacenters as u64 - 1) > 1,
        "some stand in two datacenters"
    );
}

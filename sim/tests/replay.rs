//! The seed is the run: the same one gives the same events, another one others.

use std::sync::{Arc, Mutex};

use starling_sim::{
    run::{Plan, Report, run},
    trace::Sink,
};

fn report(seed: u64) -> Report {
    run(
        &Plan {
            steps: 60,
            ..Plan::new(seed)
        },
        None,
    )
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 100..104 {
        let (first, second) = (report(seed), report(seed));
        assert_eq!(first.events, second.events, "seed {seed}");
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first, second);
    }
}

#[test]
fn different_seeds_give_different_traces() {
    assert_ne!(report(105).hash, report(106).hash);
}

#[test]
fn a_readable_trace_changes_nothing() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = lines.clone();
    let sink: Sink = Box::new(move |line| written.lock().expect("no panic").push(line));
    let plan = Plan {
        steps: 60,
        ..Plan::new(107)
    };
    let traced = run(&plan, Some(sink));
    assert_eq!(traced.hash, run(&plan, None).hash);
    let lines = lines.lock().expect("no panic");
    for kind in ["send", "deliver", "write", "seen"] {
        assert!(
            lines.iter().any(|line| line.contains(kind)),
            "no line tells of a {kind}"
        );
    }
}

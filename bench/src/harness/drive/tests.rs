use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use super::{
    pace::Pace,
    plan::{Plan, Protocol},
};

#[test]
fn a_closed_pace_gives_whenever_it_is_asked() {
    let now = Instant::now();
    let mut pace = Pace::closed(Some(now + Duration::from_secs(1)), None);
    assert_eq!((pace.take(now), pace.take(now)), (Some(now), Some(now)));
    assert_eq!(pace.next_due(), None);
    let late = now + Duration::from_secs(1);
    assert_eq!(
        (pace.take(late), pace.is_over(late), pace.abandon()),
        (None, true, 0)
    );
}

#[test]
fn an_open_pace_keeps_its_times_however_late_it_is_asked() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut pace = Pace::open(at(10), Duration::from_millis(10), Some(at(100)), None);
    assert_eq!((pace.take(at(9)), pace.next_due()), (None, Some(at(10))));
    assert_eq!(pace.take(at(10)), Some(at(10)));
    // The server did not answer for a while: what should have begun meanwhile begins now, with its own time.
    let late: Vec<Instant> = std::iter::from_fn(|| pace.take(at(45))).collect();
    assert_eq!(late, [at(20), at(30), at(40)]);
    assert!(
        !pace.is_over(at(500)),
        "some were due before the end and have not begun"
    );
    assert_eq!(pace.abandon(), 5, "50, 60, 70, 80, 90");
    assert!(pace.is_over(at(500)));
}

#[test]
fn a_budget_is_for_all_lanes() {
    let now = Instant::now();
    let budget = Arc::new(AtomicU64::new(3));
    let mut lanes = [
        Pace::closed(None, Some(Arc::clone(&budget))),
        Pace::closed(None, Some(budget)),
    ];
    let mut begun = 0;
    while lanes.iter_mut().any(|lane| lane.take(now).is_some()) {
        begun += 1;
    }
    assert_eq!(begun, 3);
    assert!(lanes.iter().all(|lane| lane.is_over(now)));
}

#[test]
fn shares_make_up_the_whole() {
    let plan = Plan {
        text: String::new(),
        file: String::new(),
        folder: std::path::PathBuf::new(),
        protocol: Protocol::Cql,
        addresses: Vec::new(),
        in_flight: 10,
        connections: 4,
        rate: Some(900.0),
        warm_up: Duration::ZERO,
        duration: None,
        operations: Some(100),
        consistency: None,
        records: None,
        process: 0,
        processes: 1,
        seed: 1,
        timeout: Duration::from_secs(1),
    };
    let shares: Vec<Plan> = (0..3).map(|process| plan.share(process, 3)).collect();
    let sum = |of: &dyn Fn(&Plan) -> u64| shares.iter().map(of).sum::<u64>();
    assert_eq!(sum(&|share| u64::from(share.in_flight)), 10);
    assert_eq!(sum(&|share| u64::from(share.connections)), 4);
    assert_eq!(sum(&|share| share.operations.unwrap_or(0)), 100);
    assert!(
        shares
            .iter()
            .all(|share| share.rate == Some(300.0) && share.processes == 3)
    );
    assert_ne!(shares[0].seed, shares[1].seed);
}

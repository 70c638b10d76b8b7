use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use super::{
    alarm::Alarm,
    pace::{Missed, Pace},
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
        (None, true, None)
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
    assert!(!pace.is_over(at(45)));
    let missed = Missed {
        first: at(50),
        interval: Duration::from_millis(10),
        number: 5,
    };
    assert_eq!(pace.abandon(), Some(missed), "50, 60, 70, 80, 90");
    assert_eq!(pace.abandon(), None);
}

#[test]
fn nothing_begins_after_the_end_however_much_waits() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut pace = Pace::open(at(0), Duration::from_millis(10), Some(at(100)), None);
    assert_eq!(pace.take(at(1)), Some(at(0)));
    // There was room for nothing more until the end; the first look after it has room for two.
    assert_eq!(
        (pace.take(at(101)), pace.take(at(101))),
        (Some(at(10)), Some(at(20)))
    );
    assert_eq!(pace.take(at(102)), None, "an answer made room after the end");
    assert!(pace.is_over(at(101)));
    assert_eq!(pace.next_due(), None, "nobody is to wake for what never begins");
    assert_eq!(pace.abandon().map(|missed| missed.number), Some(7), "30 to 90");
}

#[test]
fn what_was_due_a_moment_before_the_end_is_not_missed() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut pace = Pace::open(at(95), Duration::from_millis(10), Some(at(100)), None);
    assert_eq!(pace.take(at(120)), Some(at(95)));
    assert_eq!((pace.take(at(120)), pace.abandon()), (None, None));
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

#[tokio::test]
async fn an_alarm_rings_at_its_time_and_can_be_set_anew() {
    let mut alarm = Alarm::new().expect("a timer");
    let start = Instant::now();
    alarm.until(start).await.expect("it has been");
    let hour = start + Duration::from_hours(1);
    let soon = start + Duration::from_micros(300);
    tokio::select! {
        biased;
        rung = alarm.until(hour) => panic!("too early: {rung:?}"),
        () = tokio::task::yield_now() => {}
    }
    alarm.until(soon).await.expect("it rings");
    assert!(Instant::now() >= soon);
    // It rang, and nobody was there to hear it: that is not the next one's ringing.
    let next = Instant::now() + Duration::from_micros(100);
    tokio::select! {
        biased;
        _ = alarm.until(next) => panic!("the timer was only just set"),
        () = std::future::ready(()) => {}
    }
    std::thread::sleep(Duration::from_millis(2));
    let later = Instant::now() + Duration::from_millis(3);
    alarm.until(later).await.expect("it rings");
    assert!(Instant::now() >= later);
}

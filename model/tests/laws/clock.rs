//! The hybrid clock's contract.

use proptest::{collection::vec, prelude::*};
use starling_model::{HybridClock, Seconds, Timestamp, time::MAX_DRIFT_MICROS};

#[derive(Debug, Clone)]
enum Step {
    Tick(i64),
    Observe { ahead: i64, wall: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let wall = || 0_i64..1_000_000_000;
    prop_oneof![
        wall().prop_map(Step::Tick),
        (-2 * MAX_DRIFT_MICROS..2 * MAX_DRIFT_MICROS, wall())
            .prop_map(|(ahead, wall)| Step::Observe { ahead, wall }),
    ]
}

proptest! {
    /// Ticks strictly increase though the wall clock jumps, and are later than all that was accepted;
    /// what is refused changes nothing.
    #[test]
    fn never_goes_back(steps in vec(step(), 1..60)) {
        let mut clock = HybridClock::default();
        let mut newest = Timestamp::MIN;
        for step in steps {
            match step {
                Step::Tick(wall) => {
                    let tick = clock.tick(Timestamp(wall));
                    prop_assert!(tick > newest && tick.0 >= wall);
                    newest = tick;
                }
                Step::Observe { ahead, wall } => {
                    let remote = Timestamp(wall + ahead);
                    let before = clock.latest();
                    let observed = clock.observe(remote, Timestamp(wall));
                    prop_assert_eq!(observed.is_ok(), ahead <= MAX_DRIFT_MICROS);
                    if observed.is_ok() {
                        newest = newest.max(remote);
                    } else {
                        prop_assert_eq!(clock.latest(), before);
                    }
                }
            }
            prop_assert_eq!(clock.latest(), newest);
        }
    }
}

#[test]
fn follows_the_wall_clock_when_it_is_ahead() {
    let mut clock = HybridClock::default();
    assert_eq!(clock.tick(Timestamp(100)), Timestamp(100));
    assert_eq!(clock.tick(Timestamp(100)), Timestamp(101));
    assert_eq!(clock.tick(Timestamp(50)), Timestamp(102));
    assert_eq!(clock.tick(Timestamp(1000)), Timestamp(1000));
}

#[test]
fn a_refusal_names_the_numbers() {
    let mut clock = HybridClock::default();
    let refused = clock
        .observe(Timestamp(MAX_DRIFT_MICROS + 8), Timestamp(7))
        .expect_err("too far");
    assert_eq!(
        refused.to_string(),
        "timestamp 60000008 is 60000001 microseconds ahead of this node's clock; at most 60000000 are accepted"
    );
    assert!(clock.observe(Timestamp(i64::MAX), Timestamp(i64::MIN)).is_err());
    assert!(clock.observe(Timestamp(i64::MIN), Timestamp(i64::MAX)).is_ok());
}

#[test]
fn whole_seconds() {
    assert_eq!(Timestamp(1_999_999).seconds(), Seconds(1));
    assert_eq!(Timestamp(-5).seconds(), Seconds(0));
    assert_eq!(Timestamp(i64::MAX).seconds(), Seconds::MAX);
}

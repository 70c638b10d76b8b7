use proptest::{collection::vec, prelude::*};

use crate::compaction::pace::{Pace, PaceLimits};

const MILLI: u64 = 1_000_000;

#[test]
fn work_is_paid_for_with_waiting() {
    let mut pace = Pace::new(1_000_000);
    let now = 5_000 * MILLI;
    assert_eq!(
        pace.take(now, 100_000),
        0,
        "a tenth of a second's work is free after a rest"
    );
    assert_eq!(pace.take(now, 50_000), 50 * MILLI);
    assert_eq!(pace.take(now + 50 * MILLI, 10_000), 10 * MILLI);
    pace.set(10_000_000);
    assert_eq!(pace.take(now + 60 * MILLI, 10_000), MILLI);
    assert_eq!(pace.take(now + 60_000 * MILLI, 0), 0);
}

#[test]
fn the_pace_follows_the_debt() {
    let limits = PaceLimits {
        least: 10,
        most: 100,
        seconds: 5,
    };
    assert_eq!(
        [0, 50, 200, 500, 10_000].map(|debt| limits.bytes_per_second(debt)),
        [10, 10, 40, 100, 100]
    );
}

proptest! {
    #[test]
    fn whoever_waits_keeps_to_the_budget(rate in 1_u64..1 << 40, work in vec(0_u64..1 << 30, 1..50)) {
        let mut pace = Pace::new(rate);
        let start = 1_000_000 * MILLI;
        let mut now = start;
        let mut done: u128 = 0;
        for bytes in work {
            done += u128::from(bytes);
            now += pace.take(now, bytes);
            let budget = u128::from(rate) * u128::from(now - start + 100 * MILLI + 50) / 1_000_000_000;
            // What rounding gives away.
            prop_assert!(done <= budget + 50 * u128::from(rate / 1_000_000_000 + 1));
        }
    }
}

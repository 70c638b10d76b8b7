//! Phi: how surprising a silence is.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};

use crate::detector::Detector;

const TOLERATED: Duration = Duration::ZERO;
const DEVIATION: Duration = Duration::from_millis(100);

fn regular(beats: u64) -> (Detector, Duration) {
    let mut now = Duration::from_secs(10);
    let mut detector = Detector::new(Duration::from_secs(1), now);
    for _ in 0..beats {
        now += Duration::from_secs(1);
        detector.heartbeat(now);
    }
    (detector, now)
}

/// Half a chance that a heartbeat comes later than the mean: phi is log10(2).
#[test]
fn phi_is_a_probability() {
    let (detector, last) = regular(200);
    let phi = |millis| detector.phi(last + Duration::from_millis(millis), TOLERATED, DEVIATION);
    assert!((phi(1_000) - 2.0_f64.log10()).abs() < 0.001, "{}", phi(1_000));
    // Two deviations beyond it: 2.275 %.
    assert!((phi(1_200) - 1.643).abs() < 0.01, "{}", phi(1_200));
    assert!(phi(0) < 0.001);
    assert!(phi(60_000) > 100.0 && phi(60_000).is_finite());
}

/// What was irregular so far may be late with less suspicion.
#[test]
fn irregular_heartbeats_are_given_more_time() {
    let mut now = Duration::from_secs(10);
    let mut irregular = Detector::new(Duration::from_secs(1), now);
    for beat in 0..100 {
        now += Duration::from_millis(if beat % 2 == 0 { 200 } else { 1_800 });
        irregular.heartbeat(now);
    }
    let (regular, last) = regular(100);
    let silence = Duration::from_secs(3);
    assert!(regular.phi(last + silence, TOLERATED, DEVIATION) > 8.0);
    assert!(irregular.phi(now + silence, TOLERATED, DEVIATION) < 8.0);
}

#[test]
fn tolerance_shifts_the_judgement() {
    let (detector, last) = regular(50);
    let at = last + Duration::from_millis(1_500);
    let later = at + Duration::from_secs(2);
    let tolerant = detector.phi(later, Duration::from_secs(2), DEVIATION);
    assert!((detector.phi(at, TOLERATED, DEVIATION) - tolerant).abs() < 1e-9);
}

/// A proof of life resets the silence and says nothing about intervals.
#[test]
fn proofs_are_no_heartbeats() {
    let (mut detector, last) = regular(50);
    let before = detector.phi(last + Duration::from_secs(1), TOLERATED, DEVIATION);
    for millis in 1..500 {
        detector.proof(last + Duration::from_millis(millis));
    }
    let proved = last + Duration::from_millis(499);
    assert_eq!(detector.last(), proved);
    let after = detector.phi(proved + Duration::from_secs(1), TOLERATED, DEVIATION);
    assert!((before - after).abs() < 1e-9);
}

proptest! {
    #[test]
    fn phi_grows_with_the_silence(
        intervals in vec(0_u64..5_000, 0..150),
        a in 0_u64..100_000,
        b in 0_u64..100_000,
    ) {
        let mut now = Duration::from_secs(1);
        let mut detector = Detector::new(Duration::from_secs(2), now);
        for interval in intervals {
            now += Duration::from_millis(interval);
            detector.heartbeat(now);
        }
        let phi = |millis| detector.phi(now + Duration::from_millis(millis), TOLERATED, DEVIATION);
        let (less, more) = (phi(a.min(b)), phi(a.max(b)));
        prop_assert!(less >= 0.0 && more.is_finite() && less <= more);
        // A clock that the caller set back does no harm.
        prop_assert!(detector.phi(Duration::ZERO, TOLERATED, DEVIATION).is_finite());
    }
}

#[test]
fn what_nobody_listened_to_is_no_silence() {
    let (mut detector, now) = regular(50);
    let later = now + Duration::from_secs(30);
    let listened = detector.clone();
    detector.excuse(Duration::from_secs(29), later);
    let phi = |detector: &Detector, at| detector.phi(at, Duration::ZERO, Duration::from_millis(500));
    let before = phi(&listened, now + Duration::from_secs(1));
    assert!((phi(&detector, later) - before).abs() < 1e-9);
    detector.excuse(Duration::from_hours(1), later);
    assert_eq!(detector.last(), later, "not beyond the present");
}

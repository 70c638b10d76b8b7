//! The bound on what is in flight.

use std::sync::Arc;

use starling_replication::budget::Pool;

use super::super::admission::Admission;

#[test]
fn places_and_bytes_are_given_back() {
    let pool = Pool::new(1_000, 1_000);
    let admission = Arc::new(Admission::new(2, pool.clone()));
    let first = admission.enter(600).unwrap();
    assert!(admission.enter(401).is_none(), "no bytes are left");
    let second = admission.enter(400).unwrap();
    assert!(admission.enter(0).is_none(), "no place is left");
    drop(first);
    assert_eq!(pool.held(), 400);
    assert!(admission.enter(usize::MAX).is_none());
    let third = admission.enter(0).unwrap();
    drop((second, third));
    assert_eq!(pool.held(), 0);
    assert!(admission.enter(1_000).is_some());
}

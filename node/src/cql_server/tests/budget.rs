//! The bound on what is in flight.

use std::sync::Arc;

use super::super::budget::Budget;

#[test]
fn what_arrives_has_half_of_the_bytes() {
    let budget = Arc::new(Budget::new(10, 1_000));
    assert!(budget.try_reserve(501).is_none());
    let arriving = budget.try_reserve(500).unwrap();
    assert!(budget.try_reserve(1).is_none());
    let small = budget.try_take(500).unwrap();
    assert!(budget.try_take(1).is_none());
    assert_eq!(budget.taken(), (2, 1_000));
    drop(small);
    let arrived = arriving.arrived(500).unwrap();
    let next = budget.try_reserve(500).unwrap();
    assert_eq!(budget.taken(), (2, 1_000));
    drop((arrived, next));
    assert_eq!(budget.taken(), (0, 0));
    assert!(budget.try_reserve(500).is_some());
}

#[test]
fn a_message_counts_with_what_it_became() {
    let budget = Arc::new(Budget::new(10, 1_000));
    let permit = budget.try_reserve(10).unwrap().arrived(800).unwrap();
    assert_eq!(budget.taken(), (1, 800));
    let second = budget.try_reserve(10).unwrap();
    assert!(second.arrived(300).is_none());
    assert_eq!(budget.taken(), (1, 800));
    drop(permit);
    assert_eq!(budget.taken(), (0, 0));
}

#[test]
fn what_does_not_fit_takes_nothing() {
    let budget = Arc::new(Budget::new(1, 1_000));
    assert!(budget.try_take(usize::MAX).is_none());
    assert_eq!(budget.taken(), (0, 0));
    let one = budget.try_take(1).unwrap();
    assert!(budget.try_take(1).is_none());
    assert!(budget.try_reserve(1).is_none());
    drop(one);
    assert!(budget.try_reserve(1).is_some());
}

use proptest::prelude::*;

use crate::compaction::behind::interpolate;

proptest! {
    #[test]
    fn places_follow_tokens(first: u64, last: u64, bytes: u64, a: u64, b: u64) {
        let (first, last) = (first.min(last), first.max(last));
        let place = |token| interpolate(first, last, bytes, token);
        prop_assert!(place(a.min(b)) <= place(a.max(b)));
        prop_assert!(place(a) <= bytes);
        prop_assert_eq!(place(first), 0);
    }
}

#[test]
fn the_middle_is_in_the_middle() {
    assert_eq!(interpolate(1_000, 1_999, 500, 1_500), 250);
    assert_eq!(interpolate(7, 7, 500, 9), 0);
}

//! Sets of tokens against sets of numbers.

use proptest::prelude::*;

use super::*;

fn range(start: i64, end: i64) -> TokenRange {
    TokenRange {
        start: Token(start),
        end: Token(end),
    }
}

/// Ranges close together, that overlap, touch and wrap; and now and then the ends of the token space.
fn ranges() -> impl Strategy<Value = Vec<TokenRange>> {
    let end = prop_oneof![20 => -12_i64..12, 1 => Just(i64::MIN), 1 => Just(i64::MAX)];
    prop::collection::vec((end.clone(), end), 0..6)
        .prop_map(|ends| ends.into_iter().map(|(start, end)| range(start, end)).collect())
}

fn probes() -> impl Iterator<Item = Token> {
    (-14..14).chain([i64::MIN + 1, i64::MAX]).map(Token)
}

proptest! {
    #[test]
    fn sets_do_what_their_names_say(a in ranges(), b in ranges(), start in -14_i64..14, length in 1_i64..6) {
        let has = |ranges: &[TokenRange], token| ranges.iter().any(|range| range.contains(token));
        let (x, y) = (TokenSet::from(a.clone()), TokenSet::from(b.clone()));
        for token in probes() {
            prop_assert_eq!(x.contains(token), has(&a, token));
            prop_assert_eq!(x.complement().contains(token), !has(&a, token));
            prop_assert_eq!(x.union(&y).contains(token), has(&a, token) || has(&b, token));
            prop_assert_eq!(x.intersection(&y).contains(token), has(&a, token) && has(&b, token));
            prop_assert_eq!(x.without(&y).contains(token), has(&a, token) && !has(&b, token));
        }
        let asked = range(start, start + length);
        let tokens = || (start + 1..=start + length).map(Token);
        prop_assert_eq!(x.covers(asked), tokens().all(|token| has(&a, token)));
        prop_assert_eq!(x.touches(asked), tokens().any(|token| has(&a, token)));
        prop_assert_eq!(x.union(&x.complement()), TokenSet::from(TokenRange::ALL));
        prop_assert_eq!(x.complement().complement(), x);
    }

    #[test]
    fn parts_of_a_set_are_the_set(a in ranges(), parts in 0_u64..9) {
        let set = TokenSet::from(a);
        let split = set.split(parts);
        prop_assert!(split.len() as u64 <= parts.max(1));
        prop_assert_eq!(split.iter().map(TokenSet::width).sum::<u64>(), set.width());
        let joined: TokenSet = split.iter().flat_map(TokenSet::ranges).copied().collect();
        prop_assert_eq!(joined, set.clone());
        if let (Some(first), Some(most)) = (split.first(), split.iter().map(TokenSet::width).max()) {
            prop_assert_eq!(first.width(), most);
            prop_assert!(most <= set.width().div_ceil(parts.max(1)));
        }
    }
}

use proptest::{collection::vec, prelude::*};
use starling_model::{Seconds, Token, TokenRange};

use crate::compaction::{
    PurgePolicy, Repaired, Slices,
    slices::{MAX_SLICES, crowd, overlap},
};

fn range(start: i64, end: i64) -> TokenRange {
    TokenRange {
        start: Token(start),
        end: Token(end),
    }
}

fn any_range() -> impl Strategy<Value = TokenRange> {
    (any::<i64>(), any::<i64>())
        .prop_filter("not empty", |(a, b)| a != b)
        .prop_map(|(a, b)| range(a.min(b), a.max(b)))
}

proptest! {
    #[test]
    fn a_cut_covers_all_in_order_and_a_finer_one_keeps_its_boundaries(
        whole in any_range(),
        tokens in any_range(),
        power in 0_u32..8,
    ) {
        let slices = Slices::new(whole);
        let parts = slices.cut(tokens, 1 << power);
        prop_assert_eq!(parts[0].start, tokens.start);
        prop_assert_eq!(parts[parts.len() - 1].end, tokens.end);
        prop_assert!(parts.iter().all(|part| part.start < part.end));
        prop_assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
        let finer = slices.cut(tokens, 2 << power);
        for part in &parts {
            prop_assert!(finer.iter().any(|fine| fine.start == part.start));
        }
    }
}

#[test]
fn the_whole_is_cut_into_equal_parts() {
    let slices = Slices::new(range(0, 1_000));
    let cut = slices.cut(range(0, 1_000), 4);
    assert_eq!(
        cut,
        [range(0, 250), range(250, 500), range(500, 750), range(750, 1_000)]
    );
    assert_eq!(slices.cut(range(240, 260), 4), [range(240, 250), range(250, 260)]);
    assert_eq!(Slices::new(range(5, 5)).whole(), TokenRange::ALL);
}

#[test]
fn a_table_that_is_cut_stays_as_dense() {
    let slices = Slices::new(TokenRange::ALL);
    let half = range(i64::MIN, 0);
    let density = slices.density(1_000, half);
    assert!((1_999..=2_001).contains(&density), "{density}");
    assert_eq!(slices.density(u64::MAX, half), u64::MAX);
}

#[test]
fn the_number_of_slices_makes_tables_of_about_the_size_asked_for() {
    let count = |density| Slices::count(density, 100);
    assert_eq!([0, 99, 141, 142, 282, 300, 800].map(count), [1, 1, 1, 2, 2, 4, 8]);
    assert_eq!(count(u64::MAX), MAX_SLICES);
}

#[test]
fn a_crowd_is_over_one_token() {
    let of = |ranges: &[TokenRange]| crowd(ranges.iter().copied());
    assert_eq!(of(&[]), 0);
    assert_eq!(of(&[range(0, 10), range(10, 20), range(20, 30)]), 1);
    assert_eq!(
        of(&[
            range(0, 30),
            range(0, 10),
            range(10, 20),
            range(15, 16),
            range(20, 30)
        ]),
        3
    );
}

#[test]
fn what_is_repaired_in_part_is_not_repaired() {
    let up_to = Repaired::new([
        (range(0, 10), Seconds(50)),
        (range(10, 20), Seconds(40)),
        (range(30, 40), Seconds(90)),
    ]);
    let policy = PurgePolicy::Repaired { grace: 5, up_to };
    let before = |start, end| policy.before(Seconds(60), range(start, end));
    assert_eq!(before(0, 10), Some(Seconds(50)));
    assert_eq!(before(5, 15), Some(Seconds(40)));
    assert_eq!(before(5, 25), None);
    assert_eq!(before(-1, 5), None);
    assert_eq!(before(20, 30), None);
    assert_eq!(before(30, 35), Some(Seconds(55)), "the grace counts, too");
    assert_eq!(policy.before_at(Seconds(60), Token(10)), Some(Seconds(50)));
    assert_eq!(policy.before_at(Seconds(60), Token(11)), Some(Seconds(40)));
    assert_eq!(policy.before_at(Seconds(60), Token(0)), None);
}

proptest! {
    #[test]
    fn a_range_is_repaired_as_its_tokens_are(
        repaired in vec((0_i64..20, 1_i64..10, 0_u32..9), 0..6),
        start in 0_i64..20,
        length in 1_i64..10,
    ) {
        let repaired = repaired
            .into_iter()
            .map(|(start, length, second)| (range(start, start + length), Seconds(second)));
        let policy = PurgePolicy::Repaired { grace: 0, up_to: Repaired::new(repaired) };
        let now = Seconds(100);
        let tokens = range(start, start + length);
        let each: Option<Vec<Seconds>> = (start + 1..=start + length)
            .map(|token| policy.before_at(now, Token(token)))
            .collect();
        let earliest = each.and_then(|seconds| seconds.into_iter().min());
        prop_assert_eq!(policy.before(now, tokens), earliest);
        prop_assert!(overlap(tokens, tokens));
    }
}

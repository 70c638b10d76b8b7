//! The tree: leaves follow the rows, and changes make them stale, no fewer and not many more.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use starling_model::{Seconds, Token, TokenRange};
use starling_sstable::Cells;

use crate::anti_entropy::{
    digest::{Digest, View},
    tree::{Tree, divide},
};

const VIEW: View = View {
    now: Seconds(10),
    grace: 100,
};

const LEAF_ROWS: u64 = 256;

/// Rows at tokens, each with a hash.
type Data = BTreeMap<i64, u128>;

fn sum_of(data: &Data, range: TokenRange) -> Digest {
    let mut digest = Digest::default();
    for (_, hash) in data.iter().filter(|(token, _)| range.contains(Token(**token))) {
        digest.sum = digest.sum.wrapping_add(*hash);
        digest.rows += 1;
    }
    digest
}

fn cells_of(data: &Data, range: TokenRange) -> Vec<(u32, Digest)> {
    let mut cells: BTreeMap<u32, Digest> = BTreeMap::new();
    for (token, hash) in data.iter().filter(|(token, _)| range.contains(Token(**token))) {
        let digest = cells.entry(Cells::of(Token(*token))).or_default();
        digest.sum = digest.sum.wrapping_add(*hash);
        digest.rows += 1;
    }
    cells.into_iter().collect()
}

/// Hashes what is stale; how many leaves those were.
fn refresh(tree: &mut Tree, data: &Data, at: Duration) -> usize {
    refresh_as(tree, data, VIEW, at)
}

fn refresh_as(tree: &mut Tree, data: &Data, view: View, at: Duration) -> usize {
    let touched = tree.touched(TokenRange::ALL, view, at);
    let stale: Vec<TokenRange> = touched
        .filter(|leaf| leaf.digest.is_none())
        .map(|leaf| leaf.tokens)
        .collect();
    for leaf in &stale {
        tree.put(*leaf, &cells_of(data, *leaf), view.grace, at);
    }
    stale.len()
}

fn total(tree: &Tree, since: Duration) -> Option<Digest> {
    total_as(tree, VIEW, since)
}

fn total_as(tree: &Tree, view: View, since: Duration) -> Option<Digest> {
    let mut sum = Digest::default();
    let mut end = Token::MIN;
    for leaf in tree.touched(TokenRange::ALL, view, since) {
        assert_eq!(leaf.tokens.start, end, "no gap, no overlap");
        end = leaf.tokens.end;
        sum.add(&leaf.digest?);
    }
    assert_eq!(end, Token::MAX);
    Some(sum)
}

fn spread(count: u64) -> Data {
    (0..count)
        .map(|n| {
            (
                n.wrapping_mul(0x9E37_79B9_7F4A_7C15) as i64,
                u128::from(n) << 7 | 1,
            )
        })
        .collect()
}

#[test]
fn leaves_follow_the_rows() {
    let mut tree = Tree::new(LEAF_ROWS);
    let data = spread(100_000);
    assert_eq!(
        refresh(&mut tree, &data, Duration::ZERO),
        1,
        "one leaf in the beginning"
    );
    assert_eq!(total(&tree, Duration::ZERO), Some(sum_of(&data, TokenRange::ALL)));
    let rows_of_a_leaf = 100_000 / tree.leaves() as u64;
    assert!(
        (LEAF_ROWS / 4..=LEAF_ROWS).contains(&rows_of_a_leaf),
        "{rows_of_a_leaf} rows a leaf"
    );
    assert_eq!(refresh(&mut tree, &data, Duration::ZERO), 0, "nothing changed");
}

#[test]
fn a_crowded_cell_is_one_leaf() {
    let mut tree = Tree::new(LEAF_ROWS);
    let data: Data = (0..10_000_i64)
        .map(|n| (n, u128::from(n.unsigned_abs())))
        .collect();
    refresh(&mut tree, &data, Duration::ZERO);
    assert!(tree.leaves() < 40, "{} leaves", tree.leaves());
    assert_eq!(total(&tree, Duration::ZERO), Some(sum_of(&data, TokenRange::ALL)));
}

#[test]
fn a_changed_leaf_will_do_for_a_session_that_began_before_it_was_hashed() {
    let mut tree = Tree::new(LEAF_ROWS);
    let second = Duration::from_secs(1);
    refresh(&mut tree, &spread(10), second * 5);
    tree.mark(&Cells::ALL);
    assert!(total(&tree, second * 4).is_some());
    assert!(total(&tree, second * 6).is_none());
}

#[test]
fn what_was_written_is_stale_whatever_gc_grace_seconds_the_asker_knows() {
    let second = Duration::from_secs(1);
    let other = View { grace: 7, ..VIEW };
    let mut tree = Tree::new(LEAF_ROWS);
    let mut data = spread(1_000);
    refresh(&mut tree, &data, second);
    assert!(
        total_as(&tree, other, second).is_none(),
        "hashed with another one"
    );
    // A write is told while somebody asks with the new one; who asks with the old one must see it too.
    data.insert(5, 99);
    tree.mark(&Cells::ALL);
    refresh_as(&mut tree, &data, other, second * 2);
    assert_eq!(
        total_as(&tree, other, second * 2),
        Some(sum_of(&data, TokenRange::ALL))
    );
    assert!(total(&tree, second * 2).is_none());
    refresh(&mut tree, &data, second * 3);
    assert_eq!(total(&tree, second * 3), Some(sum_of(&data, TokenRange::ALL)));
}

#[test]
fn a_large_leaf_that_was_never_hashed_is_cut_down_to_a_cell() {
    let mut tree = Tree::new(LEAF_ROWS);
    assert!(tree.halve(TokenRange::ALL));
    let data = spread(100_000);
    refresh(&mut tree, &data, Duration::ZERO);
    assert_eq!(total(&tree, Duration::ZERO), Some(sum_of(&data, TokenRange::ALL)));
    let mut whole = Tree::new(LEAF_ROWS);
    refresh(&mut whole, &data, Duration::ZERO);
    assert_eq!(tree.leaves(), whole.leaves(), "the same leaves");
    let hashed = tree.touched(TokenRange::ALL, VIEW, Duration::ZERO).next();
    assert!(
        !tree.halve(hashed.expect("it has leaves").tokens),
        "it was hashed"
    );

    let mut tree = Tree::new(LEAF_ROWS);
    let mut halved = 0;
    loop {
        let first = tree.touched(TokenRange::ALL, VIEW, Duration::ZERO).next();
        if !tree.halve(first.expect("it has leaves").tokens) {
            break;
        }
        halved += 1;
    }
    assert_eq!(halved, 16, "a cell is 2^-16 of all");
    assert!(total(&tree, Duration::ZERO).is_none());
}

proptest! {
    /// Whatever is written, marked and hashed anew: the tree's sums are those of the data, and little is stale.
    #[test]
    fn the_tree_keeps_up(
        changes in proptest::collection::vec(proptest::collection::vec((any::<i64>(), 1_u64..), 1..5), 1..8),
        rows in 0_u64..3_000,
    ) {
        let mut data = spread(rows);
        let mut tree = Tree::new(LEAF_ROWS);
        let mut at = Duration::ZERO;
        refresh(&mut tree, &data, at);
        for round in changes {
            let mut cells = Cells::default();
            for (token, hash) in &round {
                let token = (*token).max(i64::MIN + 1);
                data.insert(token, u128::from(*hash));
                cells.add(Token(token));
            }
            at += Duration::from_secs(1);
            tree.mark(&cells);
            let stale = refresh(&mut tree, &data, at);
            prop_assert!(stale <= round.len());
            prop_assert_eq!(total(&tree, at), Some(sum_of(&data, TokenRange::ALL)));
        }
    }

    /// Parts touch and are the whole, and there is progress down to one cell.
    #[test]
    fn divided_ranges_are_whole(a in any::<i64>(), b in any::<i64>()) {
        prop_assume!(a != b);
        let range = TokenRange { start: Token(a.min(b)), end: Token(a.max(b)) };
        let parts = divide(range);
        prop_assert!(parts.len() <= 18);
        prop_assert_eq!(parts.first().map(|part| part.start), Some(range.start));
        prop_assert_eq!(parts.last().map(|part| part.end), Some(range.end));
        for pair in parts.windows(2) {
            prop_assert_eq!(pair[0].end, pair[1].start);
        }
        prop_assert!(parts.iter().all(|part| part.start < part.end));
        let in_one_cell = Cells::after(range.start) == Cells::of(range.end);
        prop_assert_eq!(parts.len() == 1, in_one_cell);
    }
}

//! Merges that make fewer tables overlap, and so come to an end.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};
use starling_model::{Seconds, Timestamp, Token, TokenRange};

use super::choices::{WHOLE, sizes, table};
use crate::compaction::{
    Candidate, Pick,
    candidate::MAX_INPUTS,
    rows::APART_BYTES,
    slices::overlap,
    space::{self, Room},
    unified::{self, Sizes},
    window,
};

const MIB: u64 = 1 << 20;

/// When the windows of all tables of these tests are over.
const LATER: Seconds = Seconds(1_000);

fn made_for(number: u64, bytes: u64, (start, end): (i64, i64), largest_row: u64) -> Candidate {
    let (start, end) = (Token(start), Token(end));
    Candidate {
        tokens: TokenRange { start, end },
        timestamps: (Timestamp(0), Timestamp(5_000_000)),
        largest_row,
        ..table(number, bytes)
    }
}

fn past(tables: &[Candidate], sizes: Sizes) -> Option<Pick> {
    window::picks(tables, sizes, 10, LATER).into_iter().next()
}

fn width(range: TokenRange) -> u64 {
    range.end.0.abs_diff(range.start.0)
}

fn inputs(tables: &[Candidate], pick: &Pick) -> Vec<Candidate> {
    let of_it = |table: &&Candidate| pick.files.contains(&table.number);
    tables.iter().filter(of_it).copied().collect()
}

/// Carries a pick out: its parts have their share of the bytes, and the largest row of the inputs.
fn merge(tables: &mut Vec<Candidate>, pick: &Pick, next: &mut u64) {
    let merged = inputs(tables, pick);
    let row = merged.iter().map(|table| table.largest_row).max().unwrap();
    tables.retain(|table| !pick.files.contains(&table.number));
    let all: u64 = pick.parts.iter().map(|part| width(*part)).sum();
    for part in &pick.parts {
        *next += 1;
        let bytes = pick.bytes * width(*part) / all;
        tables.push(made_for(*next, bytes, (part.start.0, part.end.0), row));
    }
}

fn any_overlap(tables: &[Candidate]) -> bool {
    let others = |at: usize| &tables[at + 1..];
    let mut all = tables.iter().enumerate();
    all.any(|(at, one)| others(at).iter().any(|other| overlap(one.tokens, other.tokens)))
}

/// Two tables side by side, and one across both with a row that is too large for all three.
#[test]
fn tables_side_by_side_are_not_merged_for_one_that_must_stay_out() {
    let sizes = sizes(10, 100);
    let mut tables = vec![
        made_for(1, 100, (0, 512), 60 * MIB),
        made_for(2, 100, (512, 1_024), 60 * MIB),
        made_for(3, 100, (0, 1_024), 64 * MIB),
    ];
    assert_eq!(
        unified::merge_of(tables.clone(), sizes).unwrap().files,
        [1, 2],
        "these fit into a merge, which would make the same tables again"
    );
    let (mut next, mut files) = (100, Vec::new());
    while let Some(pick) = past(&tables, sizes) {
        assert!(files.len() < 10, "it comes to an end: {files:?}");
        files.push(pick.files.clone());
        merge(&mut tables, &pick, &mut next);
    }
    assert_eq!(files[0], [1, 3], "each of them may be merged with the one across");
    assert!(!any_overlap(&tables), "{tables:?}");
}

#[test]
fn what_fits_on_the_disk_and_lies_side_by_side_is_left() {
    let sizes = sizes(10, 100);
    let tables = [
        made_for(1, 100, (0, 512), 0),
        made_for(2, 100, (512, 1_024), 0),
        made_for(3, 500, (0, 1_024), 0),
    ];
    let whole = unified::merge_of(tables.to_vec(), sizes).unwrap();
    let fit = |free| {
        let room = Room {
            free,
            reserve: 0,
            promised: 0,
        };
        space::fitting(vec![whole.clone()], &tables, sizes, room).map(|pick| pick.files)
    };
    assert_eq!(fit(700), Some(vec![1, 2, 3]));
    assert_eq!(fit(699), None, "the two small ones would be the same again");
}

/// Tables of tokens on a grid, all equally dense, and so all of one window's merge.
fn equally_dense() -> impl Strategy<Value = Vec<Candidate>> {
    let tokens = (0..8_i64, 1..=8_i64).prop_map(|(start, wide)| (start * 128, (start + wide).min(8) * 128));
    let row = prop_oneof![2 => Just(0), 3 => MIB..=APART_BYTES];
    vec((tokens, row), 1..48).prop_map(|all| {
        let made = |(number, (tokens, row)): (u64, ((i64, i64), u64))| {
            made_for(number, tokens.1.abs_diff(tokens.0), tokens, row)
        };
        (1..).zip(all).map(made).collect()
    })
}

/// More tables than one merge takes, narrow and wide ones on a fine grid.
fn many() -> impl Strategy<Value = Vec<Candidate>> {
    let wide = prop_oneof![6 => Just(1_i64), 2 => 2..4_i64, 1 => 30..=64_i64];
    let tokens = (0..64_i64, wide).prop_map(|(start, wide)| (start * 16, (start + wide).min(64) * 16));
    let row = prop_oneof![8 => Just(0), 1 => MIB..=APART_BYTES];
    vec((tokens, 1..200_u64, row, any::<bool>()), 30..120).prop_map(|all| {
        let made = |(number, (tokens, bytes, row, droppable))| Candidate {
            droppable,
            ..made_for(number, bytes, tokens, row)
        };
        (1..).zip(all).map(made).collect()
    })
}

proptest! {
    /// The compaction of everything, as an engine goes about it: what a merge made is taken on where it overlaps the rest.
    #[test]
    fn everything_comes_to_an_end_and_overlaps_nowhere(
        mut tables in many(),
        table_bytes in 50_u64..2_000,
        order in vec(any::<prop::sample::Index>(), 1..8),
    ) {
        let sizes = sizes(10, table_bytes);
        let mut next = 1_000;
        let mut wanted: BTreeSet<u64> = tables.iter().map(|table| table.number).collect();
        for turn in 0.. {
            let of_it: Vec<Candidate> = tables.iter().filter(|table| wanted.contains(&table.number)).copied().collect();
            let picks = unified::everything(&of_it, sizes);
            if picks.is_empty() {
                break;
            }
            let pick = &picks[order[turn % order.len()].index(picks.len())];
            let merged = inputs(&tables, pick);
            let covered: u64 = merged.iter().map(|table| width(table.tokens)).sum();
            let makes: u64 = pick.parts.iter().map(|part| width(*part)).sum();
            prop_assert!(pick.files.len() <= MAX_INPUTS);
            prop_assert!(makes < covered || (pick.files.len() == 1 && merged[0].droppable), "{:?}", pick);
            wanted.retain(|file| !pick.files.contains(file));
            let first = next + 1;
            merge(&mut tables, pick, &mut next);
            let (made, others): (Vec<&Candidate>, Vec<&Candidate>) = tables.iter().partition(|table| table.number >= first);
            let rest: Vec<_> = others.iter().filter(|table| wanted.contains(&table.number)).collect();
            let overlaps = |one: &&&Candidate| rest.iter().any(|other| overlap(one.tokens, other.tokens));
            wanted.extend(made.iter().filter(overlaps).map(|table| table.number));
        }
        prop_assert!(!any_overlap(&tables), "{:?}", tables);
    }

    /// There is a merge as long as two tables overlap, each covers its tokens less often than they were, and so it ends.
    #[test]
    fn a_window_that_is_over_comes_to_an_end(mut tables in equally_dense(), table_bytes in 50_u64..2_000) {
        let sizes = sizes(10, table_bytes);
        let mut next = 100;
        prop_assert_eq!(past(&tables, sizes).is_some(), any_overlap(&tables));
        while let Some(pick) = past(&tables, sizes) {
            let covered: u64 = inputs(&tables, &pick).iter().map(|table| width(table.tokens)).sum();
            let makes: u64 = pick.parts.iter().map(|part| width(*part)).sum();
            prop_assert!(makes < covered, "{:?}", pick);
            prop_assert!(pick.parts.iter().all(|part| WHOLE.start <= part.start && part.end <= WHOLE.end));
            merge(&mut tables, &pick, &mut next);
        }
    }
}

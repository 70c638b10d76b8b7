//! Picks as transcripts.

use std::fmt::Write;

use starling_model::{Seconds, Timestamp, Token, TokenRange};

use crate::compaction::{
    Candidate, Pick, Scaling, Slices,
    candidate::MAX_INPUTS,
    expired,
    space::{self, Room},
    unified::{self, Sizes},
    window,
};

pub(super) const WHOLE: TokenRange = TokenRange {
    start: Token(0),
    end: Token(1_024),
};

pub(super) fn table(number: u64, bytes: u64) -> Candidate {
    Candidate {
        number,
        bytes,
        tokens: WHOLE,
        timestamps: (Timestamp(0), Timestamp(0)),
        dead_after: None,
        droppable: false,
        things: 100,
        due: 0,
        largest_row: 0,
    }
}

fn tokens(start: i64, end: i64) -> TokenRange {
    TokenRange {
        start: Token(start),
        end: Token(end),
    }
}

pub(super) fn sizes(flush_bytes: u64, table_bytes: u64) -> Sizes {
    Sizes {
        slices: Slices::new(WHOLE),
        flush_bytes,
        table_bytes,
    }
}

/// Merges what is due, as if nothing were overwritten; writes down each step.
fn settle(tables: &mut Vec<Candidate>, next: &mut u64, due: impl Fn(&[Candidate]) -> Vec<Pick>) -> String {
    let mut out = String::new();
    while let Some(pick) = due(tables).into_iter().next() {
        let newest = tables
            .iter()
            .filter(|table| pick.files.contains(&table.number))
            .map(|table| table.timestamps.1)
            .max()
            .unwrap();
        tables.retain(|table| !pick.files.contains(&table.number));
        let _ = write!(out, "{:?} ->", pick.files);
        let width = |part: &TokenRange| (part.end.0 - part.start.0) as u64;
        let all: u64 = pick.parts.iter().map(width).sum();
        for part in &pick.parts {
            let bytes = pick.bytes * width(part) / all;
            let _ = write!(out, " {next}:{bytes}");
            tables.push(Candidate {
                tokens: *part,
                timestamps: (Timestamp(0), newest),
                ..table(*next, bytes)
            });
            *next += 1;
        }
        out.push('\n');
    }
    out
}

fn load(flushes: u64, sizes: Sizes, scaling: &str) -> String {
    let scaling: Scaling = scaling.parse().unwrap();
    let mut tables = Vec::new();
    let mut next = 100;
    let mut out = String::new();
    for number in 1..=flushes {
        tables.push(table(number, sizes.flush_bytes));
        out += &settle(&mut tables, &mut next, |tables| {
            unified::picks(tables, sizes, scaling)
        });
    }
    out
}

#[test]
fn tiers_fill_and_cascade() {
    let expected = "\
[1, 2, 3] -> 100:300
[4, 5, 6] -> 101:300
[7, 8, 9] -> 102:300
[100, 101, 102] -> 103:900
";
    assert_eq!(load(9, sizes(100, 10_000), "T3"), expected);
}

#[test]
fn a_leveled_table_takes_in_what_comes() {
    let expected = "\
[1, 2] -> 100:200
[3, 100] -> 101:300
[4, 101] -> 102:400
[5, 6] -> 103:200
[7, 103] -> 104:300
[8, 104] -> 105:400
[102, 105] -> 106:800
";
    assert_eq!(load(8, sizes(100, 10_000), "L10"), expected);
}

#[test]
fn results_are_cut_and_their_slices_merge_apart() {
    let expected = "\
[1, 2, 3, 4] -> 100:200 101:200
[5, 6, 7, 8] -> 102:200 103:200
[9, 10, 11, 12] -> 104:200 105:200
[13, 14, 15, 16] -> 106:200 107:200
[100, 102, 104, 106] -> 108:200 109:200 110:200 111:200
[101, 103, 105, 107] -> 112:200 113:200 114:200 115:200
";
    assert_eq!(load(16, sizes(100, 200), "T4"), expected);
}

#[test]
fn small_flushes_are_merged_among_themselves() {
    let flush = 64 << 20;
    let sizes = sizes(flush, 1 << 40);
    let small = flush / 16;
    let tables = [table(1, flush), table(2, small), table(3, small), table(4, small)];
    assert_eq!(unified::picks(&tables, sizes, Scaling::default()), []);
    let tables = [&tables[..], &[table(5, small)]].concat();
    let picks = unified::picks(&tables, sizes, Scaling::default());
    assert_eq!(picks[0].files, [2, 3, 4, 5]);
}

#[test]
fn the_most_crowded_level_goes_first_and_takes_all_it_may() {
    let mut tables: Vec<Candidate> = (1..=4).map(|number| table(number, 400)).collect();
    tables.extend((10..60).map(|number| table(number, 100)));
    let picks = unified::picks(&tables, sizes(100, 10_000), Scaling::default());
    let files: Vec<Vec<u64>> = picks.into_iter().map(|pick| pick.files).collect();
    assert_eq!(
        files,
        [(10..10 + MAX_INPUTS as u64).collect::<Vec<_>>(), vec![1, 2, 3, 4]]
    );
}

#[test]
fn tables_side_by_side_are_left_alone() {
    let quarter = |number, at: i64| Candidate {
        tokens: tokens(256 * at, 256 * (at + 1)),
        ..table(number, 25)
    };
    let tables: Vec<Candidate> = (0..4).map(|at| quarter(at as u64, at)).collect();
    assert_eq!(unified::picks(&tables, sizes(100, 50), Scaling::all(0)), []);
    let more = [tables, vec![quarter(9, 2)]].concat();
    let picks = unified::picks(&more, sizes(100, 50), Scaling::all(0));
    assert_eq!(picks[0].files, [2, 9]);
    assert_eq!(picks[0].parts, [tokens(512, 768)]);
}

#[test]
fn everything_is_merged_by_groups_that_hang_together() {
    let part = |number, start, end| Candidate {
        tokens: tokens(start, end),
        ..table(number, 10)
    };
    let dead = Candidate {
        droppable: true,
        ..part(6, 900, 1_000)
    };
    let tables = [
        part(1, 0, 100),
        part(2, 100, 300),
        part(3, 200, 400),
        part(4, 250, 260),
        part(5, 500, 600),
        dead,
    ];
    let picks = unified::everything(&tables, sizes(100, 1_000));
    let files: Vec<_> = picks.iter().map(|pick| pick.files.clone()).collect();
    assert_eq!(files, [vec![2, 3, 4], vec![6]]);
    assert_eq!(picks[0].parts, [tokens(100, 400)]);
}

/// A wide table over forty side by side, and over nothing: all hang together, and are more than one merge takes.
#[test]
fn a_group_of_too_many_is_merged_where_it_overlaps_and_not_side_by_side() {
    let slice = |number: u64| Candidate {
        tokens: tokens(16 * (number as i64 - 1), 16 * number as i64),
        ..table(number, 100)
    };
    let mut wanted: Vec<Candidate> = (1..=40).map(slice).collect();
    wanted.push(table(41, 64));
    let sizes = sizes(64, 100);
    // The bytes of a table that lie in some tokens.
    let share = |table: &Candidate, part: TokenRange| {
        let start = table.tokens.start.max(part.start);
        let wide = |from: Token, to: Token| (to.0 - from.0).max(0) as u64;
        table.bytes * wide(start, table.tokens.end.min(part.end)) / wide(table.tokens.start, table.tokens.end)
    };
    let (mut next, mut read, mut merges) = (100, 0, Vec::new());
    while let Some(pick) = unified::everything(&wanted, sizes).into_iter().next() {
        assert!(pick.files.len() <= MAX_INPUTS && merges.len() < 100);
        read += pick.bytes;
        let of_it = |candidate: &Candidate| pick.files.contains(&candidate.number);
        let (merged, left): (Vec<_>, Vec<_>) = wanted.into_iter().partition(of_it);
        wanted = left;
        for part in &pick.parts {
            let bytes = merged.iter().map(|input| share(input, *part)).sum();
            wanted.push(Candidate {
                tokens: *part,
                ..table(next, bytes)
            });
            next += 1;
        }
        merges.push(pick.files);
    }
    assert_eq!(merges[0], (1..=31).chain([41]).collect::<Vec<_>>());
    assert!(read < 2 * 4_064, "{read} bytes are read for 4,064: {merges:?}");
}

#[test]
fn windows_become_one_table_each_and_stay() {
    let at = |number, bytes, second: i64| Candidate {
        timestamps: (Timestamp(0), Timestamp(second * 1_000_000)),
        ..table(number, bytes)
    };
    let mut tables = vec![
        at(1, 100, 5),
        at(2, 100, 9),
        at(3, 300, 3),
        at(4, 100, 12),
        at(5, 100, 13),
    ];
    let mut next = 100;
    let due = |now| move |tables: &[Candidate]| window::picks(tables, sizes(100, 10_000), 10, Seconds(now));
    assert_eq!(settle(&mut tables, &mut next, due(15)), "[1, 2, 3] -> 100:500\n");
    tables.push(at(6, 10, 4));
    assert_eq!(
        settle(&mut tables, &mut next, due(15)),
        "",
        "a late one does not make all be written again"
    );
    assert_eq!(settle(&mut tables, &mut next, due(25)), "[4, 5] -> 101:200\n");
    tables.extend([at(7, 10, 4), at(8, 10, 4), at(9, 10, 4)]);
    assert_eq!(
        settle(&mut tables, &mut next, due(25)),
        "[6, 7, 8, 9] -> 102:40\n"
    );
    tables.push(at(10, 200, 4));
    assert_eq!(
        settle(&mut tables, &mut next, due(25)),
        "",
        "40 is much less than 200"
    );
    tables.push(at(11, 70, 4));
    assert_eq!(
        settle(&mut tables, &mut next, due(25)),
        "[10, 11, 100, 102] -> 103:810\n"
    );
}

#[test]
fn expired_tables_go_unless_they_hide_something_older() {
    let dead = |number, second, newest: i64| Candidate {
        dead_after: Some(Seconds(second)),
        timestamps: (Timestamp(newest - 5), Timestamp(newest)),
        ..table(number, 10)
    };
    let living = |number, oldest: i64| Candidate {
        timestamps: (Timestamp(oldest), Timestamp(oldest + 50)),
        ..table(number, 10)
    };
    let pick = |idle: &[Candidate], others: &[Candidate], memory: Option<i64>| {
        expired::pick(idle, others, memory.map(Timestamp), |_| Some(Seconds(100)))
    };
    assert_eq!(
        pick(&[dead(1, 99, 20), dead(2, 50, 30), dead(3, 100, 60)], &[], None),
        [1, 2],
        "3 is not dead yet"
    );
    assert_eq!(
        pick(&[dead(1, 9, 20), dead(2, 9, 40), living(3, 30)], &[], None),
        [1]
    );
    assert_eq!(pick(&[dead(1, 9, 20)], &[living(3, 20)], None), []);
    assert_eq!(pick(&[dead(1, 9, 20)], &[], Some(20)), []);
    assert_eq!(pick(&[dead(1, 9, 20)], &[], Some(21)), [1]);
    // The second can't go, and so the first, which it may be hiding under, can't either.
    assert_eq!(
        pick(&[dead(1, 9, 38), dead(2, 9, 40), living(3, 40)], &[], None),
        []
    );
    assert_eq!(expired::pick(&[dead(1, 9, 20)], &[], None, |_| None), []);
}

#[test]
fn a_merge_that_does_not_fit_is_made_smaller_or_waits() {
    let tables = [table(1, 50), table(2, 10), table(3, 20), table(4, 60)];
    let sizes = sizes(10, 1_000);
    let whole = unified::merge_of(tables.to_vec(), sizes).unwrap();
    let small = unified::merge_of(vec![table(9, 15), table(8, 15)], sizes).unwrap();
    let fit = |left: u64, picks: &[&Pick]| {
        let room = Room {
            free: left + 100,
            reserve: 70,
            promised: 30,
        };
        let picks = picks.iter().map(|pick| (*pick).clone()).collect();
        space::fitting(picks, &tables, sizes, room).map(|pick| pick.files)
    };
    assert_eq!(fit(140, &[&whole]), Some(vec![1, 2, 3, 4]));
    assert_eq!(fit(139, &[&whole]), Some(vec![1, 2, 3]));
    assert_eq!(
        fit(139, &[&whole, &small]),
        Some(vec![8, 9]),
        "one that fits goes first"
    );
    assert_eq!(fit(30, &[&whole]), Some(vec![2, 3]));
    assert_eq!(fit(29, &[&whole]), None);
}

//! Which tables are merged for what they may forget.

use starling_model::{Seconds, Timestamp};

use super::choices::{sizes, table};
use crate::compaction::{Candidate, tombstones};

/// A table with timestamps of so many from a first one on, of whose hundred things some are due.
fn aged(number: u64, oldest: i64, newest: i64, due: u64) -> Candidate {
    Candidate {
        timestamps: (Timestamp(oldest), Timestamp(newest)),
        due,
        ..table(number, 10)
    }
}

fn picks(idle: &[Candidate], others: &[Candidate], memory: Option<i64>, alone: bool) -> Vec<Vec<u64>> {
    let memory = memory.map(Timestamp);
    let picks = tombstones::picks(idle, |_| true, others, memory, alone, sizes(10, 1_000));
    picks.into_iter().map(|pick| pick.files).collect()
}

#[test]
fn a_table_of_which_a_fifth_is_due_is_merged() {
    assert_eq!(picks(&[aged(1, 0, 9, 19)], &[], None, false), [[0; 0]; 0]);
    assert_eq!(picks(&[aged(1, 0, 9, 20)], &[], None, false), [[1]]);
    let unwanted = tombstones::picks(
        &[aged(1, 0, 9, 20)],
        |file| file != 1,
        &[],
        None,
        false,
        sizes(10, 1_000),
    );
    assert_eq!(unwanted, []);
}

#[test]
fn what_it_hides_is_merged_with_it_if_that_is_worth_it_too() {
    let tombstones = aged(2, 10, 19, 90);
    assert_eq!(
        picks(&[aged(1, 0, 9, 10), tombstones], &[], None, false),
        [[1, 2]]
    );
    let large = Candidate {
        things: 1_000,
        ..aged(1, 0, 9, 0)
    };
    assert_eq!(picks(&[large, tombstones], &[], None, false), [[0; 0]; 0]);
    // What is newer is left alone.
    assert_eq!(picks(&[aged(3, 20, 29, 0), tombstones], &[], None, false), [[2]]);
    // The one with the most to forget goes first.
    assert_eq!(
        picks(
            &[aged(3, 20, 29, 0), aged(1, 0, 9, 50), tombstones],
            &[],
            None,
            false
        ),
        [vec![1, 2], vec![1]]
    );
}

#[test]
fn what_could_not_be_forgotten_is_not_tried() {
    let tombstones = aged(2, 10, 19, 90);
    for (others, memory) in [(vec![aged(1, 0, 9, 0)], None), (vec![], Some(10))] {
        assert_eq!(picks(&[tombstones], &others, memory, false), [[0; 0]; 0]);
    }
    // A part of it could be.
    assert_eq!(
        picks(&[tombstones], &[aged(1, 11, 12, 0)], Some(15), false),
        [[2]]
    );
}

#[test]
fn windows_stay_apart_and_wait_until_they_go_as_a_whole() {
    let tombstones = aged(2, 10, 19, 90);
    assert_eq!(picks(&[tombstones], &[], None, true), [[2]]);
    assert_eq!(
        picks(&[aged(1, 0, 9, 0), tombstones], &[], None, true),
        [[0; 0]; 0]
    );
    let mortal = Candidate {
        dead_after: Some(Seconds(99)),
        ..tombstones
    };
    assert_eq!(picks(&[mortal], &[], None, true), [[0; 0]; 0]);
    assert_eq!(picks(&[mortal], &[], None, false), [[2]]);
}

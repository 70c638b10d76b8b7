//! Which tables are merged whose rows are very large.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};
use starling_model::{Mutation, Seconds};

use super::{
    choices::{sizes, table},
    merge_of,
};
use crate::{
    Error,
    compaction::{
        Candidate, Scaling, Strategy,
        rows::{self, APART_BYTES, MERGED_BYTES},
        unified,
        worker::Input,
    },
    fixtures::{insert, key},
    log::Lsn,
    memtable::{Memtable, Write},
    table::writer::MAX_ROW_BYTES,
};

const MIB: u64 = 1 << 20;

fn with_row(number: u64, largest_row: u64) -> Candidate {
    Candidate {
        largest_row,
        ..table(number, 10)
    }
}

fn everything(tables: &[Candidate]) -> Vec<Vec<u64>> {
    let picks = unified::everything(tables, sizes(10, 1 << 40));
    picks.into_iter().map(|pick| pick.files).collect()
}

#[test]
fn what_cannot_be_merged_stays_where_it_is() {
    // A row in three tables, of which the last two are merged, and others beside.
    let tables = [
        with_row(1, 400 * MIB),
        with_row(2, 60 * MIB),
        with_row(3, 60 * MIB),
        with_row(4, 0),
    ];
    assert_eq!(everything(&tables), [[2, 3, 4]]);
    // What they make stays apart from the first one.
    let tables = [with_row(1, 400 * MIB), with_row(5, 120 * MIB)];
    assert_eq!(everything(&tables), [[0; 0]; 0]);
}

#[test]
fn a_table_with_a_large_row_is_merged_with_those_that_may_delete_it() {
    assert_eq!(everything(&[with_row(1, 400 * MIB), with_row(2, 0)]), [[1, 2]]);
}

/// What is overwritten is in few tables, what is added until no entry holds it with the rest, and then nothing is merged any
/// more: two states of a row make one that is as large as the larger one, or as both.
#[test]
fn tables_that_are_apart_are_merged_two_at_a_time_to_an_end() {
    let all = Strategy::default();
    let windows = Strategy::TimeWindow { seconds: 10 };
    for (strategy, adds, left) in [(all, false, 1), (all, true, 3), (windows, false, 1)] {
        let mut tables = vec![with_row(100, 0), with_row(101, 60 * MIB)];
        for number in 0..20 {
            tables.push(with_row(number, 70 * MIB));
            let mut next = 200 + u64::from(number as u32) * 100;
            while let Some(pick) = rows::picks(&tables, sizes(10, 1 << 40), strategy, Seconds(0)).pop() {
                assert_eq!(pick.files.len(), 2);
                let merged = |table: &Candidate| pick.files.contains(&table.number);
                let states = tables
                    .iter()
                    .filter(|table| merged(table))
                    .map(|table| table.largest_row);
                let row = if adds { states.sum() } else { states.max().unwrap() };
                assert!(rows::is_apart(row) && row <= MAX_ROW_BYTES as u64);
                tables.retain(|table| !merged(table));
                tables.push(with_row(next, row));
                next += 1;
            }
        }
        let apart = tables.iter().filter(|table| rows::is_apart(table.largest_row));
        assert_eq!((tables.len(), apart.count()), (left + 2, left));
    }
}

#[test]
fn a_table_is_never_kept_from_being_written_anew_alone() {
    let mut alone = with_row(1, 511 * MIB + MIB / 2);
    alone.droppable = true;
    assert_eq!(everything(&[alone]), [[1]]);
}

#[test]
fn of_many_inputs_as_many_are_taken_as_fit() {
    assert_eq!(rows::fitting(&[]), 0);
    assert_eq!(rows::fitting(&[600 * MIB]), 1);
    assert_eq!(rows::fitting(&[0, 0, 0]), 3);
    assert_eq!(rows::fitting(&[100 * MIB, 20 * MIB, 9 * MIB]), 2);
    assert_eq!(rows::fitting(&[100 * MIB, 200 * MIB, 9 * MIB]), 2);
    assert_eq!(rows::fitting(&[300 * MIB, 300 * MIB]), 1);
}

/// States that are more than an entry holds together are not even merged. It is no use to wait for that: nobody chooses
/// such a merge, but for files that do not tell.
#[test]
fn a_merge_that_meets_too_large_a_row_is_given_up_before_it_takes_memory() {
    let value = vec![7; 15 * MIB as usize];
    let mut memtable = Memtable::default();
    for column in 0..4 {
        let mut write: Mutation = insert(key(1), b"c", 1, &value);
        for row in write.partition.rows.values_mut() {
            row.cells[0].column.0 = column;
        }
        let bytes = write.encode();
        let write = Write::check(&bytes).unwrap();
        memtable.apply(Lsn(u64::from(column) + 1), &write).unwrap();
    }
    assert!(memtable.largest_row() >= 60 * MIB);
    let mut worker = merge_of(vec![Input::Memory(Arc::new(memtable)); 9]);
    let error = worker.step().unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert!(!worker.has_file());
}

fn largest() -> impl proptest::strategy::Strategy<Value = u64> {
    prop_oneof![3 => Just(0), 2 => MIB..APART_BYTES, 1 => APART_BYTES..MAX_ROW_BYTES as u64]
}

proptest! {
    /// However large the states of one row are in all inputs, the merge that is chosen has room for it.
    #[test]
    fn no_merge_makes_a_row_that_no_entry_holds(largest in vec(largest(), 1..40)) {
        let tables: Vec<Candidate> = (0..).zip(&largest).map(|(number, row)| with_row(number, *row)).collect();
        for pick in unified::everything(&tables, sizes(10, 1 << 40)) {
            let states = pick.files.iter().map(|file| match largest[*file as usize] {
                0 => MIB - 1,
                row => row,
            });
            prop_assert!(states.sum::<u64>() <= MAX_ROW_BYTES as u64);
        }
    }

    /// Where the strategy wants a merge of tables that are not apart, there is one.
    #[test]
    fn the_strategy_gets_on(largest in vec(prop_oneof![Just(0), MIB..=APART_BYTES], 4..12)) {
        let tables: Vec<Candidate> = (0..).zip(&largest).map(|(number, row)| with_row(number, *row)).collect();
        let picks = unified::picks(&tables, sizes(10, 1 << 40), Scaling::default());
        prop_assert_eq!(picks.len(), 1);
        let together: u64 = picks[0].files.iter().map(|file| largest[*file as usize]).sum();
        prop_assert!(picks[0].files.len() >= 2 && together <= MERGED_BYTES);
    }
}

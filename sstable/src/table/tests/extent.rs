//! How many bytes are said to belong to which tokens.

use std::sync::Arc;

use starling_model::{Token, TokenRange, TokenSet};

use super::{Head, clustering, options, partition_key, simple_row, table};
use crate::table::Table;

const PARTITIONS: i64 = 20_000;
const APART: i64 = 1_000;

/// Small partitions at equal distances, in several stripes.
fn filled() -> Arc<Table> {
    let (_, table) = table(options(128), |writer| {
        for number in 0..PARTITIONS {
            writer
                .partition(&partition_key(number * APART, "key"), Head::default())
                .unwrap();
            writer
                .row(&clustering(&[]), &simple_row(number, &number.to_be_bytes()))
                .unwrap();
        }
    });
    assert!(table.stripes() > 10, "{} stripes", table.stripes());
    table
}

fn range(start: i64, end: i64) -> TokenSet {
    TokenSet::from(TokenRange {
        start: Token(start * APART - 1),
        end: Token(end * APART - 1),
    })
}

#[test]
fn bytes_are_those_of_blocks_and_indexes_and_add_up() {
    let table = filled();
    for parts in [2, 7, 100] {
        let width = PARTITIONS / parts;
        let mut sum = 0;
        for part in 0..parts {
            let (start, end) = (
                part * width,
                if part + 1 == parts {
                    PARTITIONS
                } else {
                    (part + 1) * width
                },
            );
            let bytes = table.bytes_of(&range(start, end));
            let share = table.bytes() * (end - start) as u64 / PARTITIONS as u64;
            assert!(
                bytes.abs_diff(share) * 20 < share,
                "{part} of {parts}: {bytes}, and should be about {share}"
            );
            sum += bytes;
        }
        assert!(
            sum.abs_diff(table.bytes()) <= parts as u64,
            "{sum} of {}",
            table.bytes()
        );
    }
    // Ranges of one set are counted together.
    let both = range(100, 2_000).union(&range(15_000, 19_000));
    let apart = table.bytes_of(&range(100, 2_000)) + table.bytes_of(&range(15_000, 19_000));
    assert_eq!(table.bytes_of(&both), apart);
}

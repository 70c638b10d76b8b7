//! Picks as a transcript.

use std::fmt::Write;

use super::picker::{Candidate, MAX_INPUTS, pick};

fn picks(sizes: &[u64]) -> String {
    let mut tables: Vec<Candidate> = Vec::new();
    let mut out = String::new();
    for (number, bytes) in (1..).zip(sizes) {
        tables.push(Candidate {
            number,
            bytes: *bytes,
        });
        let mut next = 100 * number;
        loop {
            let picked = pick(&tables, 10, 3);
            if picked.is_empty() {
                break;
            }
            let (merged, rest): (Vec<_>, Vec<_>) = tables
                .into_iter()
                .partition(|table| picked.contains(&table.number));
            tables = rest;
            let bytes = merged.iter().map(|table| table.bytes).sum();
            tables.push(Candidate { number: next, bytes });
            let _ = writeln!(out, "flush {number}: {picked:?} -> {next} of {bytes} bytes");
            next += 1;
        }
    }
    out
}

#[test]
fn full_levels_cascade() {
    let expected = "\
flush 3: [1, 2, 3] -> 300 of 30 bytes
flush 6: [4, 5, 6] -> 600 of 30 bytes
flush 9: [7, 8, 9] -> 900 of 30 bytes
flush 9: [300, 600, 900] -> 901 of 90 bytes
";
    assert_eq!(picks(&[10; 9]), expected);
}

#[test]
fn small_and_large_tables_are_not_mixed() {
    assert_eq!(picks(&[500, 10, 90, 10]), "");
    assert_eq!(
        picks(&[500, 10, 90, 10, 5]),
        "flush 5: [2, 4, 5] -> 500 of 25 bytes\n"
    );
}

#[test]
fn a_pick_is_bounded() {
    let many: Vec<Candidate> = (0..100).map(|number| Candidate { number, bytes: 1 }).collect();
    assert_eq!(pick(&many, 10, 3), (0..MAX_INPUTS as u64).collect::<Vec<_>>());
    let huge: Vec<Candidate> = (0..3)
        .map(|number| Candidate {
            number,
            bytes: u64::MAX,
        })
        .collect();
    assert_eq!(pick(&huge, 0, 0), vec![0, 1, 2]);
}

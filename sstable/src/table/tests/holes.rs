//! Around a hole a table is as it was, whatever is damaged in it.

use std::{path::Path, sync::Arc};

use starling_model::Token;

use super::{DIR, options, partition_key, table};
use crate::{
    Error,
    fixtures::simple_row,
    fs::Fs,
    table::{Table, TableWriter, Target, key, key::Kind},
};

const PARTITIONS: i64 = 700;

fn fill(writer: &mut TableWriter) {
    for token in 0..PARTITIONS {
        // Every tenth is as wide as some blocks.
        let rows = if token % 10 == 3 { 12 } else { 1 };
        writer
            .partition(&partition_key(token * 1_000, "key"), super::Head::default())
            .unwrap();
        for row in 0..rows {
            writer
                .row(&super::clustering(&[row]), &simple_row(token, b"some value"))
                .unwrap();
        }
    }
}

fn token_of(key: &[u8]) -> Token {
    Token::from_ordered_bytes(*key.first_chunk().unwrap())
}

/// Keys and values.
type Entry = (Vec<u8>, Vec<u8>);

fn entries(table: &Arc<Table>) -> Result<Vec<Entry>, Error> {
    let mut all = Vec::new();
    let mut cursor = table.cursor();
    let mut more = cursor.first()?;
    while more {
        all.push((cursor.key().unwrap().to_vec(), cursor.value_bytes().to_vec()));
        more = cursor.next()?;
    }
    Ok(all)
}

/// Every seek and every point read finds what a list of the entries says.
fn agrees(table: &Arc<Table>, entries: &[Entry]) {
    for token in (0..PARTITIONS * 1_000).step_by(500) {
        let target = key::prefix(&partition_key(token, "key"));
        let mut cursor = table.cursor();
        let found = cursor.seek(&target).unwrap();
        let expected = entries.get(entries.partition_point(|(key, _)| key < &target));
        assert_eq!(
            found.then(|| cursor.key().unwrap()),
            expected.map(|(key, _)| &key[..])
        );
        let mut target = Target::default();
        target.set(&partition_key(token, "key"), Kind::Row, &[0]);
        let row = table.find(&mut target).unwrap();
        let expected = entries.iter().find(|(key, _)| key == target.key());
        assert_eq!(row.as_deref(), expected.map(|(_, value)| &value[..]));
    }
    // Backward through one partition, from its end.
    for (key, _) in entries.iter().rev().step_by(50) {
        let parts = key::parts(key).unwrap();
        let mut cursor = table.cursor();
        let mut more = cursor
            .seek_before(&key::after_kind(parts.prefix, Kind::Row))
            .unwrap();
        let mut rows = 0;
        while more && cursor.key().unwrap().starts_with(parts.prefix) {
            rows += 1;
            more = cursor.prev().unwrap();
        }
        let of_partition = |(key, _): &&Entry| key.starts_with(parts.prefix);
        assert_eq!(rows, entries.iter().filter(of_partition).count());
    }
}

#[test]
fn a_table_with_a_hole_is_whole_around_it() {
    let (fs, table) = table(options(64), fill);
    let whole = entries(&table).unwrap();
    let length = fs.read(table.path()).unwrap().len();
    let mut holes = 0;
    for at in (0..length).step_by(length / 97) {
        fs.damage(table.path(), |bytes| bytes[at] ^= 0x40).unwrap();
        if let Ok(damaged) = Table::open(&fs, Path::new(DIR), 3).map(Arc::new) {
            let mut expected = whole.clone();
            while let Err(error) = entries(&damaged) {
                let Error::Corrupt { offset, .. } = error else {
                    panic!("{error}");
                };
                let (from, to) = damaged.tokens_at(offset);
                assert!(to.0 - from.0 < 300_000, "{offset}: {from} to {to}");
                damaged.add_hole(from, to);
                expected.retain(|(key, _)| token_of(key) < from || token_of(key) > to);
                holes += 1;
            }
            assert!(entries(&damaged).unwrap() == expected, "damage at {at}");
            agrees(&damaged, &expected);
        }
        fs.damage(table.path(), |bytes| bytes[at] ^= 0x40).unwrap();
    }
    assert!(holes > 50, "most bytes belong to blocks: {holes}");
}

#[test]
fn holes_that_touch_are_one() {
    let holes = crate::table::holes::Holes::default();
    assert_eq!((holes.any(), holes.over(5)), (false, None));
    holes.add(10, 20);
    holes.add(30, 40);
    assert_eq!(
        (holes.over(9), holes.over(10), holes.over(25)),
        (None, Some((10, 20)), None)
    );
    holes.add(21, 29);
    assert_eq!(
        (holes.over(10), holes.over(40), holes.over(41)),
        (Some((10, 40)), Some((10, 40)), None)
    );
    holes.add(u64::MAX, u64::MAX);
    assert_eq!(holes.over(u64::MAX), Some((u64::MAX, u64::MAX)));
}

mod agreement;
mod growing;
mod index;

use starling_model::{Mutation, Timestamp, TokenRange};

use super::{Memtable, Write};
use crate::{
    fixtures::{insert, key},
    log::Lsn,
};

fn apply(memtable: &mut Memtable, lsn: u64, mutation: &Mutation) {
    let bytes = mutation.encode();
    memtable.apply(Lsn(lsn), &Write::check(&bytes).unwrap()).unwrap();
}

#[test]
fn it_knows_its_first_and_last_write_its_oldest_timestamp_and_its_weight() {
    let mut memtable = Memtable::default();
    assert!(memtable.is_empty());
    assert_eq!((memtable.weight(), memtable.oldest()), (0, None));
    for (lsn, timestamp) in [(5, 30), (6, 10), (9, 20)] {
        apply(&mut memtable, lsn, &insert(key(1), b"a", timestamp, &[0; 100]));
    }
    assert_eq!((memtable.first(), memtable.last()), (Lsn(5), Lsn(9)));
    assert_eq!(memtable.oldest(), Some(Timestamp(10)));
    assert_eq!(memtable.get(&key(1)).unwrap().last(), Lsn(9));
    assert_eq!(memtable.partitions(), 1);
}

#[test]
fn a_small_row_weighs_little_more_than_its_bytes() {
    let mut memtable = Memtable::default();
    let rows = 20_000_u64;
    let mut bytes = 0;
    for number in 0..rows {
        let mut mutation = insert(key(1), b"", 1_700_000_000_000_000, &[7; 100]);
        mutation.key.token.0 = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15)) as i64;
        mutation.key.key = vec![number as u8; 16].into();
        bytes += 16 + 100;
        apply(&mut memtable, number + 1, &mutation);
    }
    assert!(memtable.weight() > bytes);
    assert!(
        memtable.weight() < bytes + 70 * rows as usize,
        "{} bytes a row",
        memtable.weight() / rows as usize
    );
}

/// A row that is written over and over takes no more memory each time.
#[test]
fn overwriting_with_no_more_bytes_takes_no_memory() {
    let mut memtable = Memtable::default();
    for clustering in [&b"a"[..], b"b"] {
        apply(
            &mut memtable,
            1_000 * u64::from(clustering[0]),
            &insert(key(1), clustering, 1_000, &[1; 50]),
        );
        let weight = memtable.weight();
        for lsn in 1..100 {
            let write = insert(
                key(1),
                clustering,
                1_000 + i64::from(clustering[0]),
                &[lsn as u8; 50],
            );
            apply(&mut memtable, 1_000 * u64::from(clustering[0]) + lsn, &write);
        }
        assert_eq!(memtable.weight(), weight);
    }
}

#[test]
fn partitions_come_in_order_within_an_arc() {
    let mut memtable = Memtable::default();
    for (lsn, number) in (1..).zip([7, 0, 3, 2]) {
        apply(&mut memtable, lsn, &insert(key(number), b"a", 1, b""));
    }
    let walk = |range: TokenRange| {
        let mut found = Vec::new();
        while let Some(next) = memtable.next(range, found.last()) {
            found.push(next.clone());
        }
        found
    };
    assert_eq!(walk(TokenRange::ALL), [key(0), key(2), key(3), key(7)]);
    let arc = TokenRange {
        start: key(0).token,
        end: key(3).token,
    };
    assert_eq!(walk(arc), [key(2), key(3)], "without its start, with its end");
}

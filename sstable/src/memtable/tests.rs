use starling_model::{Timestamp, TokenRange};

use super::Memtable;
use crate::{
    fixtures::{insert, key},
    log::Lsn,
};

#[test]
fn it_knows_its_first_and_last_write_its_oldest_timestamp_and_its_weight() {
    let mut memtable = Memtable::default();
    assert!(memtable.is_empty());
    assert_eq!((memtable.weight(), memtable.oldest()), (0, None));
    for (lsn, timestamp) in [(5, 30), (6, 10), (9, 20)] {
        memtable.apply(Lsn(lsn), insert(key(1), b"a", timestamp, &[0; 100]));
    }
    assert_eq!((memtable.first(), memtable.last()), (Lsn(5), Lsn(9)));
    assert_eq!(memtable.oldest(), Some(Timestamp(10)));
    assert!(memtable.weight() > 300);
    assert_eq!(memtable.get(&key(1)).unwrap().last, Lsn(9));
    assert_eq!(memtable.get(&key(1)).unwrap().partition.rows.len(), 1);
}

#[test]
fn partitions_come_in_order_within_an_arc() {
    let mut memtable = Memtable::default();
    for (lsn, number) in (1..).zip([7, 0, 3, 2]) {
        memtable.apply(Lsn(lsn), insert(key(number), b"a", 1, b""));
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

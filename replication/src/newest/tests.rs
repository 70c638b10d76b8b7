use bytes::Bytes;
use proptest::prelude::*;
use starling_model::{
    ClusteringRange, Deletion, Mutation, Partition, RangeTombstone, Seconds, TableId, Timestamp,
};

use super::Newest;
use crate::testing::{clustering, insert, key};

const TABLE: TableId = TableId(7);

fn deletion(timestamp: i64) -> Deletion {
    Deletion {
        timestamp: Timestamp(timestamp),
        at: Seconds(1),
    }
}

fn deletes_all(name: &str, timestamp: i64) -> Mutation {
    let mut partition = Partition::default();
    partition.delete(deletion(timestamp));
    Mutation {
        table: TABLE,
        key: key(name),
        partition,
    }
}

fn deletes_from(name: &str, row: u32, timestamp: i64) -> Mutation {
    let mut partition = Partition::default();
    partition.delete_range(RangeTombstone {
        range: ClusteringRange {
            start: clustering(row).0,
            end: None,
        },
        deletion: deletion(timestamp),
    });
    Mutation {
        table: TABLE,
        key: key(name),
        partition,
    }
}

#[test]
fn rows_do_not_hinder_each_other() {
    let newest = Newest::new(Timestamp::MIN);
    assert_eq!(newest.note(&insert(TABLE, "a", 1, "x", 1000)), Timestamp::MIN);
    assert_eq!(
        newest.note(&insert(TABLE, "a", 2, "x", 10)),
        Timestamp::MIN,
        "another row"
    );
    assert_eq!(
        newest.note(&insert(TABLE, "b", 1, "x", 10)),
        Timestamp::MIN,
        "another partition"
    );
    assert_eq!(
        newest.note(&insert(TableId(8), "a", 1, "x", 10)),
        Timestamp::MIN,
        "another table"
    );
    assert_eq!(newest.note(&insert(TABLE, "a", 1, "x", 10)), Timestamp(1000));
}

#[test]
fn deletions_of_many_rows_meet_rows_and_rows_meet_them() {
    let newest = Newest::new(Timestamp::MIN);
    newest.note(&insert(TABLE, "a", 1, "x", 1000));
    assert_eq!(newest.note(&deletes_all("a", 10)), Timestamp(1000));
    assert_eq!(newest.note(&deletes_from("a", 9, 2000)), Timestamp(1000));
    assert_eq!(newest.note(&insert(TABLE, "a", 1, "x", 20)), Timestamp(2000));
}

#[test]
fn the_floor_is_everywhere() {
    let newest = Newest::new(Timestamp(50));
    assert_eq!(newest.note(&insert(TABLE, "a", 1, "x", 10)), Timestamp(50));
    newest.raise(Timestamp(70));
    newest.raise(Timestamp(60));
    assert_eq!(newest.note(&deletes_all("b", 10)), Timestamp(70));
}

/// One write of a sequence: which partition, which row, what it does, when.
fn any_write() -> impl Strategy<Value = Mutation> {
    (0..3_u8, 0..4_u32, 0..4_u8, 0..100_i64).prop_map(|(partition, row, kind, at)| {
        let name = ["a", "b", "c"][usize::from(partition)];
        match kind {
            0 => deletes_all(name, at),
            1 => deletes_from(name, row, at),
            _ => insert(TABLE, name, row, "x", at),
        }
    })
}

/// Whether two writes concern a common row.
fn meet(a: &Mutation, b: &Mutation) -> bool {
    let wide =
        |mutation: &Mutation| mutation.partition.deletion.is_some() || !mutation.partition.ranges.is_empty();
    let common = a
        .partition
        .rows
        .keys()
        .any(|row| b.partition.rows.contains_key(row));
    a.key == b.key && (wide(a) || wide(b) || common)
}

proptest! {
    #[test]
    fn whatever_was_noted_in_a_row_is_remembered(writes in prop::collection::vec(any_write(), 1..60)) {
        let newest = Newest::new(Timestamp::MIN);
        for (at, write) in writes.iter().enumerate() {
            let told = newest.note(write);
            let earlier = writes[..at].iter().filter(|other| meet(other, write));
            let expected = earlier.filter_map(|other| other.partition.newest()).max();
            prop_assert!(expected.is_none_or(|expected| told >= expected), "write {at}");
        }
    }
}

#[test]
fn an_empty_write_meets_nothing() {
    let newest = Newest::new(Timestamp(5));
    let empty = Mutation {
        table: TABLE,
        key: starling_model::DecoratedKey {
            token: starling_model::Token(0),
            key: Bytes::new(),
        },
        partition: Partition::default(),
    };
    assert_eq!(newest.note(&empty), Timestamp(5));
}

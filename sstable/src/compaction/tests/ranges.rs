//! What a merge searches for range tombstones.

use std::sync::Arc;

use bytes::Bytes;
use starling_model::{
    ClusteringRange, DecoratedKey, Deletion, Mutation, Partition, RangeTombstone, Seconds, Timestamp, Token,
};

use super::merge_of;
use crate::{
    compaction::worker::Input,
    fixtures::{TABLE, insert},
    log::Lsn,
    memtable::{Memtable, Write},
};

const INPUTS: u64 = 8;
const PARTITIONS: u64 = 50;

fn key(number: u64) -> DecoratedKey {
    DecoratedKey {
        token: Token(number as i64),
        key: Bytes::copy_from_slice(&number.to_be_bytes()),
    }
}

fn tombstone(key: DecoratedKey) -> Mutation {
    let mut partition = Partition::default();
    partition.delete_range(RangeTombstone {
        range: ClusteringRange {
            start: Bytes::from_static(b"a"),
            end: Some(Bytes::from_static(b"c")),
        },
        deletion: Deletion {
            timestamp: Timestamp(5),
            at: Seconds(5),
        },
    });
    Mutation {
        table: TABLE,
        key,
        partition,
    }
}

/// Every partition is in all inputs, and its range tombstones are in one.
fn inputs() -> Vec<Input> {
    let memtable = |input: u64| {
        let mut memtable = Memtable::default();
        for number in 0..PARTITIONS {
            let mut writes = vec![insert(key(number), &[b'b', input as u8], input as i64, b"value")];
            if number % INPUTS == input {
                writes.push(tombstone(key(number)));
            }
            for write in writes {
                let lsn = memtable.last().next();
                let bytes = write.encode();
                memtable.apply(lsn, &Write::check(&bytes).unwrap()).unwrap();
            }
        }
        Input::Memory(Arc::new(memtable))
    };
    (0..INPUTS).map(memtable).collect()
}

#[test]
fn only_inputs_that_have_range_tombstones_of_a_partition_are_searched_for_them() {
    let mut worker = merge_of(inputs());
    while !worker.step().unwrap() {}
    let table = worker.output().unwrap();
    assert_eq!(table.properties().range_tombstones, PARTITIONS);
    // Those of the inputs 6 and 7 are newer than the tombstones.
    assert_eq!(table.properties().rows, 2 * PARTITIONS);
    assert_eq!(
        worker.searches(),
        2 * PARTITIONS,
        "to be written, and to cover rows"
    );
    assert!(table.properties().last > Lsn::ZERO);
}

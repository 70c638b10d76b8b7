//! Rows that are too large to be read.

use bytes::Bytes;
use starling_model::{
    Cell, CellValue, Clustering, ColumnId, Consistency, Mutation, Partition, Row, Timestamp,
};

use super::{cluster, delete, read_all};
use crate::{
    env::StoreError,
    testing::{insert, key, whole_partition},
};

/// An element of a collection in a row, of so many bytes.
fn element(number: u8, bytes: usize) -> Row {
    Row {
        cells: vec![Cell {
            column: ColumnId(1),
            path: Some(Bytes::copy_from_slice(&[number])),
            timestamp: Timestamp(10),
            value: CellValue::Live {
                value: vec![number; bytes].into(),
                expiry: None,
            },
        }],
        ..Row::default()
    }
}

#[test]
fn a_row_that_no_message_takes_is_refused_with_what_to_do_until_it_is_deleted() {
    let (cluster, table) = cluster();
    let large = Clustering(Bytes::copy_from_slice(&7_u32.to_be_bytes()));
    for number in 0..3 {
        let mut partition = Partition::default();
        partition.add_row(large.clone(), element(number, 11 << 20));
        let write = Mutation {
            table,
            key: key("a"),
            partition,
        };
        cluster
            .write(1, write, Consistency::All)
            .expect("the write succeeds");
    }
    for level in [Consistency::One, Consistency::Quorum] {
        for node in 1..=3 {
            let refused = cluster.read(node, whole_partition(table, "a", cluster.now()), level);
            let error = refused.expect_err("it is too large").to_string();
            assert!(error.contains("MiB can be read at most"), "{error}");
            assert!(error.contains("a row of ks.t (k = 'a') has"), "{error}");
            assert!(
                error.contains("delete elements of its collections, or the row"),
                "{error}"
            );
        }
    }
    cluster
        .write(1, delete(table, 7, 20, &cluster), Consistency::Quorum)
        .expect("it can be deleted");
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::Quorum)
        .expect("the write succeeds");
    assert_eq!(read_all(&cluster, 1, table, Consistency::All), ["a/1=x"]);
}

#[test]
fn a_row_whose_states_are_too_much_is_named_to_the_client() {
    let (cluster, table) = cluster();
    for env in &cluster.envs {
        env.store.set_fault(Some(StoreError::RowTooLarge {
            table,
            key: key("it's"),
            bytes: 700 << 20,
            limit: 512 << 20,
        }));
    }
    for level in [Consistency::One, Consistency::Quorum] {
        let refused = cluster.read(2, whole_partition(table, "it's", cluster.now()), level);
        let error = refused.expect_err("it is too large").to_string();
        assert!(
            error.contains(
                "a row of ks.t (k = 'it''s') has 700 MiB in its states, and a read merges 512 MiB at most"
            ),
            "{error}"
        );
        assert!(error.contains("delete the row"), "{error}");
    }
}

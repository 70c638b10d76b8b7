//! Pages of replicas that disagree, merged page by page, come to what one merged replica would return.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use starling_model::{
    ClusteringRange, Deletion, KeyRange, Limits, Mutation, Page, Partition, RangeTombstone, ReadCommand, Row,
    Seconds, TableId, Timestamp, TokenRange,
};

use super::super::reconcile::{EVERYTHING, reconcile};
use crate::testing::{MapStore, clustering, key, row_of};

const TABLE: TableId = TableId(7);
const NOW: Seconds = Seconds(100);

/// One write that one replica took.
#[derive(Debug, Clone)]
enum Write {
    Insert { row: u32, timestamp: i64 },
    Static { timestamp: i64 },
    DeleteRow { row: u32, timestamp: i64 },
    DeleteRange { start: u32, end: u32, timestamp: i64 },
    DeletePartition { timestamp: i64 },
}

fn write() -> impl Strategy<Value = Write> {
    let row = 0..8u32;
    let timestamp = 1..20i64;
    prop_oneof![
        8 => (row.clone(), timestamp.clone()).prop_map(|(row, timestamp)| Write::Insert { row, timestamp }),
        1 => timestamp.clone().prop_map(|timestamp| Write::Static { timestamp }),
        3 => (row.clone(), timestamp.clone()).prop_map(|(row, timestamp)| Write::DeleteRow { row, timestamp }),
        2 => (row.clone(), row, timestamp.clone())
            .prop_map(|(start, end, timestamp)| Write::DeleteRange { start, end, timestamp }),
        1 => timestamp.prop_map(|timestamp| Write::DeletePartition { timestamp }),
    ]
}

fn partition(write: &Write) -> Partition {
    let mut partition = Partition::default();
    let deletion = |timestamp| Deletion {
        timestamp: Timestamp(timestamp),
        at: Seconds(50),
    };
    match *write {
        Write::Insert { row, timestamp } => {
            partition.add_row(clustering(row), row_of(&format!("{timestamp}"), timestamp));
        }
        Write::Static { timestamp } => {
            partition.add_static(Row {
                marker: None,
                ..row_of("static", timestamp)
            });
        }
        Write::DeleteRow { row, timestamp } => {
            let tombstone = Row {
                deletion: Some(deletion(timestamp)),
                ..Row::default()
            };
            partition.add_row(clustering(row), tombstone);
        }
        Write::DeleteRange {
            start,
            end,
            timestamp,
        } => partition.delete_range(RangeTombstone {
            range: ClusteringRange {
                start: clustering(start).0,
                end: Some(clustering(end).0),
            },
            deletion: deletion(timestamp),
        }),
        Write::DeletePartition { timestamp } => partition.delete(deletion(timestamp)),
    }
    partition
}

fn apply(store: &MapStore, name: &str, write: &Write) {
    store.apply_now(Mutation {
        table: TABLE,
        key: key(name),
        partition: partition(write),
    });
}

/// Live rows in the order of the read, as (partition, row, value).
fn rows(page: &Page, reversed: bool) -> Vec<(Bytes, Bytes, Row)> {
    let mut all = Vec::new();
    for part in &page.partitions {
        let mut own: Vec<_> = part
            .partition
            .rows
            .iter()
            .filter(|(_, row)| row.is_live(NOW))
            .map(|(clustering, row)| (part.key.key.clone(), clustering.0.clone(), row.clone()))
            .collect();
        if reversed {
            own.reverse();
        }
        all.extend(own);
    }
    all
}

fn read_through(
    mut command: ReadCommand,
    mut page: impl FnMut(&ReadCommand) -> Page,
) -> Vec<(Bytes, Bytes, Row)> {
    let mut seen = Vec::new();
    for _ in 0..1000 {
        let next = page(&command);
        let rows = rows(&next, command.reversed);
        assert!(
            rows.len() <= command.limits.rows as usize,
            "a page keeps its limit"
        );
        seen.extend(rows);
        match next.next {
            Some(position) => {
                assert_ne!(
                    Some(&position),
                    command.after.as_ref(),
                    "every page makes progress"
                );
                command.after = Some(position);
            }
            None => return seen,
        }
    }
    panic!("the read does not end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn replicas_that_disagree_read_as_their_merge(
        writes in vec((0..3usize, 0..3usize, write()), 0..40),
        reversed: bool,
        page_rows in 1..5u32,
        rows_per_partition in prop_oneof![Just(u32::MAX), 1..4u32],
        visited in 1..9u32,
        one_partition: bool,
    ) {
        let replicas: Vec<MapStore> = (0..3).map(|_| MapStore::default()).collect();
        let merged = MapStore::default();
        for (replica, name, write) in &writes {
            let name = format!("k{name}");
            apply(&replicas[*replica], &name, write);
            apply(&merged, &name, write);
        }
        let command = ReadCommand {
            table: TABLE,
            keys: if one_partition { KeyRange::Partition(key("k1")) } else { KeyRange::Tokens(TokenRange::ALL) },
            slices: vec![ClusteringRange { start: clustering(1).0, end: Some(clustering(3).0) },
                         ClusteringRange { start: clustering(4).0, end: None }],
            reversed,
            after: None,
            limits: Limits { rows: page_rows, rows_per_partition, visited, ..Limits::NONE },
            now: NOW,
        };
        let unlimited = ReadCommand { limits: Limits { rows_per_partition, ..Limits::NONE }, ..command.clone() };
        let expected = read_through(unlimited, |command| merged.read_now(command));
        let seen = read_through(command.clone(), |command| {
            let pages = replicas.iter().map(|replica| replica.read_now(command)).collect();
            let reconciled = reconcile(command, pages, EVERYTHING);
            for (replica, missing) in replicas.iter().zip(reconciled.missing) {
                for mutation in missing {
                    replica.apply_now(mutation);
                }
            }
            reconciled.page
        });
        prop_assert_eq!(&seen, &expected);
        // What was read has been repaired: the replicas agree on it, and say so again.
        let digests: Vec<_> = replicas
            .iter()
            .map(|replica| read_through(command.clone(), |command| replica.read_now(command)))
            .collect();
        for own in digests {
            prop_assert_eq!(&own, &expected);
        }
    }
}

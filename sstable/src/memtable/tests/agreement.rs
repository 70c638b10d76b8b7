//! A memtable holds what a map of merged partitions holds, and its cursor walks it as a table's would.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use starling_model::{
    Clustering, ClusteringRange, DecoratedKey, Deletion, Partition, Row,
    encoding::{Reader, Writer},
};

use super::apply;
use crate::{
    fixtures::{Content, any_key, merge_into, mutation, range},
    memtable::{Facts, Memtable, Part},
    table::{
        entry,
        key::{self, Kind},
    },
};

/// Everything in a part, covered by its own tombstones.
pub(super) fn content(part: Part<'_>) -> Partition {
    let mut found = Partition {
        deletion: part.deletion(),
        ..Partition::default()
    };
    for tombstone in part.ranges() {
        found.delete_range(tombstone.clone());
    }
    if let Some(row) = part.static_row() {
        found.add_static(decode(row));
    }
    for (clustering, row) in part.rows(&ClusteringRange::ALL) {
        assert_eq!(part.row(clustering), Some(row));
        found.add_row(Clustering::from(clustering.to_vec()), decode(row));
    }
    found
}

fn decode(row: &[u8]) -> Row {
    Reader::new(Bytes::copy_from_slice(row)).row().unwrap()
}

/// The entries of a memtable, as its parts say they are.
fn entries(memtable: &Memtable, content: &Content) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    for key in content.keys() {
        let part = memtable.get(key).unwrap();
        let prefix = key::prefix(key);
        let mut put = |kind, clustering: &[u8], value: &[u8]| {
            found.insert(key::entry(&prefix, kind, clustering), value.to_vec());
        };
        if part.deletion().is_some() || !part.ranges().is_empty() {
            let mut out = Writer::default();
            let head = entry::Head {
                deletion: part.deletion(),
                ranges: !part.ranges().is_empty(),
            };
            entry::put_head(&mut out, head);
            put(Kind::Partition, b"", out.as_slice());
        }
        if let Some(row) = part.static_row() {
            put(Kind::Static, b"", row);
        }
        for tombstone in part.ranges() {
            let mut out = Writer::default();
            entry::put_range(&mut out, tombstone);
            put(Kind::Range, &tombstone.range.start, out.as_slice());
        }
        for (clustering, row) in part.rows(&ClusteringRange::ALL) {
            put(Kind::Row, clustering, row);
        }
    }
    found
}

fn target(key: &DecoratedKey, shape: u8, clustering: &ClusteringRange) -> Vec<u8> {
    let prefix = key::prefix(key);
    let kinds = [Kind::Partition, Kind::Static, Kind::Range, Kind::Row];
    match shape {
        0 => Vec::new(),
        1 => prefix[..4].to_vec(),
        2 => prefix[..8].to_vec(),
        3 => prefix,
        4 => key::after_partition(&prefix),
        5 => vec![u8::MAX; 9],
        _ => key::entry(&prefix, kinds[usize::from(shape) % 4], &clustering.start),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn holds_the_merge_of_its_writes(writes in vec(mutation(), 1..30), slice in range()) {
        let mut memtable = Memtable::default();
        let mut model = Content::new();
        let mut all = Facts::default();
        for (lsn, write) in (1..).zip(&writes) {
            if write.partition.is_empty() {
                continue;
            }
            apply(&mut memtable, lsn, write);
            merge_into(&mut model, write);
            all.add(Facts::of(&write.partition));
        }
        prop_assert_eq!(memtable.facts(), all);
        prop_assert_eq!(memtable.partitions(), model.len());
        for (key, expected) in &model {
            let part = memtable.get(key).unwrap();
            prop_assert_eq!(&content(part), expected);
            let inside: Vec<&[u8]> = part.rows(&slice).map(|(clustering, _)| clustering).collect();
            let mut backward: Vec<&[u8]> = part.rows(&slice).rev().map(|(clustering, _)| clustering).collect();
            backward.reverse();
            prop_assert_eq!(&inside, &backward);
            let all = part.rows(&ClusteringRange::ALL);
            let expected: Vec<&[u8]> = all
                .map(|(clustering, _)| clustering)
                .filter(|clustering| slice.contains(clustering))
                .collect();
            prop_assert_eq!(inside, expected);
            for (clustering, _) in part.rows(&ClusteringRange::ALL) {
                let covering = Deletion::strongest(part.deletion(), part.ranges().iter()
                    .find(|tombstone| tombstone.range.contains(clustering))
                    .map(|tombstone| tombstone.deletion));
                prop_assert_eq!(part.covering(clustering), covering);
            }
        }
    }

    #[test]
    fn its_cursor_walks_all_entries_both_ways(
        writes in vec(mutation(), 1..20),
        jumps in vec((any_key(), 0_u8..16, range(), any::<bool>()), 0..10),
    ) {
        let mut memtable = Memtable::default();
        let mut model = Content::new();
        for (lsn, write) in (1..).zip(&writes) {
            if !write.partition.is_empty() {
                apply(&mut memtable, lsn, write);
                merge_into(&mut model, write);
            }
        }
        let entries = entries(&memtable, &model);
        let mut cursor = memtable.cursor();
        let mut found = cursor.first();
        for (key, value) in &entries {
            prop_assert!(found);
            prop_assert_eq!((cursor.key(), cursor.value()), (Some(&key[..]), &value[..]));
            prop_assert!(key::partition_key(&key[..cursor.prefix_len()]).is_some());
            found = cursor.next();
        }
        prop_assert!(!found && cursor.key().is_none());
        found = cursor.seek_before(&[u8::MAX; 10]);
        for (key, value) in entries.iter().rev() {
            prop_assert!(found);
            prop_assert_eq!((cursor.key(), cursor.value()), (Some(&key[..]), &value[..]));
            found = cursor.prev();
        }
        prop_assert!(!found && cursor.key().is_none());
        for (key, shape, clustering, forward) in jumps {
            let target = target(&key, shape, &clustering);
            cursor.seek(&target);
            prop_assert_eq!(cursor.key(), entries.range(target.clone()..).next().map(|(key, _)| &key[..]));
            cursor.seek_before(&target);
            let before = entries.range(..target.clone()).next_back();
            prop_assert_eq!(cursor.key(), before.map(|(key, _)| &key[..]));
            // Turning back leads to where one came from.
            if let Some((here, _)) = before {
                let moved = if forward { cursor.next() } else { cursor.prev() };
                if moved {
                    let back = if forward { cursor.prev() } else { cursor.next() };
                    prop_assert!(back);
                    prop_assert_eq!(cursor.key(), Some(&here[..]));
                }
            }
        }
    }
}

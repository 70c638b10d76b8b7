//! The merge law: commutative, associative, idempotent, canonical, and what it should mean.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use starling_model::{
    Cell, CellValue, Clustering, ColumnId, Deletion, Marker, Partition, Row, Seconds, Timestamp,
};

use crate::generators::{Fact, facts, merged, partition};

fn merge(mut a: Partition, b: &Partition) -> Partition {
    a.merge(b.clone());
    a
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn is_commutative(a in partition(), b in partition()) {
        prop_assert_eq!(merge(a.clone(), &b), merge(b, &a));
    }

    #[test]
    fn is_associative(a in partition(), b in partition(), c in partition()) {
        prop_assert_eq!(merge(merge(a.clone(), &b), &c), merge(a, &merge(b, &c)));
    }

    #[test]
    fn is_idempotent(a in partition(), b in partition()) {
        let both = merge(a.clone(), &b);
        prop_assert_eq!(merge(a.clone(), &a), a.clone());
        prop_assert_eq!(merge(both.clone(), &a), both.clone());
        prop_assert_eq!(merge(both.clone(), &b), both);
    }

    #[test]
    fn is_canonical(a in partition(), b in partition()) {
        prop_assert!(a.is_canonical());
        prop_assert!(merge(a, &b).is_canonical());
    }

    /// The order of writes and their repetition don't matter, one by one.
    #[test]
    fn does_not_see_the_order(
        (given, other) in facts().prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle())),
    ) {
        prop_assert_eq!(merged(given.iter().chain(&given)), merged(&other));
    }

    /// What is left is what the definition says, computed without merging.
    #[test]
    fn means_what_it_should(facts in facts()) {
        prop_assert_eq!(merged(&facts), by_definition(&facts));
    }

    #[test]
    fn what_is_missing_makes_both_equal(a in partition(), b in partition()) {
        let missing = a.missing_from(&b);
        prop_assert!(missing.is_canonical(), "{:?}", missing);
        let both = merge(b.clone(), &a);
        prop_assert_eq!(merge(b.clone(), &missing), both.clone());
        prop_assert_eq!(missing.is_empty(), both == b, "empty if nothing is missing, and only then");
        prop_assert!(a.missing_from(&both).is_empty());
    }

    /// A tombstone that is purged takes nothing else with it.
    #[test]
    fn purging_removes_only_what_is_old(a in partition(), now in 0_u32..4, before in 0_u32..4) {
        let (now, before) = (Seconds(now), Seconds(before));
        let mut purged = a.clone();
        purged.purge(now, before);
        prop_assert!(purged.is_canonical());
        prop_assert_eq!(merge(a.clone(), &purged), a.clone());
        prop_assert_eq!(visible(&purged, now), visible(&a, now));
        if before == Seconds(0) {
            prop_assert_eq!(purged, a);
        }
    }
}

fn visible(partition: &Partition, now: Seconds) -> Vec<(Clustering, Vec<Cell>)> {
    let live = |row: &Row| {
        row.cells
            .iter()
            .filter(|cell| cell.is_live(now))
            .cloned()
            .collect()
    };
    partition
        .rows
        .iter()
        .filter(|(_, row)| row.is_live(now))
        .map(|(clustering, row)| (clustering.clone(), live(row)))
        .collect()
}

/// The content of a row by definition: of each cell the one with precedence, of those that no deletion
/// covers; elements not if a cell of the whole column is as new.
fn row_by_definition(
    deletions: &[Deletion],
    outer: Option<Deletion>,
    markers: &[Marker],
    cells: &[Cell],
) -> Row {
    let strongest = deletions.iter().copied().max();
    let covered = |timestamp: Timestamp| strongest.max(outer).is_some_and(|it| timestamp <= it.timestamp);
    let columns: BTreeMap<ColumnId, Timestamp> = cells
        .iter()
        .filter(|cell| cell.path.is_none())
        .map(|cell| (cell.column, cell.timestamp))
        .fold(BTreeMap::new(), |mut newest, (column, timestamp)| {
            let slot = newest.entry(column).or_insert(timestamp);
            *slot = timestamp.max(*slot);
            newest
        });
    let mut kept: BTreeMap<(ColumnId, Option<Bytes>), Cell> = BTreeMap::new();
    for cell in cells {
        let hidden = cell.path.is_some()
            && columns
                .get(&cell.column)
                .is_some_and(|column| cell.timestamp <= *column);
        if hidden || covered(cell.timestamp) {
            continue;
        }
        let slot = kept
            .entry((cell.column, cell.path.clone()))
            .or_insert_with(|| cell.clone());
        if cell.precedence(slot).is_gt() {
            *slot = cell.clone();
        }
    }
    Row {
        marker: markers
            .iter()
            .filter(|marker| !covered(marker.timestamp))
            .max_by_key(|it| (it.timestamp, it.expiry.is_none(), it.expiry))
            .copied(),
        deletion: strongest.filter(|it| Some(*it) > outer),
        cells: kept.into_values().collect(),
    }
}

/// What happened to a row.
type RowFacts = (Vec<Deletion>, Vec<Marker>, Vec<Cell>);

fn by_definition(facts: &[Fact]) -> Partition {
    let mut partition = Partition {
        deletion: facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::DeletePartition(deletion) => Some(*deletion),
                _ => None,
            })
            .max(),
        ..Partition::default()
    };
    let (mut markers, mut cells) = (Vec::new(), Vec::new());
    let mut rows: BTreeMap<Clustering, RowFacts> = BTreeMap::new();
    let mut ranges = Vec::new();
    for fact in facts.iter().cloned() {
        match fact {
            Fact::DeletePartition(_) => {}
            Fact::DeleteRange(tombstone) => ranges.push(tombstone),
            Fact::DeleteRow(key, deletion) => rows.entry(key).or_default().0.push(deletion),
            Fact::Insert(key, marker) => rows.entry(key).or_default().1.push(marker),
            Fact::Set(key, cell) => rows.entry(key).or_default().2.push(cell),
            Fact::SetStatic(cell) => cells.push(cell),
            Fact::InsertStatic(marker) => markers.push(marker),
        }
    }
    partition.static_row = row_by_definition(&[], partition.deletion, &markers, &cells);
    for (key, (deletions, markers, cells)) in rows {
        let outer = ranges
            .iter()
            .filter(|tombstone| tombstone.range.contains(&key.0))
            .map(|tombstone| tombstone.deletion)
            .chain(partition.deletion)
            .max();
        let row = row_by_definition(&deletions, outer, &markers, &cells);
        if !row.is_empty() {
            partition.rows.insert(key, row);
        }
    }
    partition.ranges = ranges
        .into_iter()
        .filter(|tombstone| Some(tombstone.deletion) > partition.deletion)
        .collect();
    partition
}

/// A value that replaces a collection's tombstone goes on to hide the old elements. (Were it not so,
/// replicas that merge in different orders would differ for ever.)
#[test]
fn a_columns_cell_hides_elements_whatever_it_holds() {
    let at = |timestamp, path: Option<&'static [u8]>, value| Row {
        cells: vec![Cell {
            column: ColumnId(1),
            path: path.map(Bytes::from_static),
            timestamp: Timestamp(timestamp),
            value,
        }],
        ..Row::default()
    };
    let live = CellValue::Live {
        value: Bytes::from_static(b"v"),
        expiry: None,
    };
    let element = at(3, Some(b"k"), live.clone());
    let tombstone = at(5, None, CellValue::Tombstone(Seconds(0)));
    let value = at(10, None, live);
    let mut left = tombstone.clone();
    left.merge(value.clone());
    left.merge(element.clone());
    let mut right = element;
    right.merge(tombstone);
    right.merge(value.clone());
    assert_eq!(left, right);
    assert_eq!(left, value);
}

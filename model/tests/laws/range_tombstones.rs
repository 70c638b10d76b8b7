//! Range tombstones against the list of all deletions, looked up point by point.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use starling_model::{
    ClusteringRange, Deletion, Partition, RangeTombstone, RangeTombstones, Seconds, Timestamp,
};

use crate::generators::{deletion, range, range_tombstone};

/// Every byte string that a range of the generators can tell from another.
fn points() -> Vec<Vec<u8>> {
    let mut points = vec![Vec::new()];
    let mut last = points.clone();
    for _ in 0..4 {
        last = last
            .iter()
            .flat_map(|point| [0, 1, 0x40, 0xFF].map(|byte| [&point[..], &[byte]].concat()))
            .collect();
        points.extend(last.iter().cloned());
    }
    points
}

fn strongest(all: &[RangeTombstone], point: &[u8]) -> Option<Deletion> {
    all.iter()
        .filter(|it| it.range.contains(point))
        .map(|it| it.deletion)
        .max()
}

fn assert_canonical(tombstones: &RangeTombstones) {
    let list: Vec<&RangeTombstone> = tombstones.iter().collect();
    assert!(list.iter().all(|it| !it.range.is_empty()));
    for pair in list.windows(2) {
        let end = pair[0]
            .range
            .end
            .as_ref()
            .expect("only the last goes on to the end");
        assert!(*end <= pair[1].range.start, "overlap: {pair:?}");
        assert!(
            *end < pair[1].range.start || pair[0].deletion != pair[1].deletion,
            "not joined: {pair:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn cover_what_was_deleted(all in vec(range_tombstone(), 0..12)) {
        let tombstones: RangeTombstones = all.iter().cloned().collect();
        assert_canonical(&tombstones);
        for point in points() {
            prop_assert_eq!(tombstones.covering(&point), strongest(&all, &point), "at {:?}", point);
        }
    }

    #[test]
    fn two_lists_become_what_they_are_one_by_one(
        a in vec(range_tombstone(), 0..12),
        b in vec(range_tombstone(), 0..12),
    ) {
        let (ours, theirs): (RangeTombstones, RangeTombstones) =
            (a.iter().cloned().collect(), b.iter().cloned().collect());
        let mut merged = ours.clone();
        merged.merge(theirs.clone());
        let mut one_by_one = ours;
        for tombstone in &theirs {
            one_by_one.add(tombstone.clone());
        }
        prop_assert_eq!(merged, one_by_one);
    }

    #[test]
    fn are_clipped_to_a_range(all in vec(range_tombstone(), 0..8), clip in range()) {
        let tombstones: RangeTombstones = all.iter().cloned().collect();
        let clipped = tombstones.clipped(&clip);
        assert_canonical(&clipped);
        for point in points() {
            let expected = strongest(&all, &point).filter(|_| clip.contains(&point));
            prop_assert_eq!(clipped.covering(&point), expected);
        }
    }

    #[test]
    fn what_is_stronger_is_found(a in vec(range_tombstone(), 0..8), b in vec(range_tombstone(), 0..8)) {
        let (ours, theirs): (RangeTombstones, RangeTombstones) =
            (a.iter().cloned().collect(), b.iter().cloned().collect());
        let stronger = ours.stronger_than(&theirs);
        assert_canonical(&stronger);
        for point in points() {
            let expected = strongest(&a, &point).filter(|own| Some(*own) > strongest(&b, &point));
            prop_assert_eq!(stronger.covering(&point), expected);
        }
    }

    #[test]
    fn a_stronger_deletion_of_all_removes_the_weaker(all in vec(range_tombstone(), 0..8), of_all in deletion()) {
        let mut tombstones: RangeTombstones = all.iter().cloned().collect();
        tombstones.cover(of_all);
        assert_canonical(&tombstones);
        for point in points() {
            prop_assert_eq!(tombstones.covering(&point), strongest(&all, &point).filter(|it| *it > of_all));
        }
    }

    #[test]
    fn purging_goes_by_age(all in vec(range_tombstone(), 0..8), before in 0_u32..4) {
        let mut tombstones: RangeTombstones = all.iter().cloned().collect();
        let whole = tombstones.clone();
        tombstones.purge(Seconds(before));
        assert_canonical(&tombstones);
        for point in points() {
            let expected = whole.covering(&point).filter(|it| it.at >= Seconds(before));
            prop_assert_eq!(tombstones.covering(&point), expected);
        }
    }

    /// A list that is merged piece by piece, taking out what is settled, is the list merged at once.
    #[test]
    fn settled_tombstones_can_go_early(mut all in vec(range_tombstone(), 0..8)) {
        all.sort_by(|a, b| a.range.start.cmp(&b.range.start));
        let mut open = RangeTombstones::default();
        let mut taken = Vec::new();
        for tombstone in &all {
            taken.extend(open.take_before(Some(&tombstone.range.start)));
            open.add(tombstone.clone());
        }
        taken.extend(open.take_before(None));
        let whole: RangeTombstones = all.into_iter().collect();
        prop_assert!(open.is_empty());
        prop_assert_eq!(taken, whole.iter().cloned().collect::<Vec<_>>());
    }

    /// Only what is canonical can be appended, and then the result is the same as by adding.
    #[test]
    fn appending_checks(all in vec(range_tombstone(), 0..6)) {
        let mut appended = RangeTombstones::default();
        for tombstone in &all {
            let before = appended.clone();
            if appended.append(tombstone.clone()) {
                let mut added = before;
                added.add(tombstone.clone());
                prop_assert_eq!(&appended, &added);
                assert_canonical(&appended);
            } else {
                prop_assert_eq!(&appended, &before);
            }
        }
        let canonical: RangeTombstones = all.into_iter().collect();
        let mut again = RangeTombstones::default();
        prop_assert!(canonical.iter().all(|tombstone| again.append(tombstone.clone())));
        prop_assert_eq!(again, canonical);
    }
}

#[test]
fn an_empty_range_deletes_nothing() {
    let mut tombstones = RangeTombstones::default();
    let nothing = RangeTombstone {
        range: ClusteringRange {
            start: Bytes::from_static(b"b"),
            end: Some(Bytes::from_static(b"a")),
        },
        deletion: Deletion {
            timestamp: starling_model::Timestamp(1),
            at: Seconds(1),
        },
    };
    assert!(!tombstones.append(nothing.clone()));
    tombstones.add(nothing);
    assert!(tombstones.is_empty());
}

/// One at a time, each would move the others: this would take minutes.
#[test]
fn long_lists_are_merged_in_one_pass() {
    const COUNT: u32 = 100_000;
    let part = |odd: u32| {
        let mut partition = Partition::default();
        for number in 0..COUNT {
            let place = |at: u32| Bytes::copy_from_slice(&at.to_be_bytes());
            let start = (2 * number + odd) * 4;
            partition.delete_range(RangeTombstone {
                range: ClusteringRange {
                    start: place(start),
                    end: Some(place(start + 1)),
                },
                deletion: Deletion {
                    timestamp: Timestamp(1),
                    at: Seconds(1),
                },
            });
        }
        partition
    };
    let mut merged = part(0);
    merged.merge(part(1));
    assert_eq!(merged.ranges.len(), 2 * COUNT as usize);
    assert_canonical(&merged.ranges);
}

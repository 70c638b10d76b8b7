//! Bad histories that must be caught, and good ones that look bad.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use starling_model::{
    Cell as ModelCell, CellValue, Clustering, ColumnId, DecoratedKey, Deletion, NodeId, Partition,
    PartitionPage, Row, Seconds, Timestamp, Token,
};

use super::*;
use crate::{
    history::{Cell, Column, History, Outcome, Read, Seen, Version, Write},
    reach::{Factors, Reach},
};

const CELL: Cell = Cell {
    partition: 1,
    row: Some(1),
    column: Column::A,
};
const QUORUM: Reach = Reach::anywhere(2);
const ALL: Reach = Reach::anywhere(3);
const ONE: Reach = Reach::anywhere(1);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn live(value: i32, timestamp: i64) -> Version {
    Version {
        timestamp,
        dead: false,
        value,
    }
}

fn dead(timestamp: i64) -> Version {
    Version {
        timestamp,
        dead: true,
        value: 0,
    }
}

/// Writes and reads of [`CELL`], in the order in which they are told.
#[derive(Default)]
struct Story {
    history: History,
    next: u32,
}

impl Story {
    fn write(mut self, span: (u64, u64), reach: Reach, version: Version, outcome: Outcome) -> Self {
        self.next += 1;
        self.history.writes.push(Write {
            id: self.next,
            invoked: at(span.0),
            returned: at(span.1),
            reach,
            outcome,
            effects: vec![(CELL, version)],
            logged: false,
        });
        self
    }

    fn acknowledged(self, span: (u64, u64), reach: Reach, version: Version) -> Self {
        self.write(span, reach, version, Outcome::Acknowledged)
    }

    fn read(mut self, span: (u64, u64), reach: Reach, seen: Seen) -> Self {
        self.next += 1;
        self.history.reads.push(Read {
            id: self.next,
            invoked: at(span.0),
            returned: at(span.1),
            reach,
            seen: vec![(CELL, seen)],
        });
        self
    }

    fn broken(mut self) -> Vec<Promise> {
        self.history.factors = Factors::simple(3);
        registers::check(&self.history)
            .into_iter()
            .map(|violation| violation.promise)
            .collect()
    }
}

fn story() -> Story {
    Story::default()
}

#[test]
fn a_lost_write_is_caught() {
    let lost = story()
        .acknowledged((1, 2), QUORUM, live(7, 10))
        .read((3, 4), QUORUM, Seen::Nothing);
    assert_eq!(lost.broken(), [Promise::NoLostWrite]);
    let older = story()
        .acknowledged((1, 2), QUORUM, live(6, 9))
        .acknowledged((1, 2), QUORUM, live(7, 10))
        .read((3, 4), QUORUM, Seen::Value(6));
    assert_eq!(older.broken(), [Promise::NoLostWrite]);
}

#[test]
fn a_deletion_that_comes_undone_is_caught() {
    let risen = story()
        .acknowledged((1, 2), QUORUM, live(7, 10))
        .acknowledged((3, 4), QUORUM, dead(11))
        .read((5, 6), QUORUM, Seen::Value(7));
    assert_eq!(risen.broken(), [Promise::NoLostWrite]);
}

#[test]
fn levels_that_do_not_overlap_promise_nothing() {
    let weak = story()
        .acknowledged((1, 2), ONE, live(7, 10))
        .read((3, 4), QUORUM, Seen::Nothing)
        .read((5, 6), ONE, Seen::Nothing);
    assert_eq!(weak.broken(), []);
    let strong = story()
        .acknowledged((1, 2), ONE, live(7, 10))
        .read((3, 4), ALL, Seen::Nothing);
    assert_eq!(strong.broken(), [Promise::NoLostWrite]);
}

#[test]
fn concurrent_and_unknown_writes_may_show_or_not() {
    for seen in [Seen::Nothing, Seen::Value(7)] {
        let concurrent = story()
            .acknowledged((1, 5), QUORUM, live(7, 10))
            .read((2, 3), QUORUM, seen);
        assert_eq!(concurrent.broken(), []);
        let unknown = story()
            .write((1, 2), QUORUM, live(7, 10), Outcome::Unknown)
            .read((3, 4), QUORUM, seen);
        assert_eq!(unknown.broken(), []);
    }
}

#[test]
fn a_read_that_goes_back_is_caught_also_between_clients() {
    let back = |second| {
        story()
            .write((1, 2), QUORUM, live(7, 10), Outcome::Unknown)
            .read((3, 4), QUORUM, Seen::Value(7))
            .read((5, 6), QUORUM, second)
    };
    assert_eq!(back(Seen::Nothing).broken(), [Promise::MonotonicReads]);
    assert_eq!(back(Seen::Value(7)).broken(), []);
    let overlapping = story()
        .write((1, 2), QUORUM, live(7, 10), Outcome::Unknown)
        .read((3, 6), QUORUM, Seen::Value(7))
        .read((5, 7), QUORUM, Seen::Nothing);
    assert_eq!(overlapping.broken(), [], "the first had not ended");
}

#[test]
fn nothing_means_the_least_deletion_that_is_possible() {
    // The first read shows that the deletion has won, though its outcome is unknown.
    let risen = story()
        .acknowledged((1, 2), QUORUM, live(7, 10))
        .write((1, 2), QUORUM, dead(11), Outcome::Unknown)
        .read((3, 4), QUORUM, Seen::Nothing)
        .read((5, 6), QUORUM, Seen::Value(7));
    assert_eq!(risen.broken(), [Promise::MonotonicReads]);
    // A newer value may follow the lesser of two deletions.
    let newer = story()
        .write((1, 2), QUORUM, dead(11), Outcome::Unknown)
        .write((1, 2), QUORUM, dead(20), Outcome::Unknown)
        .write((1, 2), QUORUM, live(8, 15), Outcome::Unknown)
        .acknowledged((1, 2), QUORUM, live(7, 10))
        .read((3, 4), QUORUM, Seen::Nothing)
        .read((5, 6), QUORUM, Seen::Value(8));
    assert_eq!(newer.broken(), []);
}

#[test]
fn equal_timestamps_go_by_the_law() {
    let smaller = story()
        .acknowledged((1, 2), QUORUM, live(7, 10))
        .acknowledged((1, 2), QUORUM, live(8, 10))
        .read((3, 4), QUORUM, Seen::Value(7));
    assert_eq!(smaller.broken(), [Promise::NoLostWrite]);
    let deleted = story()
        .acknowledged((1, 2), QUORUM, live(9, 10))
        .acknowledged((1, 2), QUORUM, dead(10))
        .read((3, 4), QUORUM, Seen::Nothing);
    assert_eq!(deleted.broken(), []);
}

#[test]
fn inventions_are_caught() {
    let nobody = story().read((1, 2), ONE, Seen::Value(7));
    assert_eq!(nobody.broken(), [Promise::NoInvention]);
    let early = story()
        .acknowledged((3, 4), QUORUM, live(7, 10))
        .read((1, 2), ONE, Seen::Value(7));
    assert_eq!(early.broken(), [Promise::NoInvention]);
    let refused =
        story()
            .write((1, 2), QUORUM, live(7, 10), Outcome::Refused)
            .read((3, 4), ONE, Seen::Value(7));
    assert_eq!(refused.broken(), [Promise::NoInvention]);
    let by_refused = story()
        .acknowledged((1, 2), QUORUM, live(7, 10))
        .write((1, 2), QUORUM, dead(11), Outcome::Refused)
        .read((3, 4), QUORUM, Seen::Nothing);
    assert_eq!(by_refused.broken(), [Promise::NoLostWrite]);
}

fn key(byte: u8) -> DecoratedKey {
    DecoratedKey {
        token: Token(i64::from(byte)),
        key: Bytes::copy_from_slice(&[byte]),
    }
}

fn partition(value: u8, timestamp: i64) -> Partition {
    let mut row = Row::default();
    row.add(ModelCell {
        column: ColumnId(1),
        path: None,
        timestamp: Timestamp(timestamp),
        value: CellValue::Live {
            value: Bytes::copy_from_slice(&[value]),
            expiry: None,
        },
    });
    let mut partition = Partition::default();
    partition.add_row(Clustering::EMPTY, row);
    partition
}

fn page(value: u8, timestamp: i64) -> PartitionPage {
    PartitionPage {
        key: key(1),
        partition: partition(value, timestamp),
        cut: None,
    }
}

#[test]
fn replicas_that_differ_are_caught() {
    let (a, b, c) = (NodeId(1), NodeId(2), NodeId(3));
    let compare = |dumps: convergence::Dumps| convergence::check("t", &dumps, |_| vec![a, b]).len();
    let equal = BTreeMap::from([(a, vec![page(1, 1)]), (b, vec![page(1, 1)])]);
    assert_eq!(compare(equal), 0);
    let stale = BTreeMap::from([(a, vec![page(1, 1)]), (b, vec![page(2, 2)])]);
    assert_eq!(compare(stale), 1);
    let missing = BTreeMap::from([(a, vec![]), (b, vec![page(1, 1)])]);
    assert_eq!(compare(missing), 1);
    let elsewhere = BTreeMap::from([
        (a, vec![page(1, 1)]),
        (b, vec![page(1, 1)]),
        (c, vec![page(9, 9)]),
    ]);
    assert_eq!(compare(elsewhere), 0, "who is no replica does not count");
}

#[test]
fn what_is_kept_by_who_is_no_replica_is_caught() {
    let (own, other) = (NodeId(1), NodeId(2));
    let kept = |dumps: convergence::Dumps| {
        let found = forgetting::check("t", &dumps, |_| vec![own]);
        found.into_iter().map(|found| found.text).collect::<Vec<_>>()
    };
    let deleted = Partition {
        deletion: Some(Deletion {
            timestamp: Timestamp(5),
            at: Seconds(5),
        }),
        ..Partition::default()
    };
    let page_of = |partition: Partition| PartitionPage {
        partition,
        ..page(1, 1)
    };
    assert!(kept(BTreeMap::from([(own, vec![page(1, 1)]), (other, vec![])])).is_empty());
    let nothing = page_of(Partition::default());
    assert!(kept(BTreeMap::from([(other, vec![nothing])])).is_empty());
    // A partition that was cut, and a deletion, which is something too.
    for pages in [vec![page(1, 1), page(2, 2)], vec![page_of(deleted)]] {
        let found = kept(BTreeMap::from([(own, vec![page(1, 1)]), (other, pages)]));
        assert!(matches!(&found[..], [text] if text.starts_with(&format!("{other} keeps 1 partitions"))));
    }
}

#[test]
fn a_batch_that_is_there_in_part_is_caught_where_it_must_be_whole() {
    let other = Cell { partition: 2, ..CELL };
    let mut story = story().write((10, 11), QUORUM, live(1, 1), Outcome::Unknown);
    let batch = &mut story.history.writes[0];
    batch.logged = true;
    batch.effects.push((other, live(2, 1)));
    let mut story = story.read((60, 61), ALL, Seen::Value(1));
    story.history.factors = Factors::simple(3);
    story.history.reads[0].seen.push((other, Seen::Nothing));
    let broken = |history: &History| atomicity::check(history).len();

    // Hints may have been too old to be delivered.
    assert_eq!(broken(&story.history), 0);
    let orphaned = History {
        orphans: vec![(at(5), at(15))],
        ..story.history.clone()
    };
    assert_eq!(broken(&orphaned), 1);
    let earlier = History {
        orphans: vec![(at(1), at(5))],
        ..story.history.clone()
    };
    assert_eq!(broken(&earlier), 0);
    let rotten = History {
        rot: 1,
        ..orphaned.clone()
    };
    assert_eq!(broken(&rotten), 0);
    let settled = History {
        settled: Some(at(40)),
        ..story.history.clone()
    };
    assert_eq!(broken(&settled), 1);
    // Those who kept it have not carried it out yet.
    let mut soon = orphaned;
    soon.reads[0].invoked = at(20);
    assert_eq!(broken(&soon), 0);
    let mut nothing = settled;
    nothing.reads[0].seen[0].1 = Seen::Nothing;
    assert_eq!(broken(&nothing), 0);
}

//! Deletions of clustering ranges.

use std::cmp::Ordering;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    key::{ClusteringRange, compare_ends},
    time::{Deletion, Seconds},
};

/// A deletion of all rows in a clustering range.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RangeTombstone {
    /// What is deleted; never empty.
    pub range: ClusteringRange,
    /// How far back.
    pub deletion: Deletion,
}

/// The range tombstones of a partition, in canonical form: ordered, disjoint, and where two of equal
/// deletion touch they are one. So two replicas with the same deletions hold the same list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RangeTombstones(Vec<RangeTombstone>);

impl RangeTombstones {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// In clustering order.
    pub fn iter(&self) -> std::slice::Iter<'_, RangeTombstone> {
        self.0.iter()
    }

    /// The deletion that covers a row, if any.
    pub fn covering(&self, clustering: &[u8]) -> Option<Deletion> {
        let after = self
            .0
            .partition_point(|tombstone| tombstone.range.start[..] <= *clustering);
        let candidate = self.0.get(after.checked_sub(1)?)?;
        candidate.range.contains(clustering).then_some(candidate.deletion)
    }

    /// Adds a tombstone; where it overlaps others the stronger deletion stays.
    ///
    /// Costs in proportion to the tombstones it overlaps, plus moving the tail of the list.
    pub fn add(&mut self, tombstone: RangeTombstone) {
        if tombstone.range.is_empty() {
            return;
        }
        let new = &tombstone.range;
        // Those that overlap or touch the new one: [first, last).
        let first = self
            .0
            .partition_point(|old| old.range.end.as_ref().is_some_and(|end| *end < new.start));
        let last = first
            + self.0[first..]
                .partition_point(|old| new.end.as_ref().is_none_or(|end| old.range.start <= *end));
        let old: Vec<RangeTombstone> = self.0.drain(first..last).collect();
        let mut pieces = Vec::with_capacity(old.len() * 2 + 1);
        // Where the new one has not been laid down yet.
        let mut rest = Some(tombstone.range.clone());
        for piece in old {
            let Some(open) = rest.take() else {
                pieces.push(piece);
                continue;
            };
            rest = lay(&mut pieces, piece, open, tombstone.deletion);
        }
        if let Some(range) = rest {
            push(
                &mut pieces,
                RangeTombstone {
                    range,
                    deletion: tombstone.deletion,
                },
            );
        }
        let mut joined = Vec::with_capacity(pieces.len());
        for piece in pieces {
            push(&mut joined, piece);
        }
        self.0.splice(first..first, joined);
    }

    /// Appends a tombstone that is canonical after those that are there. If it isn't, nothing changes and
    /// the answer is `false`. Costs nothing but the check; for decoding.
    #[must_use]
    pub fn append(&mut self, tombstone: RangeTombstone) -> bool {
        let follows = match self.0.last() {
            None => true,
            Some(last) => last.range.end.as_ref().is_some_and(|end| {
                *end < tombstone.range.start
                    || (*end == tombstone.range.start && last.deletion != tombstone.deletion)
            }),
        };
        let fits = follows && !tombstone.range.is_empty();
        if fits {
            self.0.push(tombstone);
        }
        fits
    }

    /// The parts of these tombstones that are stronger than what `other` has in their place.
    #[must_use]
    pub fn stronger_than(&self, other: &Self) -> Self {
        let mut stronger = Self::default();
        for tombstone in &self.0 {
            let RangeTombstone { range, deletion } = tombstone;
            let first = other
                .0
                .partition_point(|it| it.range.end.as_ref().is_some_and(|end| *end <= range.start));
            let overlapping = other.0[first..]
                .iter()
                .take_while(|it| range.end.as_ref().is_none_or(|end| it.range.start < *end))
                .filter(|it| it.deletion >= *deletion);
            // Where the part that is not yet known to be weaker starts; `None`: past the end.
            let mut start = Some(range.start.clone());
            for theirs in overlapping {
                let Some(from) = start.take() else { break };
                let before = ClusteringRange {
                    start: from,
                    end: Some(theirs.range.start.clone()),
                };
                push(
                    &mut stronger.0,
                    RangeTombstone {
                        range: before,
                        deletion: *deletion,
                    },
                );
                start.clone_from(&theirs.range.end);
            }
            if let Some(start) = start {
                let rest = ClusteringRange {
                    start,
                    end: range.end.clone(),
                };
                push(
                    &mut stronger.0,
                    RangeTombstone {
                        range: rest,
                        deletion: *deletion,
                    },
                );
            }
        }
        stronger
    }

    /// Merges another list into this one; where they overlap the stronger deletion stays.
    ///
    /// Costs in proportion to the other list, and to what of this one lies from its start on: both are passed once.
    pub fn merge(&mut self, other: Self) {
        let Some(first) = other.0.first().filter(|_| other.0.len() > 1) else {
            // One is cheaper to lay over what it overlaps.
            return other.0.into_iter().for_each(|tombstone| self.add(tombstone));
        };
        // What ends before is not touched.
        let from = self
            .0
            .partition_point(|own| own.range.end.as_ref().is_some_and(|end| *end < first.range.start));
        let mut ours = self.0.split_off(from).into_iter();
        let mut theirs = other.0.into_iter();
        self.0.reserve(ours.len() + theirs.len());
        let (mut own, mut their) = (ours.next(), theirs.next());
        while let (Some(a), Some(b)) = (&mut own, &mut their) {
            let order = a.range.start.cmp(&b.range.start);
            // One alone up to where the other begins, or both while they last.
            let (end, deletion) = match order {
                Ordering::Less => (earlier(a.range.end.as_ref(), Some(&b.range.start)), a.deletion),
                Ordering::Greater => (earlier(b.range.end.as_ref(), Some(&a.range.start)), b.deletion),
                Ordering::Equal => (
                    earlier(a.range.end.as_ref(), b.range.end.as_ref()),
                    a.deletion.max(b.deletion),
                ),
            };
            let end = end.cloned();
            let start = if order.is_le() {
                &a.range.start
            } else {
                &b.range.start
            };
            let range = ClusteringRange {
                start: start.clone(),
                end: end.clone(),
            };
            push(&mut self.0, RangeTombstone { range, deletion });
            if order.is_le() && !goes_on(a, end.as_ref()) {
                own = ours.next();
            }
            if order.is_ge() && !goes_on(b, end.as_ref()) {
                their = theirs.next();
            }
        }
        let rest = own.into_iter().chain(ours).chain(their).chain(theirs);
        rest.for_each(|tombstone| push(&mut self.0, tombstone));
    }

    /// Removes what a deletion of the whole partition makes superfluous.
    pub fn cover(&mut self, deletion: Deletion) {
        self.0.retain(|tombstone| tombstone.deletion > deletion);
    }

    /// Takes out, in order, the tombstones that end before `start` without touching it: those that adding
    /// others which start there or later can't change any more. `None` takes all. For merging long
    /// lists piece by piece.
    pub fn take_before(&mut self, start: Option<&[u8]>) -> Vec<RangeTombstone> {
        let Some(start) = start else {
            return std::mem::take(&mut self.0);
        };
        let settled = self
            .0
            .partition_point(|tombstone| tombstone.range.end.as_ref().is_some_and(|end| end[..] < *start));
        self.0.drain(..settled).collect()
    }

    /// Removes tombstones made before `purge_before`.
    pub fn purge(&mut self, purge_before: Seconds) {
        self.0.retain(|tombstone| tombstone.deletion.at >= purge_before);
    }

    /// The parts that lie within `range`.
    #[must_use]
    pub fn clipped(&self, range: &ClusteringRange) -> Self {
        Self(
            self.0
                .iter()
                .map(|tombstone| RangeTombstone {
                    range: tombstone.range.intersect(range),
                    deletion: tombstone.deletion,
                })
                .filter(|tombstone| !tombstone.range.is_empty())
                .collect(),
        )
    }

    /// Rough size in memory, in bytes.
    pub fn weight(&self) -> usize {
        let bounds = |range: &ClusteringRange| range.start.len() + range.end.as_ref().map_or(0, Bytes::len);
        self.0
            .iter()
            .map(|tombstone| size_of::<RangeTombstone>() + bounds(&tombstone.range))
            .sum()
    }
}

/// Lays the part of `open` up to the end of `old` beside and over `old`; returns what is left of it.
fn lay(
    pieces: &mut Vec<RangeTombstone>,
    old: RangeTombstone,
    open: ClusteringRange,
    deletion: Deletion,
) -> Option<ClusteringRange> {
    let RangeTombstone {
        range: old_range,
        deletion: old_deletion,
    } = old;
    let cut = |range: &ClusteringRange, start, end| ClusteringRange {
        start: std::cmp::Ord::max(range.start.clone(), start),
        end: match (&range.end, end) {
            (Some(a), Some(b)) => Some(a.clone().min(b)),
            (Some(a), None) => Some(a.clone()),
            (None, b) => b,
        },
    };
    // Before both, one of them alone.
    let from = open.start.clone();
    let before_old = cut(&open, from.clone(), Some(old_range.start.clone()));
    push(
        pieces,
        RangeTombstone {
            range: before_old,
            deletion,
        },
    );
    let before_new = cut(&old_range, old_range.start.clone(), Some(from));
    push(
        pieces,
        RangeTombstone {
            range: before_new,
            deletion: old_deletion,
        },
    );
    // Both.
    let both = open.intersect(&old_range);
    push(
        pieces,
        RangeTombstone {
            range: both,
            deletion: deletion.max(old_deletion),
        },
    );
    // After: at most one of them goes on.
    match compare_ends(open.end.as_ref(), old_range.end.as_ref()) {
        Ordering::Greater => {
            let start = old_range
                .end
                .map_or_else(|| open.start.clone(), |end| end.max(open.start.clone()));
            Some(ClusteringRange { start, end: open.end })
        }
        Ordering::Less => {
            let start = open
                .end
                .map_or_else(|| old_range.start.clone(), |end| end.max(old_range.start.clone()));
            push(
                pieces,
                RangeTombstone {
                    range: ClusteringRange {
                        start,
                        end: old_range.end,
                    },
                    deletion: old_deletion,
                },
            );
            None
        }
        Ordering::Equal => None,
    }
}

/// The end that comes first; `None` is the end of the partition.
fn earlier<'a>(a: Option<&'a Bytes>, b: Option<&'a Bytes>) -> Option<&'a Bytes> {
    if compare_ends(a, b).is_le() { a } else { b }
}

/// Leaves what of a tombstone lies from `start` on (`None`: the end of the partition): whether there is something.
fn goes_on(tombstone: &mut RangeTombstone, start: Option<&Bytes>) -> bool {
    let Some(start) = start else { return false };
    tombstone.range.start = start.clone();
    !tombstone.range.is_empty()
}

/// Appends a piece, if it is not empty, joining it to the last where they touch and are equal.
fn push(pieces: &mut Vec<RangeTombstone>, piece: RangeTombstone) {
    if piece.range.is_empty() {
        return;
    }
    if let Some(last) = pieces.last_mut()
        && last.deletion == piece.deletion
        && last.range.end.as_ref() == Some(&piece.range.start)
    {
        last.range.end = piece.range.end;
        return;
    }
    pieces.push(piece);
}

impl<'a> IntoIterator for &'a RangeTombstones {
    type Item = &'a RangeTombstone;
    type IntoIter = std::slice::Iter<'a, RangeTombstone>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<RangeTombstone> for RangeTombstones {
    fn from_iter<I: IntoIterator<Item = RangeTombstone>>(tombstones: I) -> Self {
        let mut all = Self::default();
        for tombstone in tombstones {
            all.add(tombstone);
        }
        all
    }
}

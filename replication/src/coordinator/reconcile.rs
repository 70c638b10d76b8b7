//! The pages of several replicas become one.
//!
//! A replica's page says nothing about what lies beyond its end. So the merged page ends where the first
//! of the replicas' pages ends, and within a partition where the first of them was cut. Were it to go
//! further, a row that is deleted on the replica that stopped early would come back, or a row that only
//! that replica has would be missing. Whatever is cut off here is read again with the next page, which is
//! what protects LIMIT from short reads.

use std::{cmp::Ordering, collections::BTreeMap};

use bytes::Bytes;
use starling_model::{
    Clustering, ClusteringRange, DecoratedKey, Limits, Mutation, Page, Partition, PartitionPage, Position,
    RangeTombstones, ReadCommand, Seconds, key::compare_ends,
};

/// Nothing may be purged.
pub(crate) const EVERYTHING: Seconds = Seconds(0);

/// What several pages of one command come to.
#[derive(Debug)]
pub(crate) struct Reconciled {
    /// The merged page.
    pub(crate) page: Page,
    /// For each of the pages, in their order: what its replica lacks.
    pub(crate) missing: Vec<Vec<Mutation>>,
}

/// Merges pages that replicas gave for the same command.
///
/// What was deleted or expired before `forgettable` may be purged. A replica that lacks nothing else, and has nothing
/// that such a deletion hides, lacks nothing: were it given back what it purged, a row that is read often would never be
/// forgotten.
pub(crate) fn reconcile(command: &ReadCommand, pages: Vec<Page>, forgettable: Seconds) -> Reconciled {
    let order = Direction(command.reversed);
    let ends: Vec<Option<Position>> = pages.iter().map(|page| page.next.clone()).collect();
    let bound = ends
        .iter()
        .flatten()
        .min_by(|a, b| order.positions(a, b))
        .cloned();
    let replicas = pages.len();
    let mut by_key: BTreeMap<DecoratedKey, Vec<Option<PartitionPage>>> = BTreeMap::new();
    for (at, page) in pages.into_iter().enumerate() {
        for part in page.partitions {
            let parts = by_key
                .entry(part.key.clone())
                .or_insert_with(|| vec![None; replicas]);
            parts[at] = Some(part);
        }
    }
    let mut merged = Merged::new(command, replicas, forgettable);
    let mut keys = by_key.into_iter().peekable();
    while let Some((key, parts)) = keys.next() {
        let reach = match &bound {
            Some(bound) if key > bound.key => break,
            Some(bound) if key == bound.key => bound.clustering.clone(),
            _ => None,
        };
        if !merged.add(key, parts, reach, &ends) {
            // Full with the very last partition: there is nothing to go on with.
            if bound.is_none() && keys.peek().is_none() {
                merged.next = merged.next.filter(|next| next.clustering.is_some());
            }
            return merged.finish();
        }
    }
    merged.next = merged.next_after(bound);
    merged.finish()
}

/// Rows of a partition in the order of the read.
#[derive(Clone, Copy)]
struct Direction(bool);

impl Direction {
    /// `a` comes before `b`.
    fn rows(self, a: &Clustering, b: &Clustering) -> Ordering {
        if self.0 { b.cmp(a) } else { a.cmp(b) }
    }

    /// How far within a partition; `None` is to its end.
    fn reach(self, a: Option<&Clustering>, b: Option<&Clustering>) -> Ordering {
        match (a, b) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => self.rows(a, b),
        }
    }

    fn positions(self, a: &Position, b: &Position) -> Ordering {
        a.key
            .cmp(&b.key)
            .then_with(|| self.reach(a.clustering.as_ref(), b.clustering.as_ref()))
    }

    fn shorter(self, a: Option<Clustering>, b: Option<Clustering>) -> Option<Clustering> {
        if self.reach(a.as_ref(), b.as_ref()).is_le() {
            a
        } else {
            b
        }
    }

    /// The rows up to and including `last`, in this direction.
    fn up_to(self, last: &Clustering) -> ClusteringRange {
        if self.0 {
            ClusteringRange {
                start: last.0.clone(),
                end: None,
            }
        } else {
            ClusteringRange {
                start: Bytes::new(),
                end: ClusteringRange::row(last).end,
            }
        }
    }
}

/// The merged page while it is made.
struct Merged<'a> {
    command: &'a ReadCommand,
    order: Direction,
    limits: Limits,
    /// What was deleted or expired before this may be purged.
    forgettable: Seconds,
    partitions: Vec<PartitionPage>,
    missing: Vec<Vec<Mutation>>,
    /// Live rows so far.
    rows: u32,
    next: Option<Position>,
}

impl<'a> Merged<'a> {
    fn new(command: &'a ReadCommand, replicas: usize, forgettable: Seconds) -> Self {
        Self {
            command,
            order: Direction(command.reversed),
            limits: command.limits,
            forgettable,
            partitions: Vec::new(),
            missing: vec![Vec::new(); replicas],
            rows: 0,
            next: None,
        }
    }

    /// Merges one partition, of which all replicas covered at most `reach`. Returns false if the page ends
    /// in it.
    fn add(
        &mut self,
        key: DecoratedKey,
        parts: Vec<Option<PartitionPage>>,
        reach: Option<Clustering>,
        ends: &[Option<Position>],
    ) -> bool {
        // Where PER PARTITION LIMIT cut a replica short, that replica covered no more than that.
        let reach = parts
            .iter()
            .flatten()
            .fold(reach, |reach, part| self.order.shorter(reach, part.cut.clone()));
        let ended_by_page = ends
            .iter()
            .flatten()
            .any(|end| end.key == key && end.clustering.is_some());
        let clipped: Vec<Partition> = parts
            .into_iter()
            .map(|part| {
                part.map_or_else(Partition::default, |part| {
                    self.clip(part.partition, reach.as_ref())
                })
            })
            .collect();
        let mut whole = Partition::default();
        for partition in &clipped {
            whole.merge(partition.clone());
        }
        let (now, before) = (self.command.now, self.forgettable);
        let without_purgeable = |partition: &Partition| {
            let mut left = partition.clone();
            left.purge(now, before);
            left
        };
        for (missing, partition) in self.missing.iter_mut().zip(&clipped) {
            let lacks = whole.missing_from(partition);
            if !lacks.is_empty() && without_purgeable(&whole) != without_purgeable(partition) {
                missing.push(Mutation {
                    table: self.command.table,
                    key: key.clone(),
                    partition: lacks,
                });
            }
        }
        self.push(key, whole, reach, ended_by_page)
    }

    /// Appends a merged partition, cut to the limits. Returns false if the page ends in it.
    fn push(
        &mut self,
        key: DecoratedKey,
        mut partition: Partition,
        reach: Option<Clustering>,
        ended_by_page: bool,
    ) -> bool {
        let now = self.command.now;
        let before = self.rows_before(&key);
        let room_in_partition = self.limits.rows_per_partition.saturating_sub(before);
        let room = room_in_partition.min(self.limits.rows - self.rows);
        let (live, last) = self.take(&partition, room);
        let mut rows = live;
        if live == 0 && partition.static_row.is_live(now) && before == 0 && reach.is_none() {
            rows = 1;
        }
        self.rows += rows;
        let returned = before + live;
        let partition_full = returned >= self.limits.rows_per_partition;
        let page_full = self.rows >= self.limits.rows;
        let mut cut = reach;
        if (partition_full || page_full)
            && let Some(last) = last
            && self.order.reach(Some(&last), cut.as_ref()).is_lt()
            && self.has_rows_after(&partition, &last)
        {
            partition = self.clip(partition, Some(&last));
            cut = Some(last);
        }
        let unfinished = cut.is_some() && !partition_full;
        let end = Position {
            key: key.clone(),
            clustering: if partition_full { None } else { cut.clone() },
            rows: returned,
        };
        let nothing = partition.is_empty();
        if !nothing {
            self.partitions.push(PartitionPage { key, partition, cut });
        }
        // A partition that some replica cut short, and that turns out not to be full, has to be read on
        // before the partitions that follow.
        if unfinished || ended_by_page || page_full {
            self.next = Some(end);
            return false;
        }
        true
    }

    /// How many live rows of the partition earlier pages returned.
    fn rows_before(&self, key: &DecoratedKey) -> u32 {
        self.command
            .after
            .as_ref()
            .filter(|after| after.key == *key)
            .map_or(0, |after| after.rows)
    }

    /// The first `room` live rows: how many there are, and the last of them.
    fn take(&self, partition: &Partition, room: u32) -> (u32, Option<Clustering>) {
        let mut live = 0;
        let mut last = None;
        let mut visit = |(clustering, row): (&Clustering, &starling_model::Row)| {
            if live < room && row.is_live(self.command.now) {
                live += 1;
                last = Some(clustering.clone());
            }
        };
        if self.command.reversed {
            partition.rows.iter().rev().for_each(&mut visit);
        } else {
            partition.rows.iter().for_each(&mut visit);
        }
        (live, last)
    }

    fn has_rows_after(&self, partition: &Partition, last: &Clustering) -> bool {
        let furthest = if self.command.reversed {
            partition.rows.first_key_value()
        } else {
            partition.rows.last_key_value()
        };
        furthest.is_some_and(|(clustering, _)| self.order.rows(last, clustering).is_lt())
    }

    /// What lies up to `reach`: rows and range tombstones; the deletion and the static row stay.
    fn clip(&self, mut partition: Partition, reach: Option<&Clustering>) -> Partition {
        let Some(last) = reach else { return partition };
        let covered = self.order.up_to(last);
        partition
            .rows
            .retain(|clustering, _| covered.contains(&clustering.0));
        if partition
            .ranges
            .iter()
            .any(|tombstone| !within(&tombstone.range, &covered))
        {
            let clipped: RangeTombstones = partition.ranges.clipped(&covered);
            partition.ranges = clipped;
        }
        partition
    }

    /// Where the page ends if its partitions did not end it: where the replicas' pages did.
    fn next_after(&self, bound: Option<Position>) -> Option<Position> {
        bound.map(|mut bound| {
            // Nothing of that partition was returned with this page, or it would have ended it.
            bound.rows = if bound.clustering.is_some() {
                self.rows_before(&bound.key)
            } else {
                bound.rows
            };
            bound
        })
    }

    fn finish(self) -> Reconciled {
        Reconciled {
            page: Page {
                partitions: self.partitions,
                next: self.next,
            },
            missing: self.missing,
        }
    }
}

fn within(inner: &ClusteringRange, outer: &ClusteringRange) -> bool {
    inner.start >= outer.start && compare_ends(inner.end.as_ref(), outer.end.as_ref()).is_le()
}

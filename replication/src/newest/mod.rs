//! What a replica remembers of the newest timestamps it has taken, so that it can tell a coordinator
//! whose clock is behind.
//!
//! Contract:
//! 1. [`Newest::note`] returns a timestamp that is at least as great as that of everything that was noted
//!    before (and had returned by then) in the same rows of the same partition, deletions of the partition or of
//!    ranges of it included.
//! 2. It may return a greater one: places share slots. That costs a coordinator a second round, and
//!    nothing else.
//! 3. A table that begins with a floor answers at least the floor everywhere, so that what was noted before
//!    a restart is respected although it was forgotten.
//!
//! Three kinds of places are noted: a row; *anything* in a partition, for what deletes all of it or a range of
//! it; and what was done to *all* of a partition, for whoever writes one of its rows.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicI64, Ordering};

use starling_model::{Mutation, Timestamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// So many slots of 8 bytes: half a MiB for each node. With `c` writes a second that overlap in time by `t`
/// seconds, about `3 c t / SLOTS` of them meet in a slot although their rows differ.
const SLOTS: usize = 1 << 16;

const ANYTHING: u64 = 1;
const ALL: u64 = 2;
const STATIC: u64 = 3;
const ROW: u64 = 4;

/// The newest timestamps that were noted, by place.
#[derive(Debug)]
pub(crate) struct Newest {
    slots: Box<[AtomicI64]>,
    floor: AtomicI64,
}

impl Newest {
    /// An empty table; everything counts as written at `floor` at least.
    pub(crate) fn new(floor: Timestamp) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| AtomicI64::new(i64::MIN)).collect(),
            floor: AtomicI64::new(floor.0),
        }
    }

    /// From now on everything counts as written at `floor` at least: data came in that was not noted.
    pub(crate) fn raise(&self, floor: Timestamp) {
        self.floor.fetch_max(floor.0, Ordering::AcqRel);
    }

    /// Notes a write; returns the newest timestamp that may have been in its places before.
    pub(crate) fn note(&self, mutation: &Mutation) -> Timestamp {
        let floor = self.floor.load(Ordering::Acquire);
        let Some(newest) = mutation.partition.newest() else {
            return Timestamp(floor);
        };
        let places = Places::of(mutation);
        // All are looked at before any is changed: a write does not meet itself.
        let before = places.read().map(|slot| self.slots[slot].load(Ordering::Acquire));
        let before = before.max().unwrap_or(i64::MIN).max(floor);
        for slot in places.written() {
            self.slots[slot].fetch_max(newest.0, Ordering::AcqRel);
        }
        Timestamp(before)
    }
}

/// The slots of a write.
struct Places<'a> {
    mutation: &'a Mutation,
    partition: u64,
    /// It deletes more than single rows.
    is_wide: bool,
}

impl<'a> Places<'a> {
    fn of(mutation: &'a Mutation) -> Self {
        let table = mutation.table.0;
        let seed = (table as u64) ^ ((table >> 64) as u64);
        Self {
            partition: xxh3_64_with_seed(&mutation.key.key, seed),
            is_wide: mutation.partition.deletion.is_some() || !mutation.partition.ranges.is_empty(),
            mutation,
        }
    }

    fn slot(&self, kind: u64, clustering: &[u8]) -> usize {
        (xxh3_64_with_seed(clustering, self.partition ^ kind) % SLOTS as u64) as usize
    }

    fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        let partition = &self.mutation.partition;
        let fixed = (!partition.static_row.is_empty()).then(|| self.slot(STATIC, &[]));
        let rows = partition
            .rows
            .keys()
            .map(|clustering| self.slot(ROW, &clustering.0));
        rows.chain(fixed)
    }

    /// Where what it may meet was noted.
    fn read(&self) -> impl Iterator<Item = usize> + '_ {
        let shared = if self.is_wide { ANYTHING } else { ALL };
        self.rows().chain([self.slot(shared, &[])])
    }

    /// Where it is noted.
    fn written(&self) -> impl Iterator<Item = usize> + '_ {
        let all = self.is_wide.then(|| self.slot(ALL, &[]));
        self.rows().chain([self.slot(ANYTHING, &[])]).chain(all)
    }
}

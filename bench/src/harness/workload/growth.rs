//! The records that there are, while new ones are made.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Counts the records. Those that are known to exist have numbers without gaps, so that `latest` never reads one
/// whose insert is still under way.
///
/// Several processes share the numbers: of `processes` processes, number p makes the records p, p + processes, ...
/// after those that were loaded.
#[derive(Debug)]
pub struct Growth {
    loaded: u64,
    process: u64,
    processes: u64,
    made: AtomicU64,
    known: AtomicU64,
    /// Acknowledged, but after some that are not.
    early: Mutex<BTreeSet<u64>>,
}

/// An insert that failed leaves a gap. After so many later ones it is given up: the gap counts as a record.
const MAX_EARLY: usize = 100_000;

impl Growth {
    /// After `loaded` records, for process `process` of `processes`.
    pub fn new(loaded: u64, process: u64, processes: u64) -> Self {
        Self {
            loaded,
            process,
            processes: processes.max(1),
            made: AtomicU64::new(0),
            known: AtomicU64::new(0),
            early: Mutex::new(BTreeSet::new()),
        }
    }

    /// The records that were loaded before the run: numbers below this exist.
    pub fn loaded(&self) -> u64 {
        self.loaded
    }

    /// How many processes share the records, at least 1.
    pub fn processes(&self) -> u64 {
        self.processes
    }

    /// The number of a new record.
    pub fn next(&self) -> u64 {
        self.record_of(self.made.fetch_add(1, Ordering::Relaxed))
    }

    /// How many records are known to exist: the loaded ones, and this process's inserts without gaps.
    pub fn known(&self) -> u64 {
        self.loaded + self.known.load(Ordering::Relaxed)
    }

    /// The record at a place of those that are known, oldest first.
    pub fn record_at(&self, place: u64) -> u64 {
        if place < self.loaded {
            place
        } else {
            self.record_of(place - self.loaded)
        }
    }

    /// An operation on a record succeeded. Of loaded records nothing changes.
    pub fn acknowledge(&self, record: u64) {
        if record < self.loaded {
            return;
        }
        let insert = (record - self.loaded) / self.processes;
        if insert < self.known.load(Ordering::Relaxed) {
            return;
        }
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        early.insert(insert);
        if early.len() > MAX_EARLY
            && let Some(&first) = early.first()
        {
            self.known.store(first, Ordering::Relaxed);
        }
        let mut known = self.known.load(Ordering::Relaxed);
        while early.remove(&known) {
            known += 1;
        }
        self.known.store(known, Ordering::Relaxed);
    }

    fn record_of(&self, insert: u64) -> u64 {
        self.loaded + insert * self.processes + self.process
    }
}

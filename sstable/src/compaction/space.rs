//! The disk space that a merge may take: checked before it starts.
//!
//! A merge writes at most what it reads, and its inputs go only when its outputs are installed. So the most
//! that an engine ever has on disk is: its live tables, what the running merges read, the memtables' flushes,
//! and the log. A merge that would not leave room for the flushes is made smaller, or waits: flushes free the
//! log and come first, and a merge of a few small tables frees space where one of many large ones can't run.
//!
//! Engines that share a disk share one account of what they have [promised](Promises), so that no two of them count on the
//! same bytes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    candidate::{Candidate, Pick},
    unified::{self, Sizes},
};

/// The room that merges have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that are free on the disk.
    pub free: u64,
    /// Bytes that must stay free: for flushes and the log.
    pub reserve: u64,
    /// Bytes that others may still write, on the same disk.
    pub promised: u64,
}

/// What all that is under way on one disk may write: compactions, cleanups and exports, of all engines there.
#[derive(Debug, Default)]
pub struct Promises(AtomicU64);

/// Bytes that may be written; given back when it is dropped.
#[derive(Debug)]
pub struct Promise {
    of: Arc<Promises>,
    bytes: u64,
}

impl Promises {
    /// All that is promised, in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Promises some bytes, if they fit into what is free on the disk now beside the reserve and all that is promised by
    /// then, whatever `room` says of that.
    pub(crate) fn promise(self: &Arc<Self>, bytes: u64, room: Room) -> Option<Promise> {
        let limit = room.free.saturating_sub(room.reserve);
        let more = |promised: u64| {
            let all = promised.checked_add(bytes)?;
            (bytes == 0 || all <= limit).then_some(all)
        };
        let promised = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        promised.ok().map(|_| Promise {
            of: Arc::clone(self),
            bytes,
        })
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Room {
    /// What a new merge may write, in bytes.
    pub fn left(&self) -> u64 {
        self.free
            .saturating_sub(self.reserve)
            .saturating_sub(self.promised)
    }
}

/// The first of some merges that fits, or else the first that fits with only its smallest tables, of which two overlap.
/// `None`: none fits.
pub fn fitting(picks: Vec<Pick>, tables: &[Candidate], sizes: Sizes, room: Room) -> Option<Pick> {
    let left = room.left();
    if let Some(at) = picks.iter().position(|pick| pick.bytes <= left) {
        return picks.into_iter().nth(at);
    }
    picks.into_iter().find_map(|pick| {
        let mut inputs: Vec<Candidate> = tables
            .iter()
            .filter(|table| pick.files.contains(&table.number))
            .copied()
            .collect();
        inputs.sort_by_key(|table| (table.bytes, table.number));
        let mut bytes = 0_u64;
        inputs.retain(|table| {
            bytes = bytes.saturating_add(table.bytes);
            bytes <= left
        });
        // Of tables that lie side by side it would make the same ones again.
        unified::merge_overlapping(&inputs, sizes)
    })
}

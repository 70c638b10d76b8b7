//! The disk space that a merge may take: checked before it starts.
//!
//! A merge writes at most what it reads, and its inputs go only when its outputs are installed. So the most
//! that an engine ever has on disk is: its live tables, what the running merges read, the memtables' flushes,
//! and the log. A merge that would not leave room for the flushes is made smaller, or waits: flushes free the
//! log and come first, and a merge of a few small tables frees space where one of many large ones can't run.

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
    /// Bytes that running merges may still write.
    pub promised: u64,
}

impl Room {
    /// What a new merge may write, in bytes.
    pub fn left(&self) -> u64 {
        self.free
            .saturating_sub(self.reserve)
            .saturating_sub(self.promised)
    }
}

/// The first of some merges that fits, or else the first that fits with only its smallest tables, at least two.
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
        if inputs.len() < 2 {
            return None;
        }
        unified::merge_of(inputs, sizes)
    })
}

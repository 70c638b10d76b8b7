//! How old what is restored counts to be, for purging.
//!
//! A deletion in a snapshot is often older than `gc_grace_seconds`. Written as it was, the next compaction could forget it, and
//! what it covers could come after it, from another file or another node's snapshot, and be seen again. So it is written as one
//! that is made when it is restored: the timestamp, by which it covers, stays, and its age is counted from the present second. Then it is
//! kept as long as any new one, on all replicas: for `gc_grace_seconds`, and until they were found equal so long afterwards that no
//! older write can be on its way (`replication/src/anti_entropy/ALGORITHM.md`, "Purging"). A value that has expired covers older ones of
//! its cell, and is kept in the same way.
//!
//! What holds: nothing that a restore writes is forgotten within `gc_grace_seconds` of it (expired values: ten minutes less). So
//! whatever is restored within that time, less what a hint may be under way (`--hint-window-s`), from however many files and nodes,
//! broken off and begun anew or not, has the outcome of having been written at once. Where the same deletion comes twice, the
//! merge law keeps the later age. Of a table with a short grace people [are told](short_grace).
//!
//! Dismissed: no purging while a restore is under way (every node would have to know that one is, also while it is broken off, or
//! the next node's snapshot is still being copied); deletions after all data (what was deleted would be seen meanwhile, and
//! each node's snapshot has deletions of its own).

use starling_model::{CellValue, Deletion, Expiry, Row, Seconds};

/// A value that has expired is not written as one that did so less than this ago, in seconds: no clock of the cluster may
/// take it for alive.
const EXPIRED_AGO: u32 = 600;

/// A table that keeps deletions for less, in seconds, is worth a word: snapshots are copied and restored one after the other.
const SHORT_GRACE: u32 = 86_400;

/// What is to be told of a table that keeps deletions for `grace` seconds, if that is short.
pub(super) fn short_grace(name: &str, grace: u32) -> Option<String> {
    (grace < SHORT_GRACE).then(|| {
        format!(
            "table {name} keeps deletions for {grace} s only (gc_grace_seconds), restored ones too: raise it until the \
             snapshots of all nodes are restored, or what they delete may be seen again"
        )
    })
}

/// Has what is deleted, or has expired, count as so at the present second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Age {
    now: Seconds,
}

impl Age {
    pub(super) fn at(now: Seconds) -> Self {
        Self { now }
    }

    pub(super) fn deletion(self, deletion: Deletion) -> Deletion {
        Deletion {
            at: deletion.at.max(self.now),
            ..deletion
        }
    }

    pub(super) fn row(self, mut row: Row) -> Row {
        row.deletion = row.deletion.map(|deletion| self.deletion(deletion));
        if let Some(marker) = &mut row.marker {
            self.expiry(&mut marker.expiry);
        }
        for cell in &mut row.cells {
            match &mut cell.value {
                CellValue::Tombstone(at) => *at = (*at).max(self.now),
                CellValue::Live { expiry, .. } => self.expiry(expiry),
            }
        }
        row
    }

    fn expiry(self, expiry: &mut Option<Expiry>) {
        let dead = Seconds(self.now.0.saturating_sub(EXPIRED_AGO));
        if let Some(expiry) = expiry {
            // What lives on, or has died just now, keeps its end.
            expiry.at = expiry.at.max(dead);
        }
    }
}

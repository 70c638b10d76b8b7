//! What a loss of power leaves.

use std::collections::BTreeSet;

use super::{FileId, State};

impl State {
    /// Loses what was not synced, ends all handles, and gives the disk its power back.
    pub(super) fn crash(&mut self) {
        self.epoch += 1;
        self.dead = false;
        self.failing_syncs = 0;
        self.counts.undone_names += self.names.crash(&mut self.random);
        self.forget_unnamed();
        for file in self.files.values_mut() {
            self.counts.lost_appends += file.crash(&mut self.random);
        }
    }

    /// Frees files that have no name and can't get one back.
    pub(super) fn forget_unnamed(&mut self) {
        let named: BTreeSet<FileId> = self.names.reachable().collect();
        self.files.retain(|id| named.contains(&id));
    }
}

//! Removing what nobody needs any more: files, and memtables that were flushed.

use std::{path::PathBuf, sync::Arc};

use crate::{fs::Fs, memtable::Memtable};

/// What is to be removed. No manifest names the files.
pub(super) struct Remove {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) files: Vec<PathBuf>,
    /// Freed here, because there are very many pieces of memory, and the engine's thread has better things to do.
    pub(super) memtables: Vec<Arc<Memtable>>,
}

impl Remove {
    /// Removes one thing; `true` once all are gone. What can't be removed now is removed at the next open.
    pub(super) fn step(&mut self) -> bool {
        if self.memtables.pop().is_none()
            && let Some(file) = self.files.pop()
            && let Err(error) = self.fs.remove(&file)
        {
            tracing::warn!(file = %file.display(), %error, "cannot remove a file that is not used any more");
        }
        self.files.is_empty() && self.memtables.is_empty()
    }

    /// How many files are left.
    pub(super) fn left(&self) -> usize {
        self.files.len()
    }
}

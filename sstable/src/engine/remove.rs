//! Removing files that nobody needs any more.

use std::{path::PathBuf, sync::Arc};

use crate::fs::Fs;

/// Files to be removed. No manifest names them.
pub(super) struct Remove {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) files: Vec<PathBuf>,
}

impl Remove {
    /// Removes one file; `true` once all are gone. What can't be removed now is removed at the next open.
    pub(super) fn step(&mut self) -> bool {
        if let Some(file) = self.files.pop()
            && let Err(error) = self.fs.remove(&file)
        {
            tracing::warn!(file = %file.display(), %error, "cannot remove a file that is not used any more");
        }
        self.files.is_empty()
    }

    /// How many files are left.
    pub(super) fn left(&self) -> usize {
        self.files.len()
    }
}

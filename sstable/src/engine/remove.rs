//! Removing what nobody needs any more: files, tables that were replaced, and memtables that were flushed.

use std::{path::PathBuf, sync::Arc};

use crate::{fs::Fs, memtable::Memtable, table::Table};

/// What is to be removed, once no manifest needs it.
#[derive(Default)]
pub(super) struct Leftovers {
    pub(super) files: Vec<PathBuf>,
    /// Their maps go here and not where the last version that named them goes, which is the engine's thread: to unmap
    /// hundreds of megabytes takes as many milliseconds.
    pub(super) tables: Vec<Arc<Table>>,
    /// Likewise, because there are very many pieces of memory.
    pub(super) memtables: Vec<Arc<Memtable>>,
}

impl Leftovers {
    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.tables.is_empty() && self.memtables.is_empty()
    }

    /// Takes what can be removed now, if there is any. Files stay while they may still be linked, and tables while others
    /// read them.
    pub(super) fn take(&mut self, may_remove_files: bool) -> Option<Self> {
        let files = if may_remove_files {
            std::mem::take(&mut self.files)
        } else {
            Vec::new()
        };
        let is_unread = |table: &mut Arc<Table>| Arc::strong_count(table) == 1;
        let taken = Self {
            files,
            tables: self.tables.extract_if(.., is_unread).collect(),
            memtables: std::mem::take(&mut self.memtables),
        };
        Some(taken).filter(|taken| !taken.is_empty())
    }

    /// Adds more, or what was taken and not removed.
    pub(super) fn add(&mut self, left: Self) {
        self.files.extend(left.files);
        self.tables.extend(left.tables);
        self.memtables.extend(left.memtables);
    }
}

/// Removes leftovers.
pub(super) struct Remove {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) left: Leftovers,
}

impl Remove {
    /// Removes one thing; `true` once all are gone. What can't be removed now is removed at the next open.
    pub(super) fn step(&mut self) -> bool {
        let Leftovers {
            files,
            tables,
            memtables,
        } = &mut self.left;
        if memtables.pop().is_none()
            && tables.pop().is_none()
            && let Some(file) = files.pop()
            && let Err(error) = self.fs.remove(&file)
        {
            tracing::warn!(file = %file.display(), %error, "cannot remove a file that is not used any more");
        }
        self.left.is_empty()
    }

    /// How many files are left.
    pub(super) fn left(&self) -> usize {
        self.left.files.len()
    }
}

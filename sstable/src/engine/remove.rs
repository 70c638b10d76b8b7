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
///
/// Tables go in pieces. While the system unmaps, nothing else in the process is mapped or unmapped, the memory that requests
/// allocate neither; and the thread that removes may have a low priority, and take its time.
pub(super) struct Remove {
    fs: Arc<dyn Fs>,
    pub(super) left: Leftovers,
    step_bytes: u64,
    /// How much of the last one of the tables is unmapped.
    released: u64,
}

impl Remove {
    pub(super) fn new(fs: Arc<dyn Fs>, left: Leftovers, step_bytes: usize) -> Self {
        Self {
            fs,
            left,
            step_bytes: step_bytes.max(1) as u64,
            released: 0,
        }
    }

    /// Removes one thing, or a part of it; `true` once all are gone. What can't be removed now is removed at the next open.
    pub(super) fn step(&mut self) -> bool {
        if self.left.memtables.pop().is_none()
            && !self.release_some()
            && let Some(file) = self.left.files.pop()
            && let Err(error) = self.fs.remove(&file)
        {
            tracing::warn!(file = %file.display(), %error, "cannot remove a file that is not used any more");
        }
        self.left.is_empty()
    }

    /// Unmaps a piece of a table; `false` if there is none.
    fn release_some(&mut self) -> bool {
        let Some(table) = self.left.tables.last() else {
            return false;
        };
        let end = self.released + self.step_bytes;
        table.release(self.released..end);
        if end < table.bytes() {
            self.released = end;
        } else {
            self.left.tables.pop();
            self.released = 0;
        }
        true
    }

    /// How many files are left.
    pub(super) fn left(&self) -> usize {
        self.left.files.len()
    }
}

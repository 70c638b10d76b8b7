//! Who is told of every table that will not change any more: for incremental backups.

use std::path::Path;

use starling_model::{TableId, TokenRange};

use super::{Engine, install::Change, merges::Replaces};

/// Where a table came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was there when the announcements began.
    Before,
    /// A flush wrote it: its writes are in no other table yet.
    Flush,
    /// A compaction made it of others, and it holds nothing new.
    Compaction,
    /// It was taken in.
    Ingest,
}

/// A table that is installed: its file stays as it is until it is removed.
#[derive(Debug, Clone, Copy)]
pub struct Final<'a> {
    /// The table id.
    pub table: TableId,
    /// The file's number; no other file of the engine ever gets it.
    pub number: u64,
    /// The file.
    pub path: &'a Path,
    /// Its size, in bytes.
    pub bytes: u64,
    /// The tokens that it was made for.
    pub tokens: TokenRange,
    /// Where it came from.
    pub origin: Origin,
}

/// Is told of final tables. It runs in the engine's thread, so it should do no more than a hard link or a note.
pub type FinalHook = Box<dyn FnMut(Final<'_>) + Send>;

impl Engine {
    /// From now on `hook` is told of every table once it is installed, by a flush, a compaction or an ingest, and
    /// before it can be removed. It is told of all that are live first: after a restart it may so hear of a table
    /// for the second time, but misses none that is still there.
    pub fn on_final(&mut self, mut hook: FinalHook) {
        for (id, state) in &self.tables {
            for table in state.tables.live() {
                hook(Final {
                    table: *id,
                    number: table.number(),
                    path: table.path(),
                    bytes: table.bytes(),
                    tokens: state.tables.tokens(table.number()),
                    origin: Origin::Before,
                });
            }
        }
        self.hook = Some(hook);
    }

    pub(super) fn announce(&mut self, change: &Change) {
        let Some(hook) = &mut self.hook else { return };
        let table = change.table;
        let origin = match change.replaces {
            Replaces::Memtables(..) => Origin::Flush,
            Replaces::Nothing(_) => Origin::Ingest,
            Replaces::Files(_) | Replaces::Everything(_) => Origin::Compaction,
        };
        for output in &change.outputs {
            hook(Final {
                table,
                number: output.table.number(),
                path: output.table.path(),
                bytes: output.table.bytes(),
                tokens: output.tokens,
                origin,
            });
        }
    }
}

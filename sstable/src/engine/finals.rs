//! Who is told of every table that will not change any more: for incremental backups.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use starling_model::{TableId, TokenRange};

use super::{
    Engine,
    install::Change,
    merges::{Output, Replaces},
};

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

/// Is told of final tables. It runs in the job that installs them, where it may wait for the disk; installs, and a truncation, wait
/// for it.
pub type FinalHook = Box<dyn FnMut(Final<'_>) + Send>;

/// The hook, for whichever thread has an install job.
pub(super) type Hook = Arc<Mutex<FinalHook>>;

/// What the hook is to be told once some changes are durable.
pub(super) struct Announcements {
    hook: Hook,
    tables: Vec<(TableId, Origin, Output)>,
}

impl Engine {
    /// From now on `hook` is told of every table once it is durably installed, by a flush, a compaction or an ingest, and
    /// before it can be removed. It is told of all that are live first, at once: after a restart it may so hear of a table
    /// for the second time, but misses none that is still there. To be called before any job is handed out.
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
        self.hook = Some(Arc::new(Mutex::new(hook)));
    }

    /// What of some changes the hook is to be told; `None`: there is none.
    pub(super) fn announcements(&self, changes: &[Change]) -> Option<Announcements> {
        let hook = Arc::clone(self.hook.as_ref()?);
        let tables = changes.iter().flat_map(|change| {
            let origin = match change.replaces {
                Replaces::Memtables(..) => Origin::Flush,
                Replaces::Nothing(_) => Origin::Ingest,
                Replaces::Files(_) | Replaces::Everything(_) => Origin::Compaction,
            };
            let outputs = change.outputs.iter().cloned();
            outputs.map(move |output| (change.table, origin, output))
        });
        Some(Announcements {
            hook,
            tables: tables.collect(),
        })
    }
}

impl Announcements {
    /// Tells the hook.
    pub(super) fn make(&self) {
        // One that panicked has ended its job; what it was told before counts.
        let mut hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner);
        for (table, origin, output) in &self.tables {
            hook(Final {
                table: *table,
                number: output.table.number(),
                path: output.table.path(),
                bytes: output.table.bytes(),
                tokens: output.tokens,
                origin: *origin,
            });
        }
    }
}

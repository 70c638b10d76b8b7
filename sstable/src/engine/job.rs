//! Work that is done beside reads and writes: a flush or a compaction.

use std::{fmt, sync::Arc};

use starling_model::TableId;

use crate::{Error, compaction::worker::Worker, memtable::Memtable};

/// Work that [`Engine::next_job`](crate::Engine::next_job) hands out. Steps may run on any thread, while the
/// engine goes on; then the job goes back to [`Engine::finish`](crate::Engine::finish), complete or not. A
/// job that is dropped instead is not offered again until the engine is opened anew.
pub struct Job {
    pub(super) table: TableId,
    /// Which life of the table it belongs to; a truncation begins another.
    pub(super) epoch: u64,
    pub(super) kind: Kind,
    pub(super) worker: Worker,
}

/// What a job does.
pub(super) enum Kind {
    /// Writes out a memtable.
    Flush(Arc<Memtable>),
    /// Merges files into one.
    Compaction {
        files: Vec<u64>,
        /// Their bytes.
        bytes: u64,
    },
}

/// Whether a job is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    More,
    /// It is complete, and can be installed.
    Done,
}

impl Job {
    /// Does a bounded piece of the work: about [`Options::step_bytes`](crate::Options::step_bytes). After an
    /// error the job is to be given to `finish`, which gives it up; the work is offered again.
    pub fn step(&mut self) -> Result<Step, Error> {
        Ok(if self.worker.step()? {
            Step::Done
        } else {
            Step::More
        })
    }

    /// The table it works for.
    pub fn table(&self) -> TableId {
        self.table
    }

    /// Whether it is a flush, which frees memory and so goes before compactions.
    pub fn is_flush(&self) -> bool {
        matches!(self.kind, Kind::Flush(_))
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct(if self.is_flush() { "Flush" } else { "Compaction" });
        out.field("table", &self.table)
            .field("output", &self.worker.number());
        if let Kind::Compaction { files, .. } = &self.kind {
            out.field("files", files);
        }
        out.finish_non_exhaustive()
    }
}

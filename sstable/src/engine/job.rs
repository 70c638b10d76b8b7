//! Work that is done beside reads and writes, on other threads.

use std::{fmt, sync::Arc};

use starling_model::TableId;

use super::{
    discard::Survey, export::Exporting, ingest::Ingesting, install::Install, merges::Part, remove::Remove,
    scrub::Scrubbing, snapshot::Snapshotting,
};
use crate::{Error, log::Log};

/// Work that [`Engine::next_job`](crate::Engine::next_job) hands out. Steps may run on any thread, while the
/// engine goes on; then the job goes back to [`Engine::finish`](crate::Engine::finish), complete or not. All
/// that touches the disk is done in steps. A job that is dropped instead is not offered again until the engine
/// is opened anew.
pub struct Job {
    pub(super) kind: Kind,
    /// Why it was given up, where that says something about a table.
    pub(super) failed: Option<Error>,
}

/// What a job does.
pub(super) enum Kind {
    /// Writes out memtables or merges files, or a part of them.
    Merge(Box<Part>),
    /// Makes finished merges durable.
    Install(Box<Install>),
    /// Removes files that nobody needs any more.
    Remove(Remove),
    /// Links all tables into a directory.
    Snapshot(Box<Snapshotting>),
    /// Takes tables in.
    Ingest(Box<Ingesting>),
    /// Looks for damage.
    Scrub(Box<Scrubbing>),
    /// Writes out what belongs to some tokens.
    Export(Box<Exporting>),
    /// Looks whether a table holds any of some tokens.
    Survey(Box<Survey>),
    /// Makes a file for the log's next segment.
    LogFile(Arc<Log>),
}

/// What a job is done for, that is tried again if it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// Memtables of a table id are written out.
    Flush(TableId),
    /// Files of a table id are merged, or written anew without some tokens.
    Compaction(TableId),
    /// What flushes, compactions and ingests made is made to count.
    Install,
}

/// Whether a job is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    More,
    /// It is complete, and can be given back.
    Done,
}

impl Job {
    /// Does a bounded piece of the work: about [`Options::step_bytes`](crate::Options::step_bytes). After an
    /// error the job is to be given to `finish`, which gives it up; the work is offered again.
    pub fn step(&mut self) -> Result<Step, Error> {
        let done = match &mut self.kind {
            Kind::Merge(part) => part.worker.step(),
            Kind::Install(install) => install.run(),
            Kind::Remove(remove) => Ok(remove.step()),
            Kind::Snapshot(snapshot) => snapshot.step(),
            Kind::Ingest(ingest) => ingest.step(),
            Kind::Scrub(scrub) => Ok(scrub.step()),
            Kind::Export(export) => export.step(),
            Kind::Survey(survey) => survey.step(),
            Kind::LogFile(log) => log.prepare().map(|()| true),
        };
        match done {
            Ok(done) => Ok(if done { Step::Done } else { Step::More }),
            Err(error) => {
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Whether writes may have to wait for it: it frees memory, or the log, or makes such a job count, or has the log go on. It
    /// goes before others, and is not slowed down.
    pub fn is_urgent(&self) -> bool {
        match &self.kind {
            Kind::Merge(part) => part.is_flush,
            Kind::Install(_) | Kind::LogFile(_) => true,
            Kind::Remove(_)
            | Kind::Snapshot(_)
            | Kind::Ingest(_)
            | Kind::Export(_)
            | Kind::Survey(_)
            | Kind::Scrub(_) => false,
        }
    }

    /// Whether it may rest between its steps: nobody waits for it. [`worked`](Self::worked) tells what it is to pay for.
    pub fn is_paced(&self) -> bool {
        match &self.kind {
            Kind::Merge(part) => !part.is_flush,
            Kind::Scrub(_) => true,
            Kind::Install(_)
            | Kind::Remove(_)
            | Kind::Snapshot(_)
            | Kind::Ingest(_)
            | Kind::Export(_)
            | Kind::Survey(_)
            | Kind::LogFile(_) => false,
        }
    }

    /// What it is done for, where that is offered again after an error until it succeeds or there is nothing of it left to do.
    pub fn task(&self) -> Option<Task> {
        match &self.kind {
            Kind::Merge(part) if part.is_flush => Some(Task::Flush(part.table)),
            Kind::Merge(part) => Some(Task::Compaction(part.table)),
            Kind::Install(_) => Some(Task::Install),
            // The log tells by itself what keeps it from going on.
            Kind::LogFile(_)
            | Kind::Remove(_)
            | Kind::Snapshot(_)
            | Kind::Ingest(_)
            | Kind::Scrub(_)
            | Kind::Export(_)
            | Kind::Survey(_) => None,
        }
    }

    /// Bytes that it has read and written so far, about. What a limiter of compactions counts.
    pub fn worked(&self) -> u64 {
        match &self.kind {
            Kind::Merge(part) => part.worker.worked(),
            Kind::Scrub(scrub) => scrub.read(),
            // Whoever asked for an export paces it.
            Kind::Install(_)
            | Kind::Remove(_)
            | Kind::Snapshot(_)
            | Kind::Ingest(_)
            | Kind::Export(_)
            | Kind::Survey(_)
            | Kind::LogFile(_) => 0,
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Merge(part) => f
                .debug_struct(if part.is_flush { "Flush" } else { "Compaction" })
                .field("output", &part.worker.number())
                .field("tokens", &part.worker.tokens())
                .finish_non_exhaustive(),
            Kind::Install(_) => f.write_str("Install"),
            Kind::Snapshot(_) => f.write_str("Snapshot"),
            Kind::Ingest(_) => f.write_str("Ingest"),
            Kind::Scrub(_) => f.write_str("Scrub"),
            Kind::Export(_) => f.write_str("Export"),
            Kind::Survey(_) => f.write_str("Survey"),
            Kind::LogFile(_) => f.write_str("LogFile"),
            Kind::Remove(remove) => f.debug_tuple("Remove").field(&remove.left()).finish(),
        }
    }
}

//! Ready tables, taken in whole: for streams from other nodes and for bulk loads.
//!
//! The files of one call are installed together or not at all. Each is linked into the engine's directory (across
//! disks: copied) by a job, where it is read to the last byte before it counts: so flushes, compactions, reads and
//! writes go on beside it.

use std::{collections::VecDeque, path::PathBuf, sync::Arc};

use starling_model::{TableId, TokenRange};

use super::{
    Engine,
    install::Change,
    merges::{Output, Replaces},
    snapshot::{Done, MAX_WAITING, Wanted, link},
};
use crate::{
    Error,
    compaction::Slices,
    fs::Fs,
    table::{Table, reader::file_name, verify},
};

/// The most files of one call.
pub const MAX_FILES: usize = 1024;

/// Flushes that are waited for, snapshots, exports, ingests and discards.
#[derive(Default)]
pub(super) struct Bulk {
    pub(super) flushes: VecDeque<super::flush::Wanted>,
    pub(super) snapshots: VecDeque<Wanted>,
    pub(super) exports: VecDeque<super::export::Wanted>,
    /// Each export that has begun holds it.
    pub(super) exporting: Arc<()>,
    pub(super) discards: super::discard::Discards,
    /// No file is removed while someone else holds it.
    pub(super) pin: Arc<()>,
    waiting: VecDeque<Ingesting>,
    /// Who is told of those that are to be installed.
    told: std::collections::BTreeMap<u64, Done>,
    next: u64,
}

/// Tables on their way in.
pub(super) struct Ingesting {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    table: TableId,
    epoch: u64,
    tokens: TokenRange,
    /// What is left, and the number that it gets.
    left: Vec<(PathBuf, u64)>,
    linked: Vec<PathBuf>,
    opened: Vec<Arc<Table>>,
    complete: bool,
    done: Done,
}

impl Engine {
    /// Takes tables of the present format in, as part of a table id. `done` is told, from
    /// [`finish`](Self::finish), when they are installed, durably; after an error nothing was changed. The files
    /// themselves are left as they are; they must not be written to any more.
    ///
    /// `done` may be told [`Error::Corrupt`] or [`Error::Version`] for a file that can't be taken,
    /// [`Error::Invalid`] for one with tokens that are not this engine's ([`Options::tokens`](crate::Options)), or
    /// if the table was truncated meanwhile. [`Error::Invalid`] at once for too many files, or too many calls that
    /// wait.
    pub fn ingest(
        &mut self,
        table: TableId,
        files: Vec<PathBuf>,
        done: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        if files.len() > MAX_FILES {
            return Err(Error::Invalid("too many files are to be taken in at once"));
        }
        if self.bulk.waiting.len() >= MAX_WAITING {
            return Err(Error::Invalid("too many files wait to be taken in"));
        }
        let state = self.tables.entry(table).or_default();
        let numbers = &self.files;
        let number = || numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.bulk.waiting.push_back(Ingesting {
            fs: Arc::clone(&self.fs),
            dir: self.dir.clone(),
            table,
            epoch: state.epoch,
            tokens: Slices::new(self.options.tokens).whole(),
            left: files.into_iter().map(|file| (file, number())).collect(),
            linked: Vec::new(),
            opened: Vec::new(),
            complete: false,
            done: Box::new(done),
        });
        Ok(())
    }

    pub(super) fn next_ingest(&mut self) -> Option<Ingesting> {
        self.bulk.waiting.pop_front()
    }

    /// Takes an ingest back: if it is complete, its tables count from the next install job on.
    pub(super) fn ingest_back(&mut self, ingest: Ingesting, failed: Option<Error>) {
        if !ingest.complete {
            self.work.leftovers.files.extend(ingest.linked);
            (ingest.done)(Err(failed.unwrap_or(Error::Invalid("the files were given up"))));
            return;
        }
        let slices = Slices::new(self.options.tokens);
        let table_bytes = self.options.table_bytes;
        let outputs = ingest.opened.into_iter().map(|table| Output {
            tokens: slices.fitting(&table, table_bytes),
            table,
        });
        let number = self.bulk.next;
        self.bulk.next += 1;
        self.bulk.told.insert(number, ingest.done);
        self.work.ready.push(Change {
            table: ingest.table,
            epoch: ingest.epoch,
            replaces: Replaces::Nothing(number),
            outputs: outputs.collect(),
            bytes: 0,
            major: false,
        });
    }

    /// Tells who asked for an ingest what became of the change.
    pub(super) fn tell(&mut self, change: &Change, installed: bool) {
        let Replaces::Nothing(number) = change.replaces else {
            return;
        };
        if let Some(done) = self.bulk.told.remove(&number) {
            done(if installed {
                Ok(())
            } else {
                Err(Error::Invalid("the table was truncated meanwhile"))
            });
        }
    }
}

impl Ingesting {
    /// Takes the next file; `true` once all are there, durably.
    pub(super) fn step(&mut self) -> Result<bool, Error> {
        if let Some((from, number)) = self.left.last() {
            let to = self.dir.join(file_name(*number));
            self.linked.push(to.clone());
            link(&*self.fs, from, &to)?;
            self.fs.sync_file(&to).map_err(Error::io("sync", &to))?;
            let table = Arc::new(Table::open(&*self.fs, &self.dir, *number)?);
            verify(&table)?;
            let properties = table.properties();
            let (first, last) = (properties.first_key.token, properties.last_key.token);
            if first <= self.tokens.start || last > self.tokens.end {
                return Err(Error::Invalid(
                    "a file to be taken in holds tokens of another shard",
                ));
            }
            self.opened.push(table);
            self.left.pop();
        }
        if self.left.is_empty() && !self.complete {
            self.fs
                .sync_dir(&self.dir)
                .map_err(Error::io("sync", &self.dir))?;
            self.complete = true;
        }
        Ok(self.complete)
    }
}

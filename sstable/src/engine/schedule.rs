//! What work is offered when, and how its result is installed.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use starling_model::{Seconds, TableId};

use super::{
    Engine,
    job::{Job, Kind},
};
use crate::{
    Error, PurgePolicy,
    compaction::{
        picker::{self, Candidate},
        worker::{Input, PurgePlan, Worker},
    },
    log::Lsn,
    table::Table,
    version::{Manifest, Tables, manifest::Entry},
};

impl Engine {
    /// The most urgent work, if there is any: flushes first. `now` is the wall clock, for purging. Several
    /// jobs can be out at once; they never touch the same data.
    pub fn next_job(&mut self, now: Seconds) -> Option<Job> {
        self.rotate_for_space();
        self.next_flush(now).or_else(|| self.next_compaction(now))
    }

    /// Makes every memtable due for its flush, whatever it holds: before a planned stop, or a snapshot.
    pub fn flush_all(&mut self) {
        for state in self.tables.values_mut() {
            state.rotate();
        }
    }

    /// Makes a memtable wait for its flush early: the largest, when memory is half spent and nothing waits;
    /// the one with the oldest write, when the log is too long.
    fn rotate_for_space(&mut self) {
        let waiting = self.tables.values().any(|state| !state.waiting.is_empty());
        if !waiting && self.memory >= self.options.memory_bytes / 2 {
            let largest = self.tables.values_mut().max_by_key(|state| state.active.weight());
            if let Some(state) = largest {
                state.rotate();
            }
        }
        if self.log.on_disk().1 > self.options.log_bytes {
            let oldest = self
                .tables
                .values_mut()
                .filter(|state| state.first_unflushed().is_some())
                .min_by_key(|state| state.first_unflushed());
            if let Some(state) = oldest
                && state.waiting.is_empty()
            {
                state.rotate();
            }
        }
    }

    fn next_flush(&mut self, now: Seconds) -> Option<Job> {
        let (table, state) = self
            .tables
            .iter_mut()
            .filter(|(_, state)| !state.flushing && !state.waiting.is_empty())
            .min_by_key(|(_, state)| state.first_unflushed())?;
        state.flushing = true;
        let (table, epoch) = (*table, state.epoch);
        let memtable = Arc::clone(state.waiting.front()?);
        let inputs = vec![Input::Memory(Arc::clone(&memtable))];
        let plan = PurgePlan {
            policy: PurgePolicy::Keep,
            now,
            memory: None,
            others: Vec::new(),
        };
        Some(Job {
            table,
            epoch,
            kind: Kind::Flush(memtable),
            worker: self.worker(inputs, plan),
        })
    }

    fn next_compaction(&mut self, now: Seconds) -> Option<Job> {
        let flush_bytes = self.options.memtable_bytes as u64;
        let fan_in = self.options.fan_in;
        let (table, state, files) = self.tables.iter_mut().find_map(|(table, state)| {
            let candidates: Vec<Candidate> = state
                .tables
                .idle()
                .map(|table| Candidate {
                    number: table.number(),
                    bytes: table.bytes(),
                })
                .collect();
            let files = picker::pick(&candidates, flush_bytes, fan_in);
            (!files.is_empty()).then_some((*table, state, files))
        })?;
        state.tables.reserve(&files);
        let (inputs, others): (Vec<_>, Vec<_>) = state
            .tables
            .live()
            .iter()
            .cloned()
            .partition(|table| files.contains(&table.number()));
        let plan = PurgePlan {
            policy: state.purge,
            now,
            memory: state.oldest_in_memory(),
            others,
        };
        let epoch = state.epoch;
        let bytes = inputs.iter().map(|table| table.bytes()).sum();
        let inputs = inputs.into_iter().map(Input::Table).collect();
        Some(Job {
            table,
            epoch,
            kind: Kind::Compaction { files, bytes },
            worker: self.worker(inputs, plan),
        })
    }

    fn worker(&self, inputs: Vec<Input>, plan: PurgePlan) -> Worker {
        Worker::new(
            Arc::clone(&self.fs),
            self.dir.clone(),
            self.files.fetch_add(1, Ordering::Relaxed),
            inputs,
            plan,
            self.writer_options(),
            self.options.step_bytes,
        )
    }

    /// Takes a job back: installs it if it is complete, and gives it up if it is not, or if its table was
    /// truncated meanwhile. Work that was given up is offered again.
    ///
    /// After an error the engine is as before, and the work is offered again. Reads and writes go on.
    pub fn finish(&mut self, job: Job) -> Result<(), Error> {
        let Some(state) = self.tables.get_mut(&job.table) else {
            return self.discard(&job);
        };
        if state.epoch != job.epoch {
            return self.discard(&job);
        }
        match &job.kind {
            Kind::Flush(_) => state.flushing = false,
            Kind::Compaction { files, .. } => state.tables.release(files),
        }
        if !job.worker.is_done() {
            return self.discard(&job);
        }
        self.install(&job)
    }

    /// Removes what an unwanted job left.
    fn discard(&self, job: &Job) -> Result<(), Error> {
        let path = job.worker.path();
        if self.fs.exists(&path).map_err(Error::io("find", &path))? {
            self.fs.remove(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(())
    }

    fn install(&mut self, job: &Job) -> Result<(), Error> {
        let output = if job.worker.has_output() {
            let table = Table::open(&*self.fs, &self.dir, job.worker.number());
            Some(Arc::new(table.inspect_err(|_| {
                let _ = self.discard(job);
            })?))
        } else {
            None
        };
        let written = output.as_ref().map_or(0, |table| table.bytes());
        let Some(state) = self.tables.get(&job.table) else {
            return Ok(());
        };
        let removed = match &job.kind {
            Kind::Flush(_) => &[][..],
            Kind::Compaction { files, .. } => files,
        };
        let change = Change {
            tables: state.tables.replaced(removed, output),
            replayed: match &job.kind {
                Kind::Flush(memtable) => memtable.last(),
                Kind::Compaction { .. } => state.replayed,
            },
            flushed: usize::from(job.is_flush()),
        };
        let replaced = self.commit(job.table, change).inspect_err(|failed| {
            if !failed.in_doubt {
                // The manifest does not name it, and the work starts over under another number.
                let _ = self.discard(job);
            }
        });
        replaced.map_err(|failed| failed.error)?;
        match &job.kind {
            Kind::Flush(_) => {
                self.counters.flushes += 1;
                self.counters.flushed_bytes += written;
            }
            Kind::Compaction { bytes, .. } => {
                self.counters.compactions += 1;
                self.counters.compacted_bytes_in += bytes;
                self.counters.compacted_bytes_out += written;
            }
        }
        Ok(())
    }

    /// Makes a change of one table durable, then carries it out, then removes the files that are not alive
    /// any more.
    pub(super) fn commit(&mut self, table: TableId, change: Change) -> Result<(), Failed> {
        let manifest = self.manifest(Some((table, &change)));
        let prepared = manifest.prepare(&*self.fs, &self.dir).map_err(|error| Failed {
            error,
            in_doubt: false,
        })?;
        prepared.commit(&*self.fs).map_err(|error| Failed {
            error,
            in_doubt: true,
        })?;
        let state = self.tables.entry(table).or_default();
        let old = std::mem::replace(&mut state.tables, change.tables);
        for memtable in state.waiting.drain(..change.flushed.min(state.waiting.len())) {
            self.memory -= memtable.weight();
        }
        state.replayed = change.replayed;
        let live: Vec<u64> = state.tables.live().iter().map(|table| table.number()).collect();
        // What can't be removed now is removed at the next open.
        for dead in old.live().iter().filter(|table| !live.contains(&table.number())) {
            if let Err(error) = self.fs.remove(dead.path()) {
                tracing::warn!(file = %dead.path().display(), %error, "cannot remove a file that is not used any more");
            }
        }
        if let Err(error) = self.log.release(manifest.floor) {
            tracing::warn!(%error, "cannot remove a log segment that is not used any more");
        }
        Ok(())
    }

    /// Writes the manifest of an engine that was just opened, and removes the segments that it does not need.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        let manifest = self.manifest(None);
        manifest.prepare(&*self.fs, &self.dir)?.commit(&*self.fs)?;
        self.log.release(manifest.floor)
    }

    /// The manifest as it is, or as it is after a change.
    fn manifest(&self, change: Option<(TableId, &Change)>) -> Manifest {
        let last = self.log.appended();
        let mut floor = last.next();
        let mut tables = BTreeMap::new();
        for (id, state) in &self.tables {
            let (live, replayed, flushed) = match change {
                Some((changed, change)) if changed == *id => {
                    (&change.tables, change.replayed, change.flushed)
                }
                _ => (&state.tables, state.replayed, 0),
            };
            let waiting = state
                .waiting
                .iter()
                .skip(flushed)
                .map(|memtable| memtable.first());
            let active = (!state.active.is_empty()).then(|| state.active.first());
            if let Some(first) = waiting.chain(active).filter(|first| *first > replayed).min() {
                floor = floor.min(first);
            }
            let files: Vec<u64> = live.live().iter().map(|table| table.number()).collect();
            tables.insert(*id, Entry { replayed, files });
        }
        // A table without files is named only while the log still has writes of it to ignore.
        tables.retain(|_, entry| !entry.files.is_empty() || entry.replayed >= floor);
        Manifest {
            next_file: self.files.load(Ordering::Relaxed),
            last,
            floor,
            tables,
        }
    }
}

/// A change of one table's files.
pub(super) struct Change {
    pub(super) tables: Tables,
    /// Writes up to this are in the files.
    pub(super) replayed: Lsn,
    /// How many of the waiting memtables, from the oldest, are in the files now.
    pub(super) flushed: usize,
}

/// A change that was not carried out.
pub(super) struct Failed {
    pub(super) error: Error,
    /// A restart may find it carried out.
    pub(super) in_doubt: bool,
}

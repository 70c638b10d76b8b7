//! What work is offered when, and what becomes of it.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use starling_model::{Seconds, TableId, TokenRange};

use super::{
    Engine,
    install::Change,
    job::{Job, Kind},
    merges::{Merge, Output, Part, Replaces},
    remove::Remove,
};
use crate::{
    Error, PurgePolicy,
    compaction::{
        Slices,
        purge::Purging,
        rows,
        worker::{Input, LargeRow, Plan, Worker},
    },
    log::Log,
    memtable::Memtable,
};

/// The most memtables of a table that are flushed into one file.
const FLUSH_INPUTS: usize = 8;

impl Engine {
    /// The most urgent work, if there is any: what frees memory first. `now` is the wall clock, for purging.
    /// Several jobs can be out at once; they never touch the same data. Touches no disk but to ask how much
    /// of it is free.
    pub fn next_job(&mut self, now: Seconds) -> Option<Job> {
        self.reports.now = now;
        self.look_at_reports();
        self.rotate_for_space();
        let kind = self
            .next_log_file()
            .map(Kind::LogFile)
            .or_else(|| {
                self.next_install()
                    .map(|install| Kind::Install(Box::new(install)))
            })
            // On a full disk, the room for a flush is what an earlier try left.
            .or_else(|| self.next_removal().map(Kind::Remove))
            .or_else(|| self.next_flush(now).map(Kind::Merge))
            .or_else(|| {
                self.next_snapshot()
                    .map(|snapshot| Kind::Snapshot(Box::new(snapshot)))
            })
            .or_else(|| self.next_ingest().map(|ingest| Kind::Ingest(Box::new(ingest))))
            .or_else(|| self.next_export().map(|export| Kind::Export(Box::new(export))))
            .or_else(|| self.next_slow(now))
            // A compaction that only removes expired tables needs nothing but the manifest.
            .or_else(|| {
                self.next_install()
                    .map(|install| Kind::Install(Box::new(install)))
            })
            .or_else(|| self.next_scrub(now).map(|scrub| Kind::Scrub(Box::new(scrub))))?;
        Some(Job { kind, failed: None })
    }

    fn next_log_file(&mut self) -> Option<Arc<Log>> {
        if self.work.log_file || !self.log.wants_file() {
            return None;
        }
        self.work.log_file = true;
        Some(Arc::clone(&self.log))
    }

    /// Compactions and discards in turn: neither keeps the other waiting.
    fn next_slow(&mut self, now: Seconds) -> Option<Kind> {
        if self.bulk.discards.take_turn()
            && let Some(kind) = self.next_discard(now)
        {
            return Some(kind);
        }
        let compaction = self.next_compaction(now).map(Kind::Merge);
        compaction.or_else(|| self.next_discard(now))
    }

    /// Makes a memtable wait for its flush early: the largest, when memory is half spent and nothing waits;
    /// the one with the oldest write, when the log is too long.
    fn rotate_for_space(&mut self) {
        let waiting = self.tables.values().any(|state| !state.waiting.is_empty());
        if !waiting && self.memory >= self.options.memory_bytes / 2 {
            let largest = self.tables.values_mut().max_by_key(|state| state.active.weight());
            if let Some(state) = largest {
                state.rotate(&self.pool);
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
                state.rotate(&self.pool);
            }
        }
    }

    fn next_flush(&mut self, now: Seconds) -> Option<Box<Part>> {
        let (table, state) = self
            .tables
            .iter_mut()
            .filter(|(_, state)| state.flushing == 0 && !state.waiting.is_empty())
            .min_by_key(|(_, state)| state.first_unflushed())?;
        let largest: Vec<u64> = state
            .waiting
            .iter()
            .take(FLUSH_INPUTS)
            .map(|it| it.largest_row())
            .collect();
        let count = rows::fitting(&largest);
        let inputs: Vec<Arc<Memtable>> = state.waiting.iter().take(count).cloned().collect();
        state.flushing = inputs.len();
        let last = inputs
            .iter()
            .map(|memtable| memtable.last())
            .max()
            .unwrap_or_default();
        let plan = Plan {
            inputs: inputs.iter().cloned().map(Input::Memory).collect(),
            purging: Purging {
                policy: PurgePolicy::Keep,
                now,
                memory: None,
                others: Vec::new(),
            },
            options: state.writer_options(&self.options),
            step_bytes: self.options.step_bytes,
            only: None,
            transient: false,
            copies: false,
        };
        let merge = Merge {
            table: *table,
            epoch: state.epoch,
            replaces: Replaces::Memtables(inputs.len(), last),
            plan: Arc::new(plan),
            bytes: 0,
            _promise: None,
            major: false,
            left: VecDeque::from([TokenRange::ALL]),
            out: 0,
            outputs: Vec::new(),
            failed: false,
        };
        let number = self.work.begin(merge);
        self.part_of(number)
    }

    /// The next part of a merge, if it has one left.
    pub(super) fn part_of(&mut self, number: u64) -> Option<Box<Part>> {
        let merge = self.work.merges.get_mut(&number)?;
        let tokens = merge.take_part()?;
        let worker = Worker::new(
            Arc::clone(&self.fs),
            self.dir.clone(),
            self.files.fetch_add(1, Ordering::Relaxed),
            Arc::clone(&merge.plan),
            tokens,
        );
        Some(Box::new(Part {
            merge: number,
            table: merge.table,
            is_flush: merge.is_flush(),
            worker,
        }))
    }

    fn next_removal(&mut self) -> Option<Remove> {
        // A snapshot may be about to link files.
        let may_remove_files = Arc::strong_count(&self.bulk.pin) == 1;
        let left = self.work.leftovers.take(may_remove_files)?;
        let fs = Arc::clone(&self.fs);
        Some(Remove::new(fs, left, self.options.step_bytes))
    }

    /// Takes a job back: what it completed counts from the next install job on, and what it did not is offered
    /// again, as is the work for a table that was truncated meanwhile, if there is any left. Touches no disk.
    ///
    /// After an error of the job the engine is as before; reads and writes go on.
    pub fn finish(&mut self, job: Job) -> Result<(), Error> {
        if let Some(error) = &job.failed {
            self.report(error);
        }
        match job.kind {
            Kind::Merge(part) => self.part_back(*part),
            Kind::Install(install) => self.installed(&install),
            Kind::Remove(remove) => self.work.leftovers.add(remove.left),
            Kind::Snapshot(snapshot) => self.snapshotted(*snapshot, job.failed),
            Kind::Ingest(ingest) => self.ingest_back(*ingest, job.failed),
            Kind::Scrub(scrub) => self.scrubbed(*scrub),
            Kind::Export(export) => self.exported(*export, job.failed),
            Kind::Survey(survey) => self.surveyed(&survey),
            Kind::LogFile(_) => self.work.log_file = false,
        }
        Ok(())
    }

    fn part_back(&mut self, part: Part) {
        let Some(merge) = self.work.merges.get_mut(&part.merge) else {
            return;
        };
        let complete = part.worker.is_done();
        if let Some(row) = part.worker.large_row().filter(|_| complete) {
            tell_of(merge.table, row);
        }
        let output = part.worker.output();
        if output.is_none() && part.worker.has_file() {
            self.work.leftovers.files.push(part.worker.path());
        }
        let slices = Slices::new(self.options.tokens);
        let output = output.map(|table| Output {
            tokens: if merge.is_flush() {
                slices.made_for(&table)
            } else {
                part.worker.tokens()
            },
            table,
        });
        merge.part_back(complete, output);
        if !merge.is_over() {
            return;
        }
        let Some(mut merge) = self.work.merges.remove(&part.merge) else {
            return;
        };
        // It may have stepped over the damage, and must not make that good.
        merge.failed |= self.reads_damage(&merge);
        let state = self.tables.entry(merge.table).or_default();
        let stale = state.epoch != merge.epoch;
        if merge.failed && !stale {
            state.give_up(&merge.replaces);
        }
        if merge.failed || stale {
            let files = merge
                .outputs
                .iter()
                .map(|output| output.table.path().to_path_buf());
            self.work.leftovers.files.extend(files);
            return;
        }
        self.work.ready.push(Change {
            table: merge.table,
            epoch: merge.epoch,
            replaces: merge.replaces,
            outputs: merge.outputs,
            bytes: merge.bytes,
            major: merge.major,
        });
    }
}

/// Tells people of the largest row that was written to a table's file.
fn tell_of(table: TableId, row: &LargeRow) {
    let LargeRow {
        key,
        clustering,
        bytes,
    } = row;
    tracing::warn!(
        %table, token = %key.token, partition = ?key.key, clustering = ?Bytes::copy_from_slice(clustering), bytes,
        "a row is very large; one of 31 MiB can't be read, and one of 64 MiB keeps its file out of compaction: delete \
         elements of its collections, or the row"
    );
}

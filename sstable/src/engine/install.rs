//! Making finished work durable: the manifest is written by a job, then memory follows.
//!
//! One install job is out at a time, and takes all changes that are ready. A truncation writes its own manifest
//! at once, from the engine's thread; whose turn it is, is decided under a lock, so that the manifest on disk
//! never goes back: an install job that a truncation overtook writes nothing, and one that has written before
//! it is carried out first.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use starling_model::{TableId, TokenRange};

use super::{
    Engine,
    finals::Announcements,
    merges::{Output, Replaces},
};
use crate::{
    Error,
    fs::Fs,
    log::{Log, Lsn},
    version::{
        Manifest,
        manifest::{Entry, File},
    },
};

/// A change of one table's files.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) table: TableId,
    pub(super) epoch: u64,
    pub(super) replaces: Replaces,
    pub(super) outputs: Vec<Output>,
    /// Bytes of the files that it replaces.
    pub(super) bytes: u64,
    /// What it made is to be compacted again where it overlaps the rest of a compaction of everything.
    pub(super) major: bool,
}

impl Change {
    /// Bytes of its outputs.
    pub(super) fn written(&self) -> u64 {
        self.outputs.iter().map(|output| output.table.bytes()).sum()
    }
}

/// Who may write the manifest.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The install job whose turn it is.
    next: u64,
    /// It has written.
    written: bool,
}

/// What is being made durable.
pub(super) struct Installing {
    number: u64,
    changes: Vec<Change>,
}

/// The job.
pub(super) struct Install {
    number: u64,
    turn: Arc<Mutex<Turn>>,
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    log: Arc<Log>,
    manifest: Manifest,
    announcements: Option<Announcements>,
}

impl Install {
    /// Writes the manifest, unless it was overtaken. `true`: it is complete.
    pub(super) fn run(&mut self) -> Result<bool, Error> {
        let mut turn = lock(&self.turn);
        if turn.next != self.number || turn.written {
            return Ok(true);
        }
        self.manifest.prepare(&*self.fs, &self.dir)?.commit(&*self.fs)?;
        turn.written = true;
        // Before it is another one's turn: a truncation has these files removed.
        if let Some(announcements) = &self.announcements {
            announcements.make();
        }
        drop(turn);
        release(&self.log, self.manifest.floor);
        Ok(true)
    }
}

/// Gives up log segments whose writes are in tables.
fn release(log: &Log, floor: Lsn) {
    if let Err(error) = log.release(floor) {
        tracing::warn!(%error, "cannot remove a log segment that is not used any more");
    }
}

fn lock(turn: &Mutex<Turn>) -> MutexGuard<'_, Turn> {
    // Nobody panics while holding it; if someone did, a number and a flag are whole anyway.
    turn.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// The install job, if there is something to install and none is out.
    pub(super) fn next_install(&mut self) -> Option<Install> {
        if self.work.installing.is_some() {
            return None;
        }
        let changes = self.take_ready();
        if changes.is_empty() && !self.reports.unsaved {
            return None;
        }
        self.reports.unsaved = false;
        let mut turn = lock(&self.turn);
        turn.next += 1;
        turn.written = false;
        let number = turn.next;
        drop(turn);
        let manifest = self.manifest(&changes);
        let announcements = self.announcements(&changes);
        self.work.installing = Some(Installing { number, changes });
        Some(Install {
            number,
            turn: Arc::clone(&self.turn),
            fs: Arc::clone(&self.fs),
            dir: self.dir.clone(),
            log: Arc::clone(&self.log),
            manifest,
            announcements,
        })
    }

    /// What is ready; what a truncation made obsolete is thrown away.
    fn take_ready(&mut self) -> Vec<Change> {
        let (current, stale): (Vec<Change>, Vec<Change>) = std::mem::take(&mut self.work.ready)
            .into_iter()
            .partition(|change| {
                self.tables
                    .get(&change.table)
                    .is_some_and(|state| state.epoch == change.epoch)
            });
        let outputs = stale.iter().flat_map(|change| &change.outputs);
        let files = outputs.map(|output| output.table.path().to_path_buf());
        self.work.leftovers.files.extend(files);
        for change in &stale {
            self.tell(change, false);
        }
        current
    }

    /// Takes an install job back: what it wrote is carried out, what it did not write is offered again.
    pub(super) fn installed(&mut self, install: &Install) {
        let written = {
            let turn = lock(&self.turn);
            turn.next == install.number && turn.written
        };
        if let Some(installing) = self.work.installing.take_if(|it| it.number == install.number) {
            if written {
                self.carry_out(installing.changes);
            } else {
                // Also after an error that leaves open which manifest is in force: the files of both stay
                // until one was written.
                self.work.ready.extend(installing.changes);
                self.reports.unsaved = true;
            }
        }
    }

    /// Makes changes durable at once, overtaking an install job that has not written yet. After an error nothing
    /// is carried out, but a restart may find it carried out.
    pub(super) fn install_now(&mut self, change: Change) -> Result<(), Error> {
        let shared = Arc::clone(&self.turn);
        let mut turn = lock(&shared);
        if let Some(installing) = self.work.installing.take() {
            if turn.written {
                self.carry_out(installing.changes);
            } else {
                self.work.ready.extend(installing.changes);
                self.reports.unsaved = true;
            }
        }
        turn.next += 1;
        turn.written = false;
        let changes = vec![change];
        let manifest = self.manifest(&changes);
        manifest.prepare(&*self.fs, &self.dir)?.commit(&*self.fs)?;
        drop(turn);
        self.carry_out(changes);
        release(&self.log, manifest.floor);
        Ok(())
    }

    /// Makes durable what an engine that was just opened read in its log, writes its manifest, and removes the
    /// segments that it does not need.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        self.log.sync()?;
        let manifest = self.manifest(&[]);
        manifest.prepare(&*self.fs, &self.dir)?.commit(&*self.fs)?;
        self.log.release(manifest.floor)
    }

    /// The manifest after some changes.
    pub(super) fn manifest(&self, changes: &[Change]) -> Manifest {
        let last = self.log.appended();
        let mut floor = last.next();
        let mut tables = BTreeMap::new();
        for (id, state) in &self.tables {
            let mut replayed = state.replayed;
            let mut flushed = 0;
            let mut files: BTreeMap<u64, TokenRange> = state
                .tables
                .files()
                .map(|file| (file, state.tables.tokens(file)))
                .collect();
            for change in changes.iter().filter(|change| change.table == *id) {
                match &change.replaces {
                    Replaces::Memtables(count, newest) => {
                        flushed = *count;
                        replayed = *newest;
                    }
                    Replaces::Files(gone) => files.retain(|number, _| !gone.contains(number)),
                    Replaces::Nothing(_) => {}
                    Replaces::Everything(newest) => {
                        replayed = *newest;
                        files.clear();
                    }
                }
                let outputs = change.outputs.iter();
                files.extend(outputs.map(|output| (output.table.number(), output.tokens)));
            }
            let waiting = state
                .waiting
                .iter()
                .skip(flushed)
                .map(|memtable| memtable.first());
            let active = (!state.active.is_empty()).then(|| state.active.first());
            if let Some(first) = waiting.chain(active).filter(|first| *first > replayed).min() {
                floor = floor.min(first);
            }
            let files: Vec<File> = files
                .into_iter()
                .map(|(number, tokens)| File { number, tokens })
                .collect();
            let mut damage = state.tables.damage().to_vec();
            damage.retain(|damage| files.iter().any(|file| file.number == damage.file));
            let entry = Entry {
                replayed,
                files,
                damage,
            };
            tables.insert(*id, entry);
        }
        // A table without files is named only while the log still has writes of it to ignore.
        tables.retain(|_, entry| !entry.files.is_empty() || entry.replayed >= floor);
        Manifest {
            next_file: self.files.load(Ordering::Relaxed),
            last,
            floor,
            salt: self.log.salt(),
            tables,
        }
    }

    /// Carries out in memory what is durable.
    fn carry_out(&mut self, changes: Vec<Change>) {
        for change in changes {
            let state = self.tables.entry(change.table).or_default();
            let leftovers = state.carry_out(&change, &self.pool, self.reports.now);
            let freed = leftovers.memtables.iter().map(|memtable| memtable.weight());
            self.memory -= freed.sum::<usize>();
            self.work.leftovers.add(leftovers);
            self.counters.count(&change);
            self.tell(&change, true);
        }
        if self.memory == 0 {
            self.pool.clear();
        }
        self.count_crowd();
        self.tell_flushed();
    }
}

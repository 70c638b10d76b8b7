//! Opening an engine: what a stop or a crash left, made whole.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use starling_model::{TableId, TokenRange, TokenSet};

use super::{
    Counters, Engine, ingest::Bulk, merges::Work, quarantine::Reports, snapshot, table_state::TableState,
};
use crate::{
    Error, Options, PurgePolicy,
    compaction::{
        Slices,
        purge::Purging,
        rows,
        worker::{Input, Plan, Worker},
    },
    fs::Fs,
    log::{
        self, Log, Lsn,
        recovery::{self, Known, Progress},
        segment,
    },
    memtable::{Memtable, Pool, Write},
    table::{Table, reader},
    version::{
        Damage, Manifest,
        manifest::{self, Entry},
    },
};

/// What opening found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Live tables (files).
    pub tables: usize,
    /// Log segments that were read.
    pub segments: usize,
    /// Bytes of whole writes in them.
    pub log_bytes: u64,
    /// Writes of the log that were applied again.
    pub replayed: u64,
    /// Writes of the log that tables hold already, or that were truncated.
    pub skipped: u64,
    /// Bytes of writes that a crash had cut off; nobody was told of them.
    pub torn_bytes: u64,
    /// Bytes of the log that are damaged, of writes that are all in tables: nothing is lost.
    pub damaged_bytes: u64,
    /// Files that were left over and removed.
    pub removed_files: usize,
}

/// The files in an engine's directory.
#[derive(Default)]
struct Listing {
    segments: BTreeMap<u64, PathBuf>,
    tables: BTreeMap<u64, PathBuf>,
    manifest_new: Option<PathBuf>,
    /// Files that an earlier run kept for new log segments.
    free: Vec<PathBuf>,
}

impl Engine {
    /// Opens the engine of a directory, which is made if it is missing. Nobody else may have it open.
    ///
    /// Log writes that are in no table yet are applied again; if they are more than the memory budget,
    /// tables are written on the way. After an error the directory is as whole as before; what is corrupt
    /// is named, and never left out silently: damage of the log or the manifest is an error, and a table that can't be
    /// opened is [quarantined](Self::quarantined) as a whole.
    ///
    /// On a disk that is full an engine that was there before opens all the same, for reads, as long as its log needs
    /// no table to be written.
    pub fn open(fs: Arc<dyn Fs>, dir: PathBuf, options: Options) -> Result<(Self, Recovery), Error> {
        Self::open_watched(fs, dir, options, &mut |_| ())
    }

    /// As [`open`](Self::open); `progress` is told of the log's replay, after each segment.
    pub fn open_watched(
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        options: Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Recovery), Error> {
        fs.create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        let listing = list(&*fs, &dir)?;
        let known = Manifest::read(&*fs, &dir)?;
        let is_new = known.is_none();
        let manifest = manifest_of(known, &dir, &listing)?;
        let mut recovery = Recovery::default();
        let mut opening = Opening {
            next_file: AtomicU64::new(next_file(&manifest, &listing)),
            fs,
            dir,
            options,
            tables: BTreeMap::new(),
            memory: 0,
            lost: 0,
        };
        recovery.removed_files = opening.remove_obsolete(&listing, &manifest)?;
        recovery.removed_files +=
            snapshot::remove_unfinished(&*opening.fs, &opening.dir.join(snapshot::DIRECTORY))?;
        opening.open_tables(&manifest)?;
        let recovered = opening.replay(&listing, &manifest, &mut recovery, progress)?;
        let engine = opening.finish(recovered, &manifest, is_new)?;
        recovery.tables = engine.stats().tables;
        Ok((engine, recovery))
    }
}

fn list(fs: &dyn Fs, dir: &Path) -> Result<Listing, Error> {
    let mut listing = Listing::default();
    for path in fs.list(dir).map_err(Error::io("list", dir))? {
        if let Some(number) = segment::file_number(&path) {
            listing.segments.insert(number, path);
        } else if let Some(number) = reader::file_number(&path) {
            listing.tables.insert(number, path);
        } else if segment::is_free(&path) {
            listing.free.push(path);
        } else if path
            .file_name()
            .is_some_and(|name| name == manifest::NEW_FILE_NAME)
        {
            listing.manifest_new = Some(path);
        }
    }
    Ok(listing)
}

/// What to begin from. A manifest is written when a directory is first opened, before any other file.
fn manifest_of(known: Option<Manifest>, dir: &Path, listing: &Listing) -> Result<Manifest, Error> {
    match known {
        Some(manifest) => Ok(manifest),
        None if listing.segments.is_empty() && listing.tables.is_empty() => Ok(Manifest {
            floor: Lsn(1),
            ..Manifest::default()
        }),
        None => Err(Error::corrupt(
            &dir.join(manifest::FILE_NAME),
            0,
            "the manifest is missing, but there is data beside it",
        )),
    }
}

fn next_file(manifest: &Manifest, listing: &Listing) -> u64 {
    let last = listing
        .segments
        .keys()
        .chain(listing.tables.keys())
        .max()
        .map_or(0, |last| last.saturating_add(1));
    last.max(manifest.next_file)
}

/// An engine that is being put together.
struct Opening {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    options: Options,
    next_file: AtomicU64,
    tables: BTreeMap<TableId, TableState>,
    memory: usize,
    /// Tables that can't be opened.
    lost: u64,
}

impl Opening {
    /// Removes tables that the manifest does not name, unfinished ones and those that were replaced, and files that were
    /// kept for log segments: one of them may have another name, under which it is needed.
    fn remove_obsolete(&self, listing: &Listing, manifest: &Manifest) -> Result<usize, Error> {
        let live: BTreeSet<u64> = manifest
            .tables
            .values()
            .flat_map(|entry| entry.files.iter().map(|file| file.number))
            .collect();
        let dead = listing
            .tables
            .iter()
            .filter(|(number, _)| !live.contains(number))
            .map(|(_, path)| path)
            .chain(&listing.manifest_new)
            .chain(&listing.free);
        let mut removed = 0;
        for path in dead {
            self.fs.remove(path).map_err(Error::io("remove", path))?;
            removed += 1;
        }
        Ok(removed)
    }

    fn open_tables(&mut self, manifest: &Manifest) -> Result<(), Error> {
        for (id, entry) in &manifest.tables {
            let Entry {
                replayed,
                files,
                damage,
            } = entry;
            let state = self.tables.entry(*id).or_default();
            state.replayed = *replayed;
            for file in files {
                match Table::open(&*self.fs, &self.dir, file.number) {
                    Ok(table) => state.tables.add(Arc::new(table), file.tokens),
                    Err(Error::Corrupt { file: path, what, .. }) => {
                        tracing::error!(
                            table = %id, file = %path.display(), tokens = %file.tokens, what,
                            "a table can't be opened: its tokens are quarantined until other replicas' data \
                             replaces them"
                        );
                        state.tables.add_lost(file.number, path, file.tokens);
                        let all = Damage::of_all(file.number, file.tokens, &what);
                        let known = damage.iter().filter(|known| known.file == file.number);
                        let known: TokenSet = known.map(Damage::range).collect();
                        if !known.covers(all.range()) {
                            state.tables.add_damage(all);
                            self.lost += 1;
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            for damage in damage {
                state.tables.restore_damage(damage.clone());
            }
        }
        Ok(())
    }

    fn replay(
        &mut self,
        listing: &Listing,
        manifest: &Manifest,
        recovery: &mut Recovery,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<recovery::Recovered, Error> {
        let paths: Vec<PathBuf> = listing.segments.values().cloned().collect();
        let fs = Arc::clone(&self.fs);
        let mut visit = |lsn: Lsn, body: &[u8], path: &Path, offset: u64| {
            let damaged = |error| Error::corrupt(path, offset, format!("write {lsn}: {error}"));
            let write = Write::check(body).map_err(damaged)?;
            if self.apply(lsn, &write)? {
                recovery.replayed += 1;
            } else {
                recovery.skipped += 1;
            }
            Ok(())
        };
        let known = Known {
            floor: manifest.floor,
            salt: manifest.salt,
        };
        let recovered = recovery::recover(&*fs, &paths, known, &mut visit, progress)?;
        self.next_file.fetch_max(recovered.next_number, Ordering::Relaxed);
        recovery.segments = recovered.segments.len();
        recovery.log_bytes = recovered.segments.iter().map(|segment| segment.bytes).sum();
        recovery.torn_bytes = recovered.torn_bytes;
        recovery.damaged_bytes = recovered.damaged_bytes;
        Ok(recovered)
    }

    /// Applies a write of the log again, unless a table has it; whether it did.
    fn apply(&mut self, lsn: Lsn, write: &Write<'_>) -> Result<bool, Error> {
        let state = self.tables.entry(write.mutation().table).or_default();
        if lsn <= state.replayed {
            return Ok(false);
        }
        let before = state.active.weight();
        state
            .active
            .apply(lsn, write)
            .map_err(|_| Error::Invalid("a write of the log changed while it was read"))?;
        self.memory = self.memory + state.active.weight() - before;
        let full = state.active.weight() >= self.options.memtable_bytes
            || rows::is_apart(state.active.largest_row());
        if full || self.memory >= self.options.memory_bytes / 2 {
            self.flush_largest()?;
        }
        Ok(true)
    }

    /// Writes the largest memtable out as a table, at once.
    fn flush_largest(&mut self) -> Result<(), Error> {
        let largest = self.tables.values_mut().max_by_key(|state| state.active.weight());
        let Some(state) = largest else { return Ok(()) };
        let memtable: Arc<Memtable> = Arc::new(std::mem::take(&mut state.active));
        self.memory -= memtable.weight();
        state.replayed = memtable.last();
        let plan = Plan {
            inputs: vec![Input::Memory(memtable)],
            purging: Purging {
                policy: PurgePolicy::Keep,
                now: starling_model::Seconds(0),
                memory: None,
                others: Vec::new(),
            },
            options: state.writer_options(&self.options),
            step_bytes: self.options.step_bytes,
            only: None,
            transient: false,
            copies: false,
        };
        let mut worker = Worker::new(
            Arc::clone(&self.fs),
            self.dir.clone(),
            self.next_file.fetch_add(1, Ordering::Relaxed),
            Arc::new(plan),
            TokenRange::ALL,
        );
        while !worker.step()? {}
        if let Some(table) = worker.output() {
            let tokens = Slices::new(self.options.tokens).made_for(&table);
            state.tables.add(table, tokens);
        }
        Ok(())
    }

    fn finish(
        self,
        recovered: recovery::Recovered,
        manifest: &Manifest,
        is_new: bool,
    ) -> Result<Engine, Error> {
        // Numbers that the last run gave out are not given out again, also if the log lost them.
        let last = manifest.last.max(recovered.end);
        let salt = match manifest.salt {
            0 => self.options.log_salt,
            drawn => drawn,
        };
        let files = Arc::new(self.next_file);
        let limits = log::Limits {
            segment_bytes: self.options.segment_bytes,
            pending_bytes: self.options.pending_bytes,
            reserve_bytes: self.options.reserve_bytes,
        };
        let log = Log::new(
            Arc::clone(&self.fs),
            self.dir.clone(),
            limits,
            Arc::clone(&files),
            recovered,
            (last, salt),
        );
        let pool = Arc::new(Pool::new(self.options.memtable_bytes));
        let mut engine = Engine {
            fs: self.fs,
            dir: self.dir,
            options: self.options,
            log: Arc::new(log),
            files,
            tables: self.tables,
            memory: self.memory,
            pool,
            work: Work::default(),
            scrubber: super::scrub::Scrubber::default(),
            crowd: 0,
            turn: Arc::default(),
            reports: Reports::opened(self.lost),
            bulk: Bulk::default(),
            hook: None,
            counters: Counters::default(),
            points: RefCell::default(),
            reads: Cell::new(0),
            visited: Cell::new(0),
            live: Cell::new(0),
        };
        engine.give_up_healed();
        match engine.begin() {
            // Nothing depends on it: the manifest that is there says the same in other words.
            Err(error) if error.is_full() && !is_new => {
                tracing::warn!(%error, "the disk is full: opened for reads, until there is room again");
            }
            outcome => outcome?,
        }
        Ok(engine)
    }
}

//! The front door: one synchronous, single-writer engine per shard.
//!
//! - `open`: the manifest, the files, the log;
//! - [`job`] and `schedule`: the work that goes on beside, and what is offered when; `merges`, `install` and
//!   `remove` are what it consists of, `compact` begins compactions, `pressure` slows writers down that are ahead of it;
//! - `flush`: flushes that are asked for; `truncate`: emptying a table; [`Cells`]: what was written to, for digests;
//! - [`snapshot`], [`export`], [`ingest`], `finals`: tables go out and come in as whole files; `parts`: where tokens are cut for it;
//! - `discard`: forgetting what belongs to tokens that are not stored here any more;
//! - `quarantine`: damaged tables.

mod changed;
mod cold;
mod compact;
mod discard;
pub mod export;
mod finals;
mod flush;
mod get;
pub mod ingest;
mod install;
pub mod job;
mod merges;
mod open;
mod parts;
mod pressure;
mod quarantine;
mod remove;
mod schedule;
mod scrub;
pub mod snapshot;
mod table_state;
mod truncate;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use starling_model::{
    DecodeError, Mutation, TableId,
    key::{MAX_CLUSTERING_BYTES, MAX_PARTITION_KEY_BYTES},
    mutation::MAX_MUTATION_BYTES,
};

pub use changed::{CELLS, Cells};
pub use cold::Cold;
pub use export::{ExportOptions, Exported};
pub use finals::{Final, FinalHook, Origin};
pub use get::{Extent, PageResult, ReadResult, RowResult};
pub use job::{Job, Step, Task};
pub use open::Recovery;
pub use quarantine::Quarantined;

use crate::{
    Error, Options, PurgePolicy, Stats, TableOptions, TableSettings,
    compaction::rows,
    fs::Fs,
    log::{Log, Lsn},
    memtable::{self, Pool, Write},
    read,
    table::properties::LargeRows,
};
use install::{Change, Turn};
use merges::{Replaces, Work};
use table_state::TableState;

/// A storage engine over one directory, which it has for itself.
///
/// Contract (what the tests of the engine check):
/// 1. A read sees every write that [`apply`](Self::apply) accepted before, merged by the model's law, and
///    nothing that was truncated.
/// 2. After a crash everything is there that the log had synced, and nothing that was truncated.
/// 3. Flushes and compactions change no read's result, but for what the purge policy lets go.
/// 4. Memory is bounded by the options; beyond it writes are refused and nothing changes.
/// 5. A corrupt file is an error that names it; it is never silently left out.
pub struct Engine {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    options: Options,
    log: Arc<Log>,
    /// The next number for a file, shared with the log.
    files: Arc<AtomicU64>,
    tables: BTreeMap<TableId, TableState>,
    /// Bytes in all memtables.
    memory: usize,
    /// Memory of memtables that are gone.
    pool: Arc<Pool>,
    /// Flushes and compactions under way.
    work: Work,
    scrubber: scrub::Scrubber,
    /// The most files of one table that overlap.
    crowd: usize,
    /// Who may write the manifest.
    turn: Arc<Mutex<Turn>>,
    /// Damage that was met.
    reports: quarantine::Reports,
    /// Snapshots, exports, ingests and discards.
    bulk: ingest::Bulk,
    /// Who is told of final tables.
    hook: Option<finals::Hook>,
    counters: Counters,
    /// Memory for reads of single rows.
    points: RefCell<read::PointReader>,
    reads: Cell<u64>,
    visited: Cell<u64>,
    live: Cell<u64>,
}

/// What is counted where the engine is changed.
#[derive(Debug, Default)]
struct Counters {
    writes: u64,
    refused: u64,
    flushes: u64,
    flushed_bytes: u64,
    compactions: u64,
    compacted_bytes_in: u64,
    compacted_bytes_out: u64,
    snapshots: u64,
    ingests: u64,
}

impl Counters {
    /// Counts a change that was installed.
    fn count(&mut self, change: &Change) {
        match &change.replaces {
            Replaces::Memtables(..) => {
                self.flushes += 1;
                self.flushed_bytes += change.written();
            }
            Replaces::Files(_) => {
                self.compactions += 1;
                self.compacted_bytes_in += change.bytes;
                self.compacted_bytes_out += change.written();
            }
            Replaces::Nothing(_) => self.ingests += 1,
            Replaces::Everything(_) => {}
        }
    }
}

impl Engine {
    /// Takes a write: into the log's buffer and the memtable, where reads see it at once. It is durable, and
    /// may be acknowledged, once [`Log::synced`] is at least the number returned.
    ///
    /// What stays in memory is copied from the log record's own bytes, so it keeps no network buffer alive. And
    /// nothing gets into the log that recovery could not read.
    ///
    /// After an error nothing changed: [`Error::TooLarge`], [`Error::Overloaded`] (run the jobs, sync the
    /// log, try later), [`Error::NoSpace`] and [`Error::LogFailed`] (make room or mend the disk; call
    /// [`Log::sync`] now and then), [`Error::Invalid`] for content that is not canonical.
    pub fn apply(&mut self, mutation: &Mutation) -> Result<Lsn, Error> {
        if mutation.partition.is_empty() {
            return Ok(self.log.appended());
        }
        self.apply_encoded(&mutation.encode())
    }

    /// [`apply`](Self::apply) of a mutation as [`Mutation::encode`] encodes it: the cheaper way for whoever has
    /// it so already, because nothing of a write of one row is decoded.
    pub fn apply_encoded(&mut self, record: &[u8]) -> Result<Lsn, Error> {
        let write = check(record)?;
        if write.is_empty() {
            return Ok(self.log.appended());
        }
        let appended = self.check_memory().and_then(|()| self.log.append(record));
        let lsn = match appended {
            Ok(lsn) => lsn,
            Err(error) => {
                self.counters.refused += u64::from(matches!(error, Error::Overloaded { .. }));
                return Err(error);
            }
        };
        self.counters.writes += 1;
        let state = self.tables.entry(write.mutation().table).or_default();
        if let Some(changed) = &mut state.changed {
            changed.add(write.mutation().token);
        }
        let before = state.active.weight();
        let applied = state.active.apply(lsn, &write);
        self.memory = self.memory + state.active.weight() - before;
        let full = state.active.weight() >= self.options.memtable_bytes.min(memtable::MAX_BYTES);
        if full || rows::is_apart(state.active.largest_row()) {
            state.rotate(&self.pool);
        }
        applied.map_err(|_| NOT_CANONICAL)?;
        Ok(lsn)
    }

    fn check_memory(&self) -> Result<(), Error> {
        let held = self.memory;
        if held >= self.options.memory_bytes {
            return Err(Error::Overloaded {
                what: "memtables that wait for their flush",
                held,
                limit: self.options.memory_bytes,
            });
        }
        Ok(())
    }

    /// The log, to be synced from any thread.
    pub fn log(&self) -> Arc<Log> {
        Arc::clone(&self.log)
    }

    /// Sets what compactions may purge of a table, from the next job on. Not durable: to be set after every
    /// open; until then nothing is purged.
    pub fn set_purge(&mut self, table: TableId, policy: PurgePolicy) {
        let state = self.tables.entry(table).or_default();
        state.purge = policy;
        state.look_at = None;
    }

    /// Sets how a table is compacted and written, from the next job on. Not durable: to be set after every open;
    /// until then the engine's options hold.
    pub fn set_table_options(&mut self, table: TableId, options: TableOptions) {
        let state = self.tables.entry(table).or_default();
        state.options = Some(options);
        state.look_at = None;
    }

    /// [Sets](Self::set_table_options) what a table wants otherwise than the engine has it.
    pub fn set_table_settings(&mut self, table: TableId, settings: &TableSettings) {
        self.set_table_options(table, self.options.table_with(settings));
    }

    /// What there is of large rows, of the table ids that have any. A row that is in several files counts several times.
    pub fn large_rows(&self) -> Vec<(TableId, LargeRows)> {
        let of = |state: &TableState| {
            let files = state.tables.live().iter();
            files.fold(LargeRows::default(), |all, table| LargeRows {
                count: all.count + table.properties().large_rows.count,
                largest: all.largest.max(table.largest_row()),
            })
        };
        let all = self.tables.iter().map(|(id, state)| (*id, of(state)));
        all.filter(|(_, rows)| rows.largest > 0).collect()
    }

    /// Figures of the engine.
    pub fn stats(&self) -> Stats {
        let (log_segments, log_bytes) = self.log.on_disk();
        let live = || self.tables.values().flat_map(|state| state.tables.live());
        Stats {
            memtable_bytes: self.memory,
            memtables_waiting: self.tables.values().map(|state| state.waiting.len()).sum(),
            tables: live().count(),
            table_bytes: live().map(|table| table.bytes()).sum(),
            log_segments,
            log_bytes,
            appended: self.log.appended(),
            synced: self.log.synced(),
            syncs: self.log.syncs(),
            batch_sizes: self.log.batch_sizes(),
            logged_bytes: self.log.written_bytes(),
            log_refuses: self.log.is_refusing(),
            scrubbed_bytes: self.scrubber.bytes(),
            snapshots: self.counters.snapshots,
            ingests: self.counters.ingests,
            quarantined: self
                .tables
                .values()
                .map(|state| state.tables.quarantined().count())
                .sum(),
            damage_found: self.reports.found,
            damage_healed: self.reports.healed,
            writes: self.counters.writes,
            refused: self.counters.refused,
            reads: self.reads.get(),
            visited: self.visited.get(),
            live: self.live.get(),
            flushes: self.counters.flushes,
            flushed_bytes: self.counters.flushed_bytes,
            compactions: self.counters.compactions,
            compacted_bytes_in: self.counters.compacted_bytes_in,
            compacted_bytes_out: self.counters.compacted_bytes_out,
            compaction_debt: self.compaction_debt(),
            overlapping: self.crowd,
        }
    }
}

const NOT_CANONICAL: Error = Error::Invalid("the mutation is not canonical");

/// Refuses what tables and log have no place for, and what could not be read back.
fn check(record: &[u8]) -> Result<Write<'_>, Error> {
    let check = |what, bytes: usize, limit: usize| {
        if bytes <= limit {
            Ok(())
        } else {
            Err(Error::TooLarge { what, bytes, limit })
        }
    };
    check("a mutation", record.len(), MAX_MUTATION_BYTES)?;
    let write = Write::check(record).map_err(|error| match error {
        DecodeError::KeyTooLong(bytes) => Error::TooLarge {
            what: "a partition key",
            bytes,
            limit: MAX_PARTITION_KEY_BYTES,
        },
        _ => NOT_CANONICAL,
    })?;
    check(
        "a clustering key",
        write.longest_clustering(),
        MAX_CLUSTERING_BYTES,
    )?;
    Ok(write)
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("dir", &self.dir)
            .field("tables", &self.tables.len())
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

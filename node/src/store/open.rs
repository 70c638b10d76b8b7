//! Opening the shards of a data directory.

use std::{io, path::PathBuf, sync::Arc, time::Instant};

use crossbeam::channel::bounded;
use parking_lot::Mutex;
use starling_sstable::{Engine, Error, Options, Promises, Recovery, ShardMap, fs::Fs};
use tracing::info;

use crate::snapshots::backups;

use super::{
    CommitLogSync, Inner, ShardedStore,
    desk::Desk,
    failures::Failures,
    jobs::JobQueue,
    readers::Readers,
    recovery::{self, Watch},
    shard::Shard,
    slowdown::Slowdown,
    sync,
    sync::Waiting,
    thread,
};

/// Requests that may wait at a shard.
const INBOX_REQUESTS: usize = 4096;

/// Threads that load pages from the disk for reads. Disks do several reads at once; threads that wait cost little.
const READ_THREADS: usize = 4;

/// Settings of a node's storage.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// How many shards there are: that of the [`Layout`](super::Layout).
    pub shards: u32,
    /// When writes are acknowledged.
    pub commitlog_sync: CommitLogSync,
    /// Memory for memtables, of all shards together, in bytes.
    pub memtable_bytes: usize,
    /// Threads for what writes wait for, flushes above all, and as many for all other background work.
    pub background_threads: usize,
    /// Every table that a flush writes or another node brings gets a link in `backups/`.
    pub incremental_backups: bool,
}

/// Why the storage can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An engine.
    #[error("shard {shard} can't be opened: {source}")]
    Engine {
        /// Which shard.
        shard: u32,
        /// Why.
        source: Error,
    },
    /// A thread.
    #[error("cannot start a thread: {0}; raise the limit on processes")]
    Thread(#[from] io::Error),
}

impl ShardedStore {
    /// Opens all shards below the root of `fs`, recovers what their logs hold, and starts their threads.
    /// Blocks while logs are replayed.
    pub fn open(fs: &Arc<dyn Fs>, options: &StoreOptions) -> Result<Self, OpenError> {
        let map = ShardMap::new(options.shards);
        let began = Instant::now();
        // All shards are on one disk.
        let promises = Arc::<Promises>::default();
        let engines = std::thread::scope(|scope| {
            let opening: Vec<_> = (0..map.shards())
                .map(|shard| {
                    let promises = Arc::clone(&promises);
                    scope.spawn(move || engine(fs, options, shard, promises))
                })
                .collect();
            opening
                .into_iter()
                .map(|engine| {
                    engine
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect::<Result<Vec<_>, _>>()
        })?;
        let (engines, recovered): (Vec<_>, Vec<_>) = engines.into_iter().unzip();
        recovery::conclude(&recovered, began.elapsed());
        let (jobs, mut threads) = JobQueue::start(options.background_threads, options.shards)?;
        let readers = Readers::start(READ_THREADS, &mut threads)?;
        let mut desks = Vec::new();
        for (shard, engine) in engines.into_iter().enumerate() {
            let (own, inbox) = bounded(INBOX_REQUESTS);
            let waiting = Waiting::default();
            let log = engine.log();
            let period = match options.commitlog_sync {
                CommitLogSync::Group => None,
                CommitLogSync::Periodic(period) => Some(period),
            };
            let (synced, syncing) = (Arc::clone(&log), waiting.syncer());
            threads.push(thread::vital(format!("log-sync-{shard}"), move || {
                sync::run(&synced, &syncing, period);
            })?);
            let state = Shard {
                engine,
                log,
                mode: options.commitlog_sync,
                own: own.clone(),
                waiting,
                jobs: jobs.clone(),
                readers: readers.clone(),
                number: shard as u32,
                slowdown: Slowdown::default(),
                unlooked: 0,
                stopped: None,
                failures: Failures::default(),
                rest_until: None,
            };
            let desk = Arc::new(Desk::new(state, own));
            let own_desk = Arc::clone(&desk);
            threads.push(thread::vital(format!("shard-{shard}"), move || {
                own_desk.run(&inbox);
            })?);
            desks.push(desk);
        }
        Ok(Self {
            inner: Arc::new(Inner {
                map,
                desks,
                threads: Mutex::new(threads),
            }),
        })
    }
}

/// What must be free on the disk for writes to be taken, in bytes: room for the flush of all memtables and for the
/// next log segment of every shard, because the shards share the disk.
fn reserve_bytes(options: &StoreOptions) -> u64 {
    options.memtable_bytes as u64 + u64::from(options.shards) * Options::default().segment_bytes
}

/// Opens one shard's engine in its own directory.
fn engine(
    fs: &Arc<dyn Fs>,
    options: &StoreOptions,
    shard: u32,
    promises: Arc<Promises>,
) -> Result<(Engine, Recovery), OpenError> {
    let memory = options.memtable_bytes / options.shards.max(1) as usize;
    let engine_options = Options {
        memory_bytes: memory,
        memtable_bytes: memory / 3,
        tokens: ShardMap::new(options.shards).slice(shard),
        reserve_bytes: reserve_bytes(options),
        promises,
        log_salt: rand::random(),
        ..Options::default()
    };
    let dir = PathBuf::from(super::shard_dir(shard));
    let (began, mut watch) = (Instant::now(), Watch::new(shard));
    let mut progress = |progress| watch.progress(began.elapsed(), progress);
    let (mut engine, recovery) = Engine::open_watched(Arc::clone(fs), dir, engine_options, &mut progress)
        .map_err(|source| OpenError::Engine { shard, source })?;
    let Recovery {
        tables,
        segments,
        log_bytes,
        replayed,
        torn_bytes,
        damaged_bytes,
        ..
    } = recovery;
    let seconds = began.elapsed().as_secs_f64();
    info!(
        shard,
        tables, segments, log_bytes, replayed, torn_bytes, damaged_bytes, seconds, "opened"
    );
    if options.incremental_backups {
        engine.on_final(backups::hook(Arc::clone(fs), shard));
    }
    Ok((engine, recovery))
}

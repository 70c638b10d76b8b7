//! One shard: its engine, and who waits for its log.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_model::{
    ClusteringRange, KeyRange, Limits, Mutation, Page, PartitionPage, ReadCommand, TableId, TokenRange,
    TokenSet,
};
use starling_replication::env::Damaged;
use starling_sstable::{
    Cells, Engine, Error, ExportOptions, Exported, Extent, Job, Log, Lsn, PageResult, PurgePolicy, Stats,
    TableSettings, fs::Fs, read::Never,
};

use super::{StoreSettings, background::Jobs};
use crate::{
    bug::{self, Bug},
    executor::{Handle, oneshot, signal::Signal},
    random::Random,
};

/// How often a read waits for pages at most, before it is done whatever it needs.
const MOST_PARKED: u32 = 3;

/// The longest pause of background work that found nothing to do, beside its usual one.
const MOST_REST: Duration = Duration::from_millis(100);

/// The engine went before it told.
const GONE: Error = Error::Invalid("the storage is closed");

pub(super) struct Shard {
    handle: Handle,
    engine: Mutex<Engine>,
    log: Arc<Log>,
    random: Mutex<Random>,
    sync_time: (Duration, Duration),
    pause: Duration,
    state: Mutex<Commit>,
    wanted: Signal,
    reported: Signal,
    jobs: Jobs,
}

/// What is known of the log's syncs.
#[derive(Default)]
struct Commit {
    /// The newest write that someone waits for.
    wanted: Lsn,
    /// How the last sync failed, if it did.
    failed: Option<Error>,
}

impl Shard {
    pub(super) fn open(
        handle: &Handle,
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        settings: &StoreSettings,
    ) -> Result<Arc<Self>, Error> {
        let (engine, _) = Engine::open(fs, dir, settings.engine.clone())?;
        Ok(Arc::new(Self {
            handle: handle.clone(),
            log: engine.log(),
            engine: Mutex::new(engine),
            random: Mutex::new(handle.fork_random()),
            sync_time: (settings.sync_fastest, settings.sync_slowest),
            pause: settings.pause,
            state: Mutex::default(),
            wanted: Signal::default(),
            reported: Signal::default(),
            jobs: Jobs::default(),
        }))
    }

    pub(super) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    pub(super) fn stats(&self) -> Stats {
        self.engine.lock().stats()
    }

    pub(super) fn apply(&self, mutation: &Mutation) -> Result<Lsn, Error> {
        self.engine.lock().apply(mutation)
    }

    /// Ends when a write is durable.
    pub(super) async fn durable(&self, lsn: Lsn) -> Result<(), Error> {
        loop {
            let reported = self.reported.wait();
            if self.log.synced() >= lsn {
                return Ok(());
            }
            {
                let mut state = self.state.lock();
                if let Some(error) = &state.failed {
                    return Err(error.clone());
                }
                state.wanted = state.wanted.max(lsn);
            }
            self.wanted.raise();
            reported.await;
        }
    }

    /// One page, when all that it shows is durable. As in production, what is not in memory is loaded first, while
    /// others are served.
    pub(super) async fn read(
        &self,
        command: ReadCommand,
        extent: Extent,
        bug: Option<Bug>,
    ) -> Result<PageResult, Error> {
        for _ in 0..MOST_PARKED {
            let cold = self.engine.lock().cold(&command);
            let Some(cold) = cold else { break };
            self.sync_time().await;
            cold.load();
        }
        let result = self.engine.lock().read_extent(&command, extent, &mut Never)?;
        if !bug::reads_early(bug) {
            self.durable(result.durable_at).await?;
        }
        Ok(result)
    }

    /// What was found damaged.
    pub(super) fn damaged(&self) -> Vec<Damaged> {
        let quarantined = self.engine.lock().quarantined();
        let pieces = quarantined.iter().map(|piece| Damaged {
            table: piece.table,
            tokens: piece.tokens,
        });
        pieces.collect()
    }

    /// What was damaged there was written anew.
    pub(super) fn heal(&self, piece: Damaged) {
        self.engine.lock().heal(piece.table, piece.tokens);
    }

    /// What was written to since this was last asked.
    pub(super) fn take_changed(&self, table: TableId) -> Cells {
        self.engine.lock().take_changed(table)
    }

    /// Sets how a table is compacted and written.
    pub(super) fn set_options(&self, table: TableId, settings: &TableSettings) {
        self.engine.lock().set_table_settings(table, settings);
    }

    /// Sets what compactions may purge.
    pub(super) fn set_purge(&self, table: TableId, policy: PurgePolicy) {
        self.engine.lock().set_purge(table, policy);
    }

    /// Writes out everything that is in memory.
    pub(super) fn flush_all(&self) {
        self.engine.lock().flush_all();
    }

    /// Compacts all that a table has in files.
    pub(super) fn compact(&self, table: TableId) {
        self.engine.lock().compact(table);
    }

    /// Memtables that wait to be written, and bytes of these tables that were asked to be compacted and are not yet.
    pub(super) fn left_to_do(&self, tables: &[TableId]) -> u64 {
        let engine = self.engine.lock();
        let compacted: u64 = tables.iter().map(|table| engine.left_to_compact(*table)).sum();
        compacted + engine.stats().memtables_waiting as u64
    }

    /// About how many bytes a table has for some tokens.
    pub(super) fn size(&self, table: TableId, tokens: &TokenSet) -> u64 {
        self.engine.lock().bytes_of(table, tokens)
    }

    /// Cuts tokens within some slices into parts of so many bytes.
    pub(super) fn parts(
        &self,
        table: TableId,
        tokens: &TokenSet,
        slices: &[TokenRange],
        bytes: &RangeInclusive<u64>,
    ) -> Vec<(TokenSet, u64)> {
        self.engine.lock().parts_of(table, tokens, slices, bytes)
    }

    /// Writes tokens out, cut into parts.
    pub(super) async fn export(
        &self,
        table: TableId,
        tokens: &TokenSet,
        parts: &[TokenRange],
        dir: PathBuf,
        options: ExportOptions,
    ) -> Result<Vec<Exported>, Error> {
        let (tell, told) = oneshot::channel();
        let done = move |outcome| tell.send(outcome);
        self.engine
            .lock()
            .export_with(table, tokens, parts, dir, options, done)?;
        told.await.unwrap_or(Err(GONE))
    }

    /// Takes files in.
    pub(super) async fn ingest(&self, table: TableId, files: Vec<PathBuf>) -> Result<(), Error> {
        let (tell, told) = oneshot::channel();
        let done = move |outcome| tell.send(outcome);
        self.engine.lock().ingest(table, files, done)?;
        told.await.unwrap_or(Err(GONE))
    }

    /// Forgets tokens.
    pub(super) async fn discard(&self, table: TableId, tokens: TokenSet) -> Result<u64, Error> {
        let (tell, told) = oneshot::channel();
        let done = move |outcome| tell.send(outcome);
        self.engine.lock().discard(table, tokens, done)?;
        told.await.unwrap_or(Err(GONE))
    }

    /// One page, durable or not; for what only looks.
    pub(super) fn read_now(&self, command: &ReadCommand) -> Option<Page> {
        self.engine.lock().read(command).ok().map(|result| result.page)
    }

    /// Removes a table's data once all that was written before is durable.
    pub(super) async fn truncate(&self, table: TableId) -> Result<(), Error> {
        self.sync_time().await;
        self.engine.lock().truncate(table)
    }

    /// All of a table's partitions in a token range, whole.
    pub(super) fn dump(&self, table: TableId, range: TokenRange) -> Result<Vec<PartitionPage>, Error> {
        let mut command = ReadCommand {
            table,
            keys: KeyRange::Tokens(range),
            slices: vec![ClusteringRange::ALL],
            reversed: false,
            after: None,
            limits: Limits {
                bytes: u32::MAX,
                visited: u32::MAX,
                ..Limits::NONE
            },
            now: starling_model::Seconds(0),
        };
        let mut all = Vec::new();
        loop {
            let page = self.engine.lock().read(&command)?.page;
            all.extend(page.partitions);
            match page.next {
                Some(position) => command.after = Some(position),
                None => return Ok(all),
            }
        }
    }

    /// Ends when somebody waits for a sync.
    pub(super) async fn wanted(&self) {
        loop {
            let wanted = self.wanted.wait();
            if self.state.lock().wanted > self.log.synced() {
                return;
            }
            wanted.await;
        }
    }

    /// The time that a sync takes.
    pub(super) async fn sync_time(&self) {
        let time = self.random.lock().between(self.sync_time.0, self.sync_time.1);
        self.handle.sleep(time).await;
    }

    /// Tells everyone who waits how a sync went.
    pub(super) fn report(&self, error: Option<Error>) {
        self.state.lock().failed = error;
        self.reported.raise();
    }

    /// A pause of the background work.
    pub(super) async fn pause(&self) {
        let pause = self.random.lock().between(Duration::from_micros(100), self.pause);
        self.handle.sleep(pause).await;
    }

    /// A pause of the background work that found nothing to do.
    pub(super) async fn rest(&self) {
        let time = self.random.lock().between(Duration::ZERO, MOST_REST);
        self.handle.sleep(time).await;
    }

    /// The jobs that were handed out and wait for their next step.
    pub(super) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Hands out all that the engine offers; whether that was anything.
    pub(super) fn hand_out(&self) -> bool {
        let now = crate::env::true_time(self.handle.now()).seconds();
        let mut engine = self.engine.lock();
        let mut any = false;
        while let Some(job) = engine.next_job(now) {
            self.jobs.put(job);
            any = true;
        }
        any
    }

    pub(super) fn finish(&self, job: Job) {
        // A failed installation leaves the engine as it was; the job is offered again.
        drop(self.engine.lock().finish(job));
    }
}

//! A shard as a node drives it, but for the inbox.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crossbeam::channel::{Receiver, Sender, unbounded};
use starling_model::{Seconds, TokenRange};
use starling_sstable::{Compression, Engine, Log, Options, ShardMap, fs::RealFs};

use super::{
    encoder::TABLE,
    failed,
    jobs::{Done, Jobs},
    syncer::Syncer,
};
use crate::engine::{
    error::Error,
    session::{Durability, Settings},
};

/// A shard asks for work, and takes back what is done, once in so many writes.
const WRITES_BETWEEN_LOOKS: u32 = 64;

/// Shorter waits than this are gathered.
const LEAST_SLEEP: Duration = Duration::from_micros(100);

/// An engine and what drives it.
pub(crate) struct Shard {
    pub(crate) engine: Engine,
    pub(super) log: Arc<Log>,
    pub(super) slice: TokenRange,
    jobs: Jobs,
    done: Receiver<Done>,
    back: Sender<Done>,
    under_way: usize,
    writes: u32,
    /// What the engine asked writers to wait and was not waited yet.
    owed: Duration,
    _syncer: Option<Syncer>,
}

impl Shard {
    pub(super) fn open(settings: &Settings, map: ShardMap, number: u32, jobs: Jobs) -> Result<Self, Error> {
        let shards = map.shards() as usize;
        let compression = if settings.lz4 {
            Compression::Lz4
        } else {
            Compression::None
        };
        let options = Options {
            memtable_bytes: settings.memtable_bytes / shards,
            memory_bytes: settings.memory_bytes / shards,
            block_bytes: compression.default_block_bytes(),
            compression,
            filter_bits: settings.filter_bits,
            tokens: map.slice(number),
            compactions: settings.background,
            ..Options::default()
        };
        let dir = settings.dir.join(format!("shard-{number}"));
        let (engine, _) = Engine::open(Arc::new(RealFs), dir, options).map_err(failed)?;
        let log = engine.log();
        let syncer = match settings.durability {
            Durability::Synced => None,
            Durability::Buffered | Durability::Periodic => Some(Syncer::start(Arc::clone(&log))?),
        };
        let (back, done) = unbounded();
        Ok(Self {
            engine,
            log,
            slice: map.slice(number),
            jobs,
            done,
            back,
            under_way: 0,
            writes: 0,
            owed: Duration::ZERO,
            _syncer: syncer,
        })
    }

    /// Takes back what is done and hands out what is to do.
    fn look(&mut self) -> Result<(), Error> {
        while let Ok(done) = self.done.try_recv() {
            self.finish(done)?;
        }
        while let Some(job) = self.engine.next_job(now()) {
            self.under_way += 1;
            self.jobs.push(Box::new(job), self.back.clone());
        }
        Ok(())
    }

    fn finish(&mut self, done: Done) -> Result<(), Error> {
        self.under_way -= 1;
        let (job, outcome) = done;
        outcome.map_err(failed)?;
        self.engine.finish(*job).map_err(failed)
    }

    /// Waits for one job.
    fn wait(&mut self) -> Result<(), Error> {
        let done = self.done.recv().map_err(failed)?;
        self.finish(done)?;
        self.look()
    }

    /// Takes a write. Where a node would refuse it, it waits.
    pub(crate) fn apply(&mut self, record: &[u8]) -> Result<(), Error> {
        loop {
            match self.engine.apply_encoded(record) {
                Ok(_) => break,
                Err(starling_sstable::Error::Overloaded { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
            // It is the log's sync or a job that makes room.
            if let Ok(done) = self.done.recv_timeout(Duration::from_millis(1)) {
                self.finish(done)?;
            }
            self.look()?;
        }
        self.delay(record.len());
        self.writes += 1;
        if self.writes == WRITES_BETWEEN_LOOKS {
            self.writes = 0;
            self.look()?;
        }
        Ok(())
    }

    /// Waits as long as the engine asks writers to, in pieces that a thread can sleep.
    fn delay(&mut self, bytes: usize) {
        self.owed += Duration::from_nanos(self.engine.write_delay(bytes));
        if self.owed >= LEAST_SLEEP {
            let start = Instant::now();
            thread::sleep(self.owed);
            self.owed = self.owed.saturating_sub(start.elapsed());
        }
    }

    /// Writes memtables out and waits until no work is left.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        self.engine.flush_all();
        self.work_off()
    }

    /// Merges all tables and waits until that is done.
    pub(crate) fn compact(&mut self) -> Result<(), Error> {
        self.settle()?;
        self.engine.compact(TABLE);
        self.work_off()
    }

    fn work_off(&mut self) -> Result<(), Error> {
        self.look()?;
        while self.under_way > 0 {
            self.wait()?;
        }
        Ok(())
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        // A half-done job would be thrown away by its thread; the files are thrown away anyway.
        while self.under_way > 0 && self.done.recv_timeout(Duration::from_mins(1)).is_ok() {
            self.under_way -= 1;
        }
    }
}

/// The second of the system's clock.
pub(super) fn now() -> Seconds {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Seconds(u32::try_from(now.as_secs()).unwrap_or(u32::MAX))
}

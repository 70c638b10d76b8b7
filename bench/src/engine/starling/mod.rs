//! Our engine, driven as a node drives it: a thread that owns a shard, threads for its jobs, a thread that
//! syncs its log.

mod encoder;
mod jobs;
mod syncer;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crossbeam::channel::{Receiver, Sender, unbounded};
use starling_model::{
    ClusteringRange, KeyRange, Limits, ReadCommand, Seconds, Token, TokenRange, ValueRef,
    encoding::{DecodeError, Input, RowView},
};
use starling_sstable::{Compression, Engine, Log, Options, ShardMap, fs::RealFs, read::Never};

use super::{
    error::Error,
    rows::Key,
    session::{Durability, Session, Settings},
};
use encoder::{Encoder, TABLE};
use jobs::{Done, Jobs};
use syncer::Syncer;

/// A shard asks for work, and takes back what is done, once in so many writes.
const WRITES_BETWEEN_LOOKS: u32 = 64;

/// Shorter waits than this are gathered.
const LEAST_SLEEP: Duration = Duration::from_micros(100);

fn failed(reason: impl std::fmt::Display) -> Error {
    Error::Store {
        store: "Starling",
        reason: reason.to_string(),
    }
}

/// Opens one engine for each thread, each with its slice of the tokens and of the budgets.
pub fn open(settings: &Settings) -> Result<Vec<Box<dyn Session>>, Error> {
    let map = ShardMap::new(settings.threads);
    let jobs = Jobs::start(settings.background)?;
    (0..settings.threads)
        .map(|number| {
            let shard = Shard::open(settings, map, number, jobs.clone())?;
            Ok(Box::new(shard) as Box<dyn Session>)
        })
        .collect()
}

struct Shard {
    engine: Engine,
    log: Arc<Log>,
    encoder: Encoder,
    slice: TokenRange,
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
    fn open(settings: &Settings, map: ShardMap, number: u32, jobs: Jobs) -> Result<Self, Error> {
        let shards = settings.threads as usize;
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
            encoder: Encoder::new(settings),
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

    fn apply(&mut self, key: Key, update: u64) -> Result<(), Error> {
        let record = self.encoder.encode(key, update);
        loop {
            match self.engine.apply_encoded(record) {
                Ok(_) => break,
                Err(starling_sstable::Error::Overloaded { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
            // What a node's clients see as a refusal is a wait here.
            let done = self.done.recv_timeout(Duration::from_millis(1));
            if let Ok((job, outcome)) = done {
                self.under_way -= 1;
                outcome.map_err(failed)?;
                self.engine.finish(*job).map_err(failed)?;
            }
            while let Some(job) = self.engine.next_job(now()) {
                self.under_way += 1;
                self.jobs.push(Box::new(job), self.back.clone());
            }
        }
        self.delay();
        self.writes += 1;
        if self.writes == WRITES_BETWEEN_LOOKS {
            self.writes = 0;
            self.look()?;
        }
        Ok(())
    }

    /// Waits as long as the engine asks writers to, in pieces that a thread can sleep.
    fn delay(&mut self) {
        self.owed += Duration::from_nanos(self.engine.write_delay(self.encoder.record_bytes()));
        if self.owed >= LEAST_SLEEP {
            let start = Instant::now();
            thread::sleep(self.owed);
            self.owed = self.owed.saturating_sub(start.elapsed());
        }
    }

    fn work_off(&mut self) -> Result<(), Error> {
        self.look()?;
        while self.under_way > 0 {
            self.wait()?;
        }
        Ok(())
    }
}

impl Session for Shard {
    fn put(&mut self, key: Key, update: u64) -> Result<(), Error> {
        self.apply(key, update)
    }

    fn put_durably(&mut self, keys: &[Key]) -> Result<(), Error> {
        for key in keys {
            self.apply(*key, 0)?;
        }
        self.log.sync().map(drop).map_err(failed)
    }

    fn get(&mut self, key: Key, see: &mut dyn FnMut(&[u8])) -> Result<bool, Error> {
        let answer = self
            .engine
            .get(TABLE, &encoder::decorated(key), &[], None)
            .map_err(failed)?;
        let Some(row) = answer.row else {
            return Ok(false);
        };
        see_first(RowView::new(&row).map_err(failed)?, see).map_err(failed)?;
        Ok(true)
    }

    fn scan(&mut self, from: Key, rows: usize, see: &mut dyn FnMut(&[u8])) -> Result<usize, Error> {
        let range = TokenRange {
            start: Token(encoder::decorated(from).token.0 - 1),
            end: self.slice.end,
        };
        let command = command(KeyRange::Tokens(range), rows as u32);
        let answer = self.engine.read_encoded(&command, &mut Never).map_err(failed)?;
        let mut seen = 0;
        for partition in &answer.page.partitions {
            seen += see_all(&partition.partition, see).map_err(failed)?;
        }
        Ok(seen)
    }

    fn settle(&mut self) -> Result<(), Error> {
        self.engine.flush_all();
        self.work_off()
    }

    fn compact(&mut self) -> Result<(), Error> {
        self.settle()?;
        self.engine.compact(TABLE);
        self.work_off()
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        // A half-done job would be thrown away by its thread; the files are thrown away anyway.
        while self.under_way > 0 && self.done.recv_timeout(Duration::from_secs(60)).is_ok() {
            self.under_way -= 1;
        }
    }
}

/// Shows the first column of an encoded row.
fn see_first(row: RowView<'_>, see: &mut dyn FnMut(&[u8])) -> Result<(), DecodeError> {
    if let Some(cell) = row.cells().next().transpose()?
        && let ValueRef::Live { value, .. } = cell.value
    {
        see(value);
    }
    Ok(())
}

/// Shows the first column of each row of an encoded partition that has nothing but rows.
fn see_all(partition: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<usize, DecodeError> {
    let mut input = Input::new(partition);
    input.flags(0)?;
    if input.count()? > 0 {
        return Err(DecodeError::NotCanonical);
    }
    let rows = input.count()?;
    for _ in 0..rows {
        input.bytes()?;
        see_first(RowView::take(&mut input)?, see)?;
    }
    Ok(rows)
}

fn command(keys: KeyRange, rows: u32) -> ReadCommand {
    ReadCommand {
        table: TABLE,
        keys,
        slices: vec![ClusteringRange::ALL],
        reversed: false,
        after: None,
        limits: Limits { rows, ..Limits::NONE },
        now: now(),
    }
}

fn now() -> Seconds {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Seconds(u32::try_from(now.as_secs()).unwrap_or(u32::MAX))
}

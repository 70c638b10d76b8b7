//! One store through all phases of one run, in a process of its own.

use std::{
    path::PathBuf,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use starling_model::Token;
use starling_sstable::ShardMap;

use super::{
    disk::Probe,
    error::Error,
    rows::{KEY_BYTES, Key, VALUE_BYTES, Values},
    session::{Durability, Session, Settings, Store},
    timeline::{Interval, Timeline},
    usage::{self, Cpu, Memory, Watch},
};

/// More threads than this share shards.
const MOST_SHARDS: u32 = 2;

/// The most writes of a log that is read back.
const MOST_RECOVERED: u64 = 500_000;

/// What is run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The store.
    pub store: Store,
    /// How many rows are loaded.
    pub rows: u64,
    /// Threads that use the store.
    pub threads: u32,
    /// LZ4, or no compression.
    pub lz4: bool,
    /// Columns of a row.
    pub columns: usize,
    /// When the log is synced.
    pub durability: Durability,
    /// With [`Durability::Synced`]: how many writers of each thread share a sync.
    pub writers: usize,
    /// The budget of the active memtables, in bytes.
    pub memtable_bytes: usize,
    /// The budget of all memtables, in bytes.
    pub memory_bytes: usize,
    /// The cache of blocks, in bytes.
    pub cache_bytes: usize,
    /// Where files may go; emptied afterwards.
    pub dir: PathBuf,
}

/// A phase's name in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Writing all rows in random order.
    Load,
    /// Reading rows that exist, before everything was compacted.
    GetBefore,
    /// Reading rows that do not exist, before.
    MissBefore,
    /// Reading a hundred rows in order, before.
    ScanBefore,
    /// Compacting everything.
    Compact,
    /// Reading rows that exist, after.
    GetAfter,
    /// Reading rows that do not exist, after.
    MissAfter,
    /// Reading a hundred rows in order, after.
    ScanAfter,
    /// Reading and rewriting rows in turn.
    Mixed,
}

/// What a phase took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// The phase.
    pub phase: Phase,
    /// How often it did what it does.
    pub operations: u64,
    /// How long it lasted, in seconds.
    pub seconds: f64,
    /// CPU of all threads, in seconds; of a load, of the flushes and compactions that follow from it too.
    pub cpu_seconds: f64,
    /// Latencies, in nanoseconds: median, 99 %, 99.9 %, worst.
    pub latency_ns: [u64; 4],
}

/// What one run of one store gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// The store.
    pub store: Store,
    /// The phases, in the order in which they ran.
    pub figures: Vec<Figure>,
    /// Keys and values that were loaded, in bytes.
    pub raw_bytes: u64,
    /// What was written for it, logs included, until the store was quiet, in bytes.
    pub written_bytes: u64,
    /// What the files took of the disk then, in bytes.
    pub disk_bytes: u64,
    /// The same after everything was compacted.
    pub compacted_bytes: u64,
    /// The process's own memory at its peak during the load, in bytes.
    pub load_peak_bytes: u64,
    /// The same over the reads after it.
    pub read_peak_bytes: u64,
    /// Memory after the last read.
    pub memory: Memory,
    /// The worst of small syncs made beside the load, in nanoseconds.
    pub worst_sync_ns: u64,
    /// The load over time.
    pub timeline: Vec<Interval>,
    /// Reading a log back; of ours only.
    #[serde(default)]
    pub recovery: Option<Recovered>,
}

/// What reading a log back took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Recovered {
    /// The writes in it.
    pub writes: u64,
    /// Its bytes.
    pub bytes: u64,
    /// How long it took, from opening to being ready.
    pub seconds: f64,
}

impl Outcome {
    /// What a phase took, if it was run.
    pub fn figure(&self, phase: Phase) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.phase == phase)
    }
}

/// Runs the plan. The directory of the plan must not exist, and does not afterwards.
pub fn run(plan: &Plan) -> Result<Outcome, Error> {
    std::fs::create_dir_all(&plan.dir)?;
    let outcome = phases(plan);
    std::fs::remove_dir_all(&plan.dir)?;
    outcome
}

fn phases(plan: &Plan) -> Result<Outcome, Error> {
    let store_dir = plan.dir.join("store");
    let settings = Settings {
        dir: store_dir.clone(),
        threads: plan.threads,
        shards: plan.threads.min(MOST_SHARDS),
        lz4: plan.lz4,
        columns: plan.columns,
        durability: plan.durability,
        memtable_bytes: plan.memtable_bytes,
        memory_bytes: plan.memory_bytes,
        cache_bytes: plan.cache_bytes,
        filter_bits: 10,
        background: 2,
        values: Arc::new(Values::new()),
    };
    let sessions = open(plan.store, &settings)?;
    let mut bench = Bench {
        plan,
        map: ShardMap::new(plan.threads),
        values: Arc::clone(&settings.values),
        sessions,
        figures: Vec::new(),
    };
    let watch = Watch::start()?;
    let probe = Probe::start(&plan.dir.join("probe"))?;
    let written = usage::written()?;
    let timeline = bench.load()?;
    let mut outcome = Outcome {
        store: plan.store,
        figures: Vec::new(),
        raw_bytes: plan.rows * (KEY_BYTES + VALUE_BYTES) as u64,
        written_bytes: usage::written()? - written,
        disk_bytes: usage::on_disk(&store_dir)?,
        compacted_bytes: 0,
        load_peak_bytes: watch.take(),
        read_peak_bytes: 0,
        memory: Memory::default(),
        worst_sync_ns: probe.stop()?.as_nanos() as u64,
        timeline,
        recovery: None,
    };
    if plan.durability != Durability::Synced {
        bench.reads([Phase::GetBefore, Phase::MissBefore, Phase::ScanBefore])?;
        bench.compact()?;
        outcome.compacted_bytes = usage::on_disk(&store_dir)?;
        watch.take();
        bench.reads([Phase::GetAfter, Phase::MissAfter, Phase::ScanAfter])?;
        outcome.read_peak_bytes = watch.take();
        outcome.memory = usage::memory()?;
        bench.reads([Phase::Mixed])?;
        if plan.store == Store::Starling {
            let writes = plan.rows.min(MOST_RECOVERED);
            outcome.recovery = Some(super::starling::recover(&settings, writes)?);
        }
    }
    outcome.figures = bench.figures;
    Ok(outcome)
}

fn open(store: Store, settings: &Settings) -> Result<Vec<Box<dyn Session>>, Error> {
    match store {
        Store::Starling => super::starling::open(settings),
        #[cfg(feature = "peers")]
        Store::Rocksdb => super::rocksdb::open(settings),
        #[cfg(feature = "peers")]
        Store::Fjall => super::fjall::open(settings),
        #[cfg(not(feature = "peers"))]
        Store::Rocksdb | Store::Fjall => Err(Error::Missing(store.name())),
    }
}

struct Bench<'p> {
    plan: &'p Plan,
    map: ShardMap,
    values: Arc<Values>,
    sessions: Vec<Box<dyn Session>>,
    figures: Vec<Figure>,
}

/// What one thread measured.
struct Part {
    latencies: Histogram<u64>,
    timeline: Timeline,
}

impl Bench<'_> {
    fn load(&mut self) -> Result<Vec<Interval>, Error> {
        let (plan, map) = (self.plan, self.map);
        let cpu = Cpu::start();
        let (seconds, parts) = on_all(&mut self.sessions, |number, session, part| {
            let mine = (0..plan.rows)
                .map(Key::of)
                .filter(|key| shard_of(map, *key) == number);
            if plan.durability == Durability::Synced {
                load_durably(session, mine, plan.writers, part)
            } else {
                load_plainly(session, mine, part)
            }
        })?;
        for session in &mut self.sessions {
            session.settle()?;
        }
        let cpu = cpu.spent();
        let mut latencies = histogram();
        let mut timeline = Timeline::new(Instant::now());
        for part in parts {
            latencies
                .add(&part.latencies)
                .map_err(|error| Error::Run(error.to_string()))?;
            timeline.merge(&part.timeline);
        }
        self.figures.push(figure(Phase::Load, seconds, cpu, &latencies));
        Ok(timeline.intervals())
    }

    fn reads<const N: usize>(&mut self, phases: [Phase; N]) -> Result<(), Error> {
        for phase in phases {
            let operations = match phase {
                Phase::ScanBefore | Phase::ScanAfter => (self.plan.rows / 20).clamp(1_000, 20_000),
                _ => self.plan.rows.clamp(1_000, 500_000),
            };
            // The first pass warms what there is to warm.
            if phase != Phase::Mixed {
                self.pass(phase, operations / 2)?;
            }
            let cpu = Cpu::start();
            let (seconds, latencies) = self.pass(phase, operations)?;
            let cpu = cpu.spent();
            self.figures.push(figure(phase, seconds, cpu, &latencies));
        }
        Ok(())
    }

    fn pass(&mut self, phase: Phase, operations: u64) -> Result<(f64, Histogram<u64>), Error> {
        let (plan, map, values) = (self.plan, self.map, &self.values);
        let each = operations / u64::from(plan.threads);
        let (seconds, parts) = on_all(&mut self.sessions, |number, session, part| {
            let mut reader = Reader {
                plan,
                map,
                values,
                number,
                random: 0x5EED + u64::from(number),
                checked: phase != Phase::Mixed,
            };
            let mut last = Instant::now();
            for step in 0..each {
                reader.step(session, phase, step)?;
                let now = Instant::now();
                part.latencies.saturating_record((now - last).as_nanos() as u64);
                last = now;
            }
            Ok(())
        })?;
        let mut latencies = histogram();
        for part in parts {
            latencies
                .add(&part.latencies)
                .map_err(|error| Error::Run(error.to_string()))?;
        }
        Ok((seconds, latencies))
    }

    fn compact(&mut self) -> Result<(), Error> {
        let cpu = Cpu::start();
        let (seconds, _) = on_all(&mut self.sessions, |number, session, _| {
            // Stores that threads share are compacted once.
            if number == 0 || matches!(self.plan.store, Store::Starling) {
                session.compact()
            } else {
                Ok(())
            }
        })?;
        let cpu = cpu.spent();
        self.figures
            .push(figure(Phase::Compact, seconds, cpu, &histogram()));
        Ok(())
    }
}

/// Runs `work` on each session, each on a thread of its own, and gives the time until all were through.
fn on_all(
    sessions: &mut [Box<dyn Session>],
    work: impl Fn(u32, &mut dyn Session, &mut Part) -> Result<(), Error> + Sync,
) -> Result<(f64, Vec<Part>), Error> {
    let barrier = Barrier::new(sessions.len() + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = sessions
            .iter_mut()
            .enumerate()
            .map(|(number, session)| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    let mut part = Part {
                        latencies: histogram(),
                        timeline: Timeline::new(Instant::now()),
                    };
                    work(number as u32, session.as_mut(), &mut part)?;
                    Ok::<_, Error>(part)
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        let parts = threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(Error::Run("a thread panicked".to_owned())))
            })
            .collect::<Result<_, _>>()?;
        Ok((start.elapsed().as_secs_f64(), parts))
    })
}

fn load_plainly(
    session: &mut dyn Session,
    keys: impl Iterator<Item = Key>,
    part: &mut Part,
) -> Result<(), Error> {
    let mut last = Instant::now();
    for key in keys {
        session.put(key, 0)?;
        let now = Instant::now();
        part.record(now, now - last, 1);
        last = now;
    }
    Ok(())
}

/// Each of the writers has one write under way; all of them wait for the same sync.
fn load_durably(
    session: &mut dyn Session,
    keys: impl Iterator<Item = Key>,
    writers: usize,
    part: &mut Part,
) -> Result<(), Error> {
    let mut group = Vec::with_capacity(writers);
    let mut keys = keys.peekable();
    while keys.peek().is_some() {
        group.clear();
        group.extend(keys.by_ref().take(writers));
        let start = Instant::now();
        session.put_durably(&group)?;
        let now = Instant::now();
        part.record(now, now - start, group.len() as u64);
    }
    Ok(())
}

impl Part {
    fn record(&mut self, now: Instant, took: Duration, times: u64) {
        let ns = took.as_nanos() as u64;
        self.latencies.saturating_record_n(ns, times);
        self.timeline.record(now, ns, times);
    }
}

/// Chooses rows and checks what is read of them.
struct Reader<'a> {
    plan: &'a Plan,
    map: ShardMap,
    values: &'a Values,
    number: u32,
    random: u64,
    checked: bool,
}

impl Reader<'_> {
    fn step(&mut self, session: &mut dyn Session, phase: Phase, step: u64) -> Result<(), Error> {
        match phase {
            Phase::MissBefore | Phase::MissAfter => self.miss(session),
            Phase::ScanBefore | Phase::ScanAfter => self.scan(session),
            Phase::Mixed if step % 2 == 1 => {
                let key = self.own(Key::of);
                session.put(key, 1)
            }
            _ => self.get(session),
        }
    }

    /// The next random key that belongs to this thread.
    fn own(&mut self, make: fn(u64) -> Key) -> Key {
        loop {
            // A linear congruential generator (Knuth's constants); the high bits are the good ones.
            self.random = self
                .random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let number = ((u128::from(self.random) * u128::from(self.plan.rows)) >> 64) as u64;
            let key = make(number);
            if shard_of(self.map, key) == self.number {
                return key;
            }
        }
    }

    fn get(&mut self, session: &mut dyn Session) -> Result<(), Error> {
        let key = self.own(Key::of);
        let expected = &self.values.of(key.number, 0)[..8];
        let mut right = !self.checked;
        let found = session.get(key, &mut |value| right |= value.get(..8) == Some(expected))?;
        if found && right {
            return Ok(());
        }
        Err(self.wrong(format!("row {} was not read as it was written", key.number)))
    }

    fn miss(&mut self, session: &mut dyn Session) -> Result<(), Error> {
        let key = self.own(Key::missing);
        if session.get(key, &mut |_| {})? {
            return Err(self.wrong(format!("row {} was read and never written", key.number)));
        }
        Ok(())
    }

    fn scan(&mut self, session: &mut dyn Session) -> Result<(), Error> {
        const ROWS: usize = 100;
        let fine = ShardMap::new(self.plan.threads * 100);
        // The last hundredth of a slice may have fewer rows after it.
        let key = loop {
            let key = self.own(Key::of);
            if shard_of(fine, key) % 100 != 99 {
                break key;
            }
        };
        let mut bytes = 0;
        let seen = session.scan(key, ROWS, &mut |value| bytes += value.len())?;
        if seen == ROWS && bytes == ROWS * VALUE_BYTES / self.plan.columns {
            return Ok(());
        }
        Err(self.wrong(format!("a scan gave {seen} rows and {bytes} bytes")))
    }

    fn wrong(&self, what: String) -> Error {
        Error::Wrong {
            store: self.plan.store.name(),
            what,
        }
    }
}

fn shard_of(map: ShardMap, key: Key) -> u32 {
    map.shard_of(Token((key.token ^ (1 << 63)) as i64))
}

/// From a nanosecond to a minute, three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order")
}

fn figure(phase: Phase, seconds: f64, cpu: Duration, latencies: &Histogram<u64>) -> Figure {
    Figure {
        phase,
        operations: latencies.len(),
        seconds,
        cpu_seconds: cpu.as_secs_f64(),
        latency_ns: [
            latencies.value_at_quantile(0.5),
            latencies.value_at_quantile(0.99),
            latencies.value_at_quantile(0.999),
            latencies.max(),
        ],
    }
}

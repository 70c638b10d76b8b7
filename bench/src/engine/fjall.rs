//! fjall, tuned for this work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode,
    config::{
        BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry,
        HashRatioPolicy,
    },
};

use super::{
    error::Error,
    rows::{Key, first_column, plain_row},
    session::{Durability, PERIOD, Session, Settings},
};

fn failed(reason: impl std::fmt::Display) -> Error {
    Error::Store {
        store: "fjall",
        reason: reason.to_string(),
    }
}

/// Opens the one database that all threads share.
pub fn open(settings: &Settings) -> Result<Vec<Box<dyn Session>>, Error> {
    let db = Database::builder(&settings.dir)
        .cache_size(settings.cache_bytes as u64)
        .worker_threads(settings.background)
        // The log goes to the system every ten milliseconds instead of with every write, as ours does.
        .manual_journal_persist(true)
        .open()
        .map_err(failed)?;
    let keyspace = db.keyspace("rows", || options(settings)).map_err(failed)?;
    let syncer = match settings.durability {
        Durability::Synced => None,
        Durability::Buffered => Some(Arc::new(Syncer::start(&db, PersistMode::Buffer)?)),
        Durability::Periodic => Some(Arc::new(Syncer::start(&db, PersistMode::SyncData)?)),
    };
    Ok((0..settings.threads)
        .map(|_| {
            Box::new(Shared {
                db: db.clone(),
                keyspace: keyspace.clone(),
                settings: settings.clone(),
                row: Vec::new(),
                _syncer: syncer.clone(),
            }) as Box<dyn Session>
        })
        .collect())
}

fn options(settings: &Settings) -> KeyspaceCreateOptions {
    let compression = if settings.lz4 {
        CompressionType::Lz4
    } else {
        CompressionType::None
    };
    let bits = BloomConstructionPolicy::BitsPerKey(settings.filter_bits as f32);
    KeyspaceCreateOptions::default()
        .max_memtable_size(settings.memtable_bytes as u64)
        .manual_journal_persist(true)
        .data_block_size_policy(BlockSizePolicy::all(4 << 10))
        .data_block_compression_policy(CompressionPolicy::all(compression))
        // A hash index in each block makes point reads cheaper than binary search alone.
        .data_block_hash_ratio_policy(HashRatioPolicy::all(0.75))
        .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(bits)))
}

struct Shared {
    db: Database,
    keyspace: Keyspace,
    settings: Settings,
    row: Vec<u8>,
    _syncer: Option<Arc<Syncer>>,
}

impl Shared {
    fn row(&mut self, key: Key, update: u64) {
        let value = self.settings.values.of(key.number, update);
        plain_row(value, self.settings.columns, &mut self.row);
    }
}

impl Session for Shared {
    fn put(&mut self, key: Key, update: u64) -> Result<(), Error> {
        self.row(key, update);
        self.keyspace
            .insert(key.bytes(), self.row.as_slice())
            .map_err(failed)
    }

    fn put_durably(&mut self, keys: &[Key]) -> Result<(), Error> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        for key in keys {
            self.row(*key, 0);
            batch.insert(&self.keyspace, key.bytes(), self.row.as_slice());
        }
        batch.commit().map_err(failed)
    }

    fn get(&mut self, key: Key, see: &mut dyn FnMut(&[u8])) -> Result<bool, Error> {
        let found = self.keyspace.get(key.bytes()).map_err(failed)?;
        if let Some(row) = &found {
            see(first_column(row, self.settings.columns));
        }
        Ok(found.is_some())
    }

    fn scan(&mut self, from: Key, rows: usize, see: &mut dyn FnMut(&[u8])) -> Result<usize, Error> {
        let mut seen = 0;
        for item in self.keyspace.range(from.bytes()..).take(rows) {
            let (_, row) = item.into_inner().map_err(failed)?;
            see(first_column(&row, self.settings.columns));
            seen += 1;
        }
        Ok(seen)
    }

    fn settle(&mut self) -> Result<(), Error> {
        self.keyspace.rotate_memtable_and_wait().map_err(failed)?;
        // There is no call that waits for compactions: the store is quiet when it has been for a while.
        let mut quiet = 0;
        while quiet < 20 {
            thread::sleep(Duration::from_millis(10));
            let busy = self.db.outstanding_flushes() > 0 || self.db.active_compactions() > 0;
            quiet = if busy { 0 } else { quiet + 1 };
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<(), Error> {
        self.settle()?;
        self.keyspace.major_compact().map_err(failed)?;
        self.settle()
    }
}

/// Hands the log on every [`PERIOD`] until it is dropped.
struct Syncer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    fn start(db: &Database, mode: PersistMode) -> Result<Self, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let (db, stopped) = (db.clone(), Arc::clone(&stop));
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(PERIOD);
                // A log that can't be written makes the next write fail, which says why.
                let _ = db.persist(mode);
            }
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

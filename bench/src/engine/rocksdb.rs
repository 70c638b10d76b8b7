//! RocksDB, tuned as its own guides advise for this work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, ChecksumType, CompactOptions, DB, DBCompressionType,
    DataBlockIndexType, FlushOptions, Options, ReadOptions, WaitForCompactOptions, WriteBatch, WriteOptions,
};

use super::{
    error::Error,
    rows::{Key, first_column, plain_row},
    session::{Durability, PERIOD, Session, Settings},
};

fn failed(reason: impl std::fmt::Display) -> Error {
    Error::Store {
        store: "RocksDB",
        reason: reason.to_string(),
    }
}

/// Opens the one database that all threads share.
pub fn open(settings: &Settings) -> Result<Vec<Box<dyn Session>>, Error> {
    let db = Arc::new(DB::open(&options(settings), &settings.dir).map_err(failed)?);
    let syncer = match settings.durability {
        Durability::Synced => None,
        durability => Some(Arc::new(Syncer::start(&db, durability == Durability::Periodic)?)),
    };
    Ok((0..settings.threads)
        .map(|_| {
            Box::new(Shared {
                db: Arc::clone(&db),
                settings: settings.clone(),
                row: Vec::new(),
                _syncer: syncer.clone(),
            }) as Box<dyn Session>
        })
        .collect())
}

fn options(settings: &Settings) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    // The budget of memtables.
    options.set_write_buffer_size(settings.memtable_bytes);
    options.set_max_write_buffer_number((settings.memory_bytes / settings.memtable_bytes).max(2) as i32);
    options.set_max_background_jobs(settings.background as i32);
    options.set_max_subcompactions(settings.background as u32);
    // One writer needs no concurrent memtable.
    options.set_allow_concurrent_memtable_write(settings.threads > 1);
    // Spreads the writing of tables and logs over time, for even latencies.
    options.set_bytes_per_sync(1 << 20);
    options.set_wal_bytes_per_sync(1 << 20);
    if settings.durability == Durability::Synced {
        // A log file that exists is cheaper to sync.
        options.set_recycle_log_file_num(4);
    } else {
        // The log goes to the system every ten milliseconds instead of with every write, as ours does.
        options.set_manual_wal_flush(true);
    }
    let compression = if settings.lz4 {
        DBCompressionType::Lz4
    } else {
        DBCompressionType::None
    };
    options.set_compression_type(compression);
    // Blocks that need no decompression are read from the map, past the cache.
    options.set_allow_mmap_reads(!settings.lz4);
    options.set_block_based_table_factory(&table(settings));
    options.set_stats_dump_period_sec(0);
    options
}

fn table(settings: &Settings) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(settings.cache_bytes));
    table.set_block_size(4 << 10);
    table.set_bloom_filter(f64::from(settings.filter_bits), false);
    // A hash index in each block makes point reads cheaper than binary search alone.
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    table.set_data_block_hash_ratio(0.75);
    table.set_checksum_type(ChecksumType::XXH3);
    table
}

struct Shared {
    db: Arc<DB>,
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
        self.db.put(key.bytes(), &self.row).map_err(failed)
    }

    fn put_durably(&mut self, keys: &[Key]) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        for key in keys {
            self.row(*key, 0);
            batch.put(key.bytes(), &self.row);
        }
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        self.db.write_opt(batch, &synced).map_err(failed)
    }

    fn get(&mut self, key: Key, see: &mut dyn FnMut(&[u8])) -> Result<bool, Error> {
        let found = self.db.get_pinned(key.bytes()).map_err(failed)?;
        if let Some(row) = &found {
            see(first_column(row, self.settings.columns));
        }
        Ok(found.is_some())
    }

    fn scan(&mut self, from: Key, rows: usize, see: &mut dyn FnMut(&[u8])) -> Result<usize, Error> {
        let mut options = ReadOptions::default();
        options.set_auto_readahead_size(true);
        let mut iterator = self.db.raw_iterator_opt(options);
        iterator.seek(from.bytes());
        let mut seen = 0;
        while seen < rows {
            let Some((_, row)) = iterator.item() else {
                break;
            };
            see(first_column(row, self.settings.columns));
            seen += 1;
            iterator.next();
        }
        iterator.status().map_err(failed)?;
        Ok(seen)
    }

    fn settle(&mut self) -> Result<(), Error> {
        let mut flush = FlushOptions::default();
        flush.set_wait(true);
        self.db.flush_opt(&flush).map_err(failed)?;
        self.db
            .wait_for_compact(&WaitForCompactOptions::default())
            .map_err(failed)
    }

    fn compact(&mut self) -> Result<(), Error> {
        self.settle()?;
        let mut compact = CompactOptions::default();
        // Files that are at the bottom already need not be written again.
        compact.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        self.db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &compact);
        self.settle()
    }
}

/// Hands the log on every [`PERIOD`] until it is dropped.
struct Syncer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    fn start(db: &Arc<DB>, sync: bool) -> Result<Self, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let (db, stopped) = (Arc::clone(db), Arc::clone(&stop));
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(PERIOD);
                // A log that can't be written makes the next write fail, which says why.
                let _ = db.flush_wal(sync);
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

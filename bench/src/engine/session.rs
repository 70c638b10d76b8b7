//! What a store must be able to do to be compared.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{
    error::Error,
    rows::{Key, Values},
};

/// Which store.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// Ours.
    Starling,
    /// RocksDB. Only in builds with the feature `peers`.
    Rocksdb,
    /// fjall. Only in builds with the feature `peers`.
    Fjall,
}

impl Store {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starling => "Starling",
            Self::Rocksdb => "RocksDB",
            Self::Fjall => "fjall",
        }
    }
}

/// When the log is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The log goes to the system every ten milliseconds, and is not synced by the benchmark. Of ours, which
    /// offers no such thing, it is synced then.
    Buffered,
    /// The log is synced every ten milliseconds.
    Periodic,
    /// A write is over when it is on the disk.
    Synced,
}

/// How often the log is handed on with [`Durability::Buffered`] and [`Durability::Periodic`].
pub const PERIOD: Duration = Duration::from_millis(10);

/// What is equal for all stores.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the files go; empty at the start.
    pub dir: PathBuf,
    /// How many threads use the store, each for its own slice of the tokens.
    pub threads: u32,
    /// Engines that ours is split into; its threads if those are few.
    pub shards: u32,
    /// LZ4 for all tables, or none at all.
    pub lz4: bool,
    /// Columns of a row: 1 or [`WIDE_COLUMNS`](super::rows::WIDE_COLUMNS).
    pub columns: usize,
    /// When the log is synced.
    pub durability: Durability,
    /// A memtable is flushed when all threads' active memtables hold this much, in bytes.
    pub memtable_bytes: usize,
    /// All memtables hold at most this much, in bytes.
    pub memory_bytes: usize,
    /// The cache of blocks, where a store has one beside the system's, in bytes.
    pub cache_bytes: usize,
    /// Bits a key of the Bloom filters.
    pub filter_bits: u32,
    /// Threads for flushes and compactions.
    pub background: usize,
    /// The values of the rows.
    pub values: Arc<Values>,
}

/// A thread's way to a store.
///
/// Reads hand the first column's value to `see`, in place where the store can.
pub trait Session: Send {
    /// Writes a row; a row that exists is replaced. `update` counts the writes of this row: values and timestamps are
    /// made of it.
    fn put(&mut self, key: Key, update: u64) -> Result<(), Error>;

    /// Writes rows of writers that wait for one another, and returns when all of them are on the disk.
    fn put_durably(&mut self, keys: &[Key]) -> Result<(), Error>;

    /// Reads a row; whether there is one.
    fn get(&mut self, key: Key, see: &mut dyn FnMut(&[u8])) -> Result<bool, Error>;

    /// Reads rows from a place on in the order of tokens; how many there were, at most `rows`.
    fn scan(&mut self, from: Key, rows: usize, see: &mut dyn FnMut(&[u8])) -> Result<usize, Error>;

    /// Writes memtables out and waits until no work is left.
    fn settle(&mut self) -> Result<(), Error>;

    /// Merges everything into as few tables as the store would have.
    fn compact(&mut self) -> Result<(), Error>;
}

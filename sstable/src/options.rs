//! The engine's settings.

/// How the blocks of new tables are compressed. Tables that exist keep theirs. A block that does not shrink by
/// an eighth is stored as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4: fast both ways.
    Lz4,
    /// Zstandard: smaller, and slower to read.
    Zstd,
    /// Zstandard with a dictionary, trained from each table's own content: smaller still where blocks are.
    ZstdDictionary,
}

impl Compression {
    /// How much a block should hold before compression, in bytes: a point read reads and checks a whole
    /// block, and a small one compresses badly.
    pub fn default_block_bytes(self) -> usize {
        match self {
            Self::None => 1 << 10,
            Self::Lz4 | Self::ZstdDictionary => 4 << 10,
            Self::Zstd => 16 << 10,
        }
    }
}

/// Settings of one engine (one shard).
#[derive(Debug, Clone)]
pub struct Options {
    /// A memtable is flushed when it holds this much, in bytes.
    pub memtable_bytes: usize,
    /// All memtables together, those being flushed included, hold at most about this much, in bytes;
    /// beyond it writes are refused with [`Overloaded`](crate::Error::Overloaded). At least twice
    /// `memtable_bytes`.
    pub memory_bytes: usize,
    /// A log segment is closed when it is this large, in bytes.
    pub segment_bytes: u64,
    /// When the log is this large, in bytes, the memtable with the oldest write is flushed so that
    /// segments can go. Bounds the time of recovery.
    pub log_bytes: u64,
    /// How much may wait for the log's sync, in bytes; beyond it writes are refused. At least the
    /// largest mutation.
    pub pending_bytes: usize,
    /// A block of a table holds about this much before compression, in bytes.
    pub block_bytes: usize,
    /// How blocks are compressed.
    pub compression: Compression,
    /// Bits of the Bloom filter per partition.
    pub filter_bits: u32,
    /// How many tables of one size class make a compaction; at least 2.
    pub fan_in: usize,
    /// How much a job reads or writes in one step, in bytes, about.
    pub step_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memtable_bytes: 32 << 20,
            memory_bytes: 128 << 20,
            segment_bytes: 32 << 20,
            log_bytes: 256 << 20,
            pending_bytes: 64 << 20,
            block_bytes: 4096,
            compression: Compression::Lz4,
            filter_bits: 10,
            fan_in: 4,
            step_bytes: 1 << 20,
        }
    }
}

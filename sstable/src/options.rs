//! The engine's settings.

use std::sync::Arc;

use starling_model::TokenRange;

use crate::compaction::{Promises, Strategy};

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
    /// block, and a small one compresses badly. Of what is not compressed it is about as much as one wants to read for
    /// a row, but not so little that the blocks' own bytes show.
    pub fn default_block_bytes(self) -> usize {
        match self {
            Self::None => 3 << 9,
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
    /// A log segment has this much space set aside, and is closed when it is used, in bytes. A larger write has a
    /// segment for itself.
    pub segment_bytes: u64,
    /// When the log is this large, in bytes, the memtable with the oldest write is flushed so that
    /// segments can go. Bounds the time of recovery.
    pub log_bytes: u64,
    /// A random number that nobody else can know, for a directory that has none yet: it keeps a value that a client wrote
    /// from being taken for a part of the log. 0 is for engines whose values nobody else chooses.
    pub log_salt: u64,
    /// How much may wait for the log's sync, in bytes; beyond it writes are refused. At least the
    /// largest mutation.
    pub pending_bytes: usize,
    /// Writes are refused with [`NoSpace`](crate::Error::NoSpace) while less than this is free on the disk, in bytes: room
    /// for the flush of all memtables and for the log, of all engines that share the disk.
    pub reserve_bytes: u64,
    /// What is promised on the disk: the same for all engines that share it.
    pub promises: Arc<Promises>,
    /// A block of a table holds about this much before compression, in bytes.
    pub block_bytes: usize,
    /// How blocks are compressed.
    pub compression: Compression,
    /// Bits of the Bloom filter per partition.
    pub filter_bits: u32,
    /// How tables are compacted, where [`TableOptions`] don't say otherwise.
    pub compaction: Strategy,
    /// The tokens of the engine, not wrapping: tables are cut at equal slices of it. Writes elsewhere are taken
    /// too.
    pub tokens: TokenRange,
    /// The size that a table should have, in bytes: compactions cut what is larger. Bounds how much one
    /// compaction reads, and the space that it needs.
    pub table_bytes: u64,
    /// How many parts of compactions may be under way at the same time; at least 1.
    pub compactions: usize,
    /// In how many seconds every table is read once to look for damage, bit by bit; 0: never.
    pub scrub_seconds: u32,
    /// How much a job reads or writes in one step, in bytes, about.
    pub step_bytes: usize,
}

/// Settings of one table id. Files that exist keep theirs until they are compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableOptions {
    /// How its tables are compacted.
    pub compaction: Strategy,
    /// As [`Options::block_bytes`].
    pub block_bytes: usize,
    /// As [`Options::compression`].
    pub compression: Compression,
    /// As [`Options::filter_bits`].
    pub filter_bits: u32,
}

/// What one table id wants otherwise than the engine has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableSettings {
    /// How its tables are compacted.
    pub compaction: Option<Strategy>,
    /// How its blocks are compressed; with it comes [`Compression::default_block_bytes`].
    pub compression: Option<Compression>,
    /// As [`Options::filter_bits`].
    pub filter_bits: Option<u32>,
}

impl Options {
    /// What holds for a table with settings of its own.
    pub fn table_with(&self, settings: &TableSettings) -> TableOptions {
        let engine = self.table();
        TableOptions {
            compaction: settings.compaction.unwrap_or(engine.compaction),
            block_bytes: settings
                .compression
                .map_or(engine.block_bytes, Compression::default_block_bytes),
            compression: settings.compression.unwrap_or(engine.compression),
            filter_bits: settings.filter_bits.unwrap_or(engine.filter_bits),
        }
    }

    /// What holds for tables that have no options of their own.
    pub fn table(&self) -> TableOptions {
        TableOptions {
            compaction: self.compaction,
            block_bytes: self.block_bytes,
            compression: self.compression,
            filter_bits: self.filter_bits,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memtable_bytes: 32 << 20,
            memory_bytes: 128 << 20,
            segment_bytes: 16 << 20,
            log_bytes: 256 << 20,
            log_salt: 0,
            pending_bytes: 64 << 20,
            reserve_bytes: 192 << 20,
            promises: Arc::default(),
            block_bytes: 4096,
            compression: Compression::Lz4,
            filter_bits: 10,
            compaction: Strategy::default(),
            tokens: TokenRange::ALL,
            table_bytes: 256 << 20,
            compactions: 2,
            scrub_seconds: 7 * 86_400,
            step_bytes: 1 << 20,
        }
    }
}

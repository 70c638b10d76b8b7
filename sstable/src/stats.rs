//! What an engine tells about itself.

use crate::log::{BatchSizes, Lsn};

/// Figures of one engine. Counters count since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes held in memtables, those being flushed included.
    pub memtable_bytes: usize,
    /// Memtables that wait for their flush or are being flushed.
    pub memtables_waiting: usize,
    /// Live tables (files).
    pub tables: usize,
    /// Bytes of live tables on disk.
    pub table_bytes: u64,
    /// Log segments on disk.
    pub log_segments: usize,
    /// Bytes of log segments on disk.
    pub log_bytes: u64,
    /// The newest write that was accepted.
    pub appended: Lsn,
    /// The newest write that is durable in the log.
    pub synced: Lsn,
    /// How often the log was synced.
    pub syncs: u64,
    /// How many writes shared a sync.
    pub batch_sizes: BatchSizes,
    /// Bytes of log records that were made durable.
    pub logged_bytes: u64,
    /// Whether writes are refused, or soon will be, because the disk is full or fails.
    pub log_refuses: bool,
    /// Snapshots completed.
    pub snapshots: u64,
    /// Ingests installed.
    pub ingests: u64,
    /// Damaged pieces of tables whose tokens can't be read here.
    pub quarantined: usize,
    /// Bytes of tables that were read again to look for damage.
    pub scrubbed_bytes: u64,
    /// Damaged pieces that were found.
    pub damage_found: u64,
    /// Damaged pieces whose data was written anew.
    pub damage_healed: u64,
    /// Mutations accepted.
    pub writes: u64,
    /// Mutations refused as overload.
    pub refused: u64,
    /// Pages read.
    pub reads: u64,
    /// Rows and tombstones visited by reads.
    pub visited: u64,
    /// Live rows that reads returned. What was visited beyond them was read for nothing: tombstones, what they
    /// cover, and other states of the same rows.
    pub live: u64,
    /// Flushes installed.
    pub flushes: u64,
    /// Bytes of tables written by flushes.
    pub flushed_bytes: u64,
    /// Compactions installed.
    pub compactions: u64,
    /// Bytes of tables that compactions replaced.
    pub compacted_bytes_in: u64,
    /// Bytes of tables that compactions wrote.
    pub compacted_bytes_out: u64,
    /// Bytes of tables that are being compacted, or are due for it.
    pub compaction_debt: u64,
    /// The most tables of one table id that overlap: what a read may have to look at. Without those that have a row so
    /// large that they [may stay](crate::compaction::rows).
    pub overlapping: usize,
}

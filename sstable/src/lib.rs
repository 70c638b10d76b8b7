//! Starling's storage engine: one synchronous, single-writer LSM tree per shard.
//!
//! A write is appended to the [`log`] and applied to a [`memtable`], where reads see it at once. Full
//! memtables are written out as immutable, memory-mapped [`table`]s; [`compaction`] merges tables, and
//! [`version`] names the ones that are alive. [`read`] merges all of it by the law of the model.
//! [`engine`] is the front door.
//!
//! The crate starts no thread and reads no clock: the caller syncs the log (from any thread), runs the
//! jobs that [`Engine::next_job`] offers (anywhere), and passes time in. The disk is an [`fs::Fs`].
//!
//! What a file holds is drawn in `docs/format.md`.

pub mod checksum;
pub mod compaction;
pub mod engine;
pub mod error;
pub mod fs;
pub mod log;
pub mod memtable;
pub mod options;
pub mod read;
pub mod shard;
pub mod stats;
pub mod table;
pub mod version;

pub use compaction::{Pace, PaceLimits, Promises, PurgePolicy, Repaired, Room, Scaling, Strategy};
pub use engine::{
    CELLS, Cells, Cold, Engine, ExportOptions, Exported, Extent, Final, FinalHook, Job, Origin, PageResult,
    Quarantined, ReadResult, Recovery, RowResult, Step, Task,
};
pub use error::Error;
pub use log::{BatchSizes, Log, Lsn, recovery::Progress};
pub use options::{Compression, Options, TableOptions, TableSettings};
pub use shard::ShardMap;
pub use stats::Stats;

#[cfg(test)]
mod fixtures;

//! What a shard is asked.

use std::{ops::RangeInclusive, path::PathBuf, time::Instant};

use starling_model::{EncodedMutation, KeyRange, ReadCommand, TableId, TokenRange, TokenSet};
use starling_replication::{Damaged, StoreError};
use starling_sstable::{
    Cells, Error, ExportOptions, Extent, Job, PageResult, PurgePolicy, Stats, TableSettings,
    table::properties::LargeRows,
};
use tokio::sync::oneshot;

use super::operations::Operation;

/// Where an answer goes. Whoever asked may be gone: then it is dropped.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// The most bytes of a write that a thread with other things to do applies.
const LIGHT_BYTES: usize = 64 << 10;

/// A message to a shard.
pub(super) enum Request {
    /// Look at what is queued; to its own thread.
    Look,
    /// Write, if it is begun by then: nobody waits for it any more later.
    Apply(EncodedMutation, Instant, Answer<()>),
    /// Read one page.
    Read(Box<Read>),
    /// Remove a table's data.
    Truncate(TableId, Answer<()>),
    /// Tell what was written to since this was last asked.
    Changed(TableId, Answer<Cells>),
    /// Set what may be purged.
    SetPurge(TableId, PurgePolicy, Answer<()>),
    /// Set how a table is compacted and written.
    SetOptions(TableId, TableSettings, Answer<()>),
    /// Tell what is damaged.
    Damaged(Answer<Vec<Damaged>>),
    /// The data of a damaged piece was written anew.
    Heal(Damaged, Answer<()>),
    /// Tell how many bytes sets of tokens have.
    Sizes(TableId, Vec<TokenSet>, Answer<Vec<u64>>),
    /// Cut tokens within some slices into parts of so many bytes.
    Parts(
        TableId,
        TokenSet,
        Vec<TokenRange>,
        RangeInclusive<u64>,
        Answer<Vec<(TokenSet, u64)>>,
    ),
    /// Write out some tokens, cut into parts, to a directory.
    Export(
        TableId,
        TokenSet,
        Vec<TokenRange>,
        PathBuf,
        ExportOptions,
        Answer<Vec<starling_sstable::Exported>>,
    ),
    /// Take files in.
    Ingest(TableId, Vec<PathBuf>, Answer<()>),
    /// Forget tokens.
    Discard(TableId, TokenSet, Answer<u64>),
    /// Tell figures.
    Stats(Answer<Told>),
    /// Do what an operator asks.
    Operate(Operation),
    /// A background job is through, or has failed.
    JobDone(Box<Job>, Result<(), Error>),
    /// Make everything durable and end.
    Stop(Answer<()>),
}

impl Request {
    /// Whether it takes no longer than a thread that serves connections can spare. Of a read that shows later.
    pub(super) fn is_light(&self) -> bool {
        match self {
            Self::Apply(mutation, ..) => mutation.bytes().len() <= LIGHT_BYTES,
            Self::Read(read) => matches!(read.command.keys, KeyRange::Partition(_)),
            _ => false,
        }
    }
}

/// What a shard tells of itself.
pub(super) struct Told {
    pub(super) engine: Stats,
    /// Large rows, of the tables that have any.
    pub(super) large_rows: Vec<(TableId, LargeRows)>,
    /// What flushes wait for.
    pub(super) flushes_wait_for: Option<String>,
    /// What flushes and compactions wait for.
    pub(super) waits_for: Option<String>,
}

/// A page that is asked for.
pub(super) struct Read {
    pub(super) command: ReadCommand,
    pub(super) extent: Extent,
    /// Until when somebody waits for it.
    pub(super) deadline: Instant,
    /// How often it was parked until pages were loaded.
    pub(super) parked: u32,
    pub(super) answer: Answer<PageResult>,
}

impl Request {
    /// Whether nobody waits any more for a read or a write: its client has gone, or whoever asked has found that its deadline
    /// has passed. Such a write need not be made: whoever coordinates it counts it as missed.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Apply(.., answer) => answer.is_closed(),
            Self::Read(read) => read.answer.is_closed(),
            _ => false,
        }
    }
}

/// The engine's errors as the coordinator sees them.
pub(super) fn store_error(error: &Error) -> StoreError {
    match error {
        Error::Overloaded { .. } => StoreError::Overloaded,
        Error::Corrupt { .. } | Error::Version { .. } => StoreError::Corrupt(error.to_string()),
        Error::RowTooLarge {
            table,
            key,
            bytes,
            limit,
        } => StoreError::RowTooLarge {
            table: *table,
            key: (**key).clone(),
            bytes: *bytes,
            limit: *limit,
        },
        _ => StoreError::Disk(error.to_string()),
    }
}

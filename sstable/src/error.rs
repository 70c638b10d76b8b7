//! What can go wrong, and what the caller can do about it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use starling_model::{DecoratedKey, TableId};

/// So many bytes of a key are shown.
const SHOWN_BYTES: usize = 64;

/// An error of the storage engine.
///
/// Cheap to clone, because a failed log sync is told to everyone who comes after.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The file system failed, or is full. What was acknowledged before is still there. An `apply` or a
    /// `truncate` may or may not survive; a read or a job changed nothing and can be tried again.
    #[error("cannot {operation} {path}: {source}", path = path.display())]
    Io {
        /// What was tried, as a verb: "write", "sync", ...
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Bytes of a file do not match their checksum or can't be what was written. Nothing changed; data
    /// elsewhere can still be read. Restore the file, or remove it and repair from the other replicas.
    #[error("corrupt data in {file} at offset {offset}: {what}", file = file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The file was written by a newer release. Nothing changed; start that release.
    #[error("{file} has format version {found}, this release reads up to {known}", file = file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The memory budget is spent while flushes lag, or too much waits for the log to be synced.
    /// Nothing changed; try later.
    #[error("the storage is overloaded: {held} bytes of {what}, the limit is {limit}")]
    Overloaded {
        /// What there is too much of.
        what: &'static str,
        /// How much of it, in bytes.
        held: usize,
        /// How much there may be, in bytes.
        limit: usize,
    },
    /// The mutation is larger than the engine takes. Nothing changed.
    #[error("{what} of {bytes} bytes is too large, at most {limit} are accepted")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A row can't be read: its states in the memtables and tables are too much to be merged in memory. Nothing changed;
    /// others are read as ever.
    #[error(
        "a row of table {table} at token {token} (partition key {key}) has {bytes} bytes in its states, and a read merges \
         {limit} at most: delete the row, which helps at once, or elements of its collections, which helps once compaction \
         has merged them",
        token = key.token,
        key = shown(&key.key)
    )]
    RowTooLarge {
        /// The table.
        table: TableId,
        /// Its partition.
        key: Box<DecoratedKey>,
        /// What its states have that is not deleted, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The request can't be carried out by its own fault. Nothing changed.
    #[error("invalid request: {0}")]
    Invalid(&'static str),
    /// The disk is nearly full. Nothing changed; reads go on. Writes are taken again by themselves once there is room.
    #[error(
        "no room for writes on the disk of {dir}: {free} bytes are free, and {reserve} are kept for flushes and \
         compactions; make room, and writes go on",
        dir = dir.display()
    )]
    NoSpace {
        /// The engine's directory.
        dir: PathBuf,
        /// What is free on its disk, in bytes.
        free: u64,
        /// What must be free, in bytes.
        reserve: u64,
    },
    /// The log could not be written. A write that gets this changed nothing; those that waited for the sync may or may
    /// not survive a crash. Reads go on, and writes are taken again by themselves once the log can be written.
    #[error("the log can't be written, and no write is taken until it can: {0}")]
    LogFailed(Box<Error>),
}

impl Error {
    /// Gives an [`io::Error`] its place.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            operation,
            path: path.to_path_buf(),
            source: Arc::new(source),
        }
    }

    /// Whether the cause is that the disk, or the user's share of it, is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => crate::fs::is_full(source),
            Self::NoSpace { .. } => true,
            Self::LogFailed(cause) => cause.is_full(),
            _ => false,
        }
    }

    /// Corrupt bytes in `file` at `offset`.
    pub(crate) fn corrupt(file: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt {
            file: file.to_path_buf(),
            offset,
            what: what.into(),
        }
    }
}

/// The beginning of a key, in hexadecimal: here nothing is known of types.
fn shown(key: &Bytes) -> String {
    let rest = if key.len() > SHOWN_BYTES { "..." } else { "" };
    format!("0x{:x}{rest}", key.slice(..key.len().min(SHOWN_BYTES)))
}

//! The outside of a node, injected: clock, randomness, peers, disk, spawning.
//!
//! Everything in this crate is straight-line `async` code over [`Env`]. Production implements it with
//! tokio and quinn (`node`), the simulator with virtual time (`sim`). Nothing here names a runtime.

use std::{future::Future, net::SocketAddr, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use starling_model::{
    DecoratedKey, EncodedMutation, EncodedPage, ReadCommand, TableId, Timestamp, TokenRange, TokenSet,
};
use starling_sstable::{Cells, ExportOptions, PurgePolicy, TableSettings, fs::Fs};

use crate::{
    budget::Claim,
    message::{PeerRequest, PeerResponse},
};

/// What a node's procedures need from outside.
pub trait Env: Clone + Send + Sync + 'static {
    /// The node's own storage.
    type Store: Store;

    /// Time since some fixed point before the process started; never goes back. For timeouts.
    fn monotonic(&self) -> Duration;

    /// The wall clock, in microseconds since the epoch. May jump.
    fn wall(&self) -> Timestamp;

    /// 64 random bits.
    fn random(&self) -> u64;

    /// Ends after `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static;

    /// Runs a task beside the caller, to its end.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Does work that may block the thread, such as waiting for a disk, where it holds up no task.
    ///
    /// Dropping the future does not stop work that has begun.
    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static;

    /// Sends a request to a peer's internode address and waits for its answer, at most `timeout`.
    ///
    /// Dropping the future abandons the request. After an error the peer may or may not have carried
    /// it out, but for [`CallError::NotSent`].
    fn call(
        &self,
        to: SocketAddr,
        request: PeerRequest,
        timeout: Duration,
    ) -> impl Future<Output = Result<PeerResponse, CallError>> + Send + 'static;

    /// The same for a request whose answer may be large: its bytes are taken from the node's budget for
    /// `claim`, where answers are counted.
    fn call_for(
        &self,
        claim: Claim,
        to: SocketAddr,
        request: PeerRequest,
        timeout: Duration,
    ) -> impl Future<Output = Result<PeerResponse, CallError>> + Send + 'static {
        let _ = claim;
        self.call(to, request, timeout)
    }

    /// Sends a request to a peer and does not wait; it may be lost. For gossip.
    fn cast(&self, to: SocketAddr, request: PeerRequest);

    /// The node's storage.
    fn store(&self) -> &Self::Store;

    /// The node's disk, for what is not in the store: identity, schema, hints. Paths are relative to
    /// the node's data directory.
    fn fs(&self) -> &Arc<dyn Fs>;
}

/// Why a peer gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The request did not leave: no connection. Nothing changed at the peer.
    #[error("no connection to {0}")]
    NotSent(SocketAddr),
    /// No answer within the timeout. The peer may have carried the request out.
    #[error("no answer from {0} in time")]
    Timeout(SocketAddr),
    /// The connection broke. The peer may have carried the request out.
    #[error("the connection to {0} broke")]
    Broken(SocketAddr),
    /// Too much is in flight to this peer. The request did not leave.
    #[error("too many requests are in flight to {0}")]
    Overloaded(SocketAddr),
}

/// A node's storage: all its shards, seen from the request path.
///
/// Production sends to the shard threads by channel; the simulator calls the same engine directly.
pub trait Store: Send + Sync + 'static {
    /// Applies a write. Ends when it is durable (by the node's commit-log setting).
    ///
    /// Nobody waits for longer than `time`. A write that still waits for its turn then is not begun: [`StoreError::Late`].
    /// After any other error it may or may not survive.
    fn apply(
        &self,
        mutation: EncodedMutation,
        time: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static;

    /// Reads one page. What it returns is durable: it never shows a write that a crash could undo.
    ///
    /// Nobody waits for longer than `time`. A read that takes longer, over very many tombstones say, ends its page
    /// with what it has covered by then.
    fn read(
        &self,
        command: ReadCommand,
        time: Duration,
    ) -> impl Future<Output = Result<StoredPage, StoreError>> + Send + 'static;

    /// The same past what was found damaged: what is left, which may be less than what was written, also of what is deleted.
    /// New damage is an error as ever, and passed once [`damaged`](Self::damaged) has told of it.
    fn read_rest(
        &self,
        command: ReadCommand,
        time: Duration,
    ) -> impl Future<Output = Result<StoredPage, StoreError>> + Send + 'static;

    /// Removes all data of a table that was written until now. Durable when it ends. Also how a dropped
    /// table's space is freed.
    fn truncate(&self, table: TableId) -> impl Future<Output = Result<(), StoreError>> + Send + 'static;

    /// What can't be read any more, because stored bytes were found damaged. Reads of it are answered with
    /// [`StoreError::Corrupt`]; writes are taken.
    fn damaged(&self) -> impl Future<Output = Result<Vec<Damaged>, StoreError>> + Send + 'static;

    /// Takes the cells of the token space in which a table was written to since this was last asked; all, when it is
    /// asked first. What is read after it ended includes the writes that set those cells.
    fn changed(&self, table: TableId) -> impl Future<Output = Result<Cells, StoreError>> + Send + 'static;

    /// Sets what of a table may be purged, until the next call or the process's end; nothing, before the first.
    fn set_purge(
        &self,
        table: TableId,
        policy: PurgePolicy,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static;

    /// Sets how a table is compacted and written from now on, until the next call or the process's end.
    fn set_options(
        &self,
        table: TableId,
        settings: TableSettings,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static;

    /// The data for some tokens of a table was written anew: reads of them go on, without what was damaged. Of a damaged piece
    /// that lies in part within them that part is healed, and the rest stays damaged.
    fn heal(&self, piece: Damaged) -> impl Future<Output = Result<(), StoreError>> + Send + 'static;

    /// About how many bytes a table has for each of some sets of tokens.
    fn sizes(
        &self,
        table: TableId,
        sets: Vec<TokenSet>,
    ) -> impl Future<Output = Result<Vec<u64>, StoreError>> + Send + 'static;

    /// Cuts tokens of a table into parts, to be exported one by one for a node with `shards` shards; each with about how
    /// many bytes it has. A part has at most as many as `bytes` begins with, or as it ends with where that spares writing
    /// tables anew, about. Every token is in one part.
    fn parts(
        &self,
        table: TableId,
        tokens: TokenSet,
        shards: u32,
        bytes: RangeInclusive<u64>,
    ) -> impl Future<Output = Result<Vec<(TokenSet, u64)>, StoreError>> + Send + 'static;

    /// Writes files to a directory of the node's disk that hold all that a table has for some tokens, tombstones
    /// too: every write that was accepted before, and perhaps some later ones. They are for a node with `shards` shards.
    /// They are the caller's, and need not survive a crash.
    ///
    /// What goes as it is stored is not read, unless it is to be done [anew](ExportOptions::anew): then all that is stored there
    /// is checked first, and the files are made of what was read. What is found damaged is [known](Self::damaged) from then on.
    ///
    /// After an error nothing is left, sooner or later; [`StoreError::Corrupt`] where a part is damaged. An error also, and soon,
    /// once it is [given up](ExportOptions::given_up).
    fn export(
        &self,
        table: TableId,
        tokens: TokenSet,
        shards: u32,
        dir: PathBuf,
        options: ExportOptions,
    ) -> impl Future<Output = Result<Vec<Exported>, StoreError>> + Send + 'static;

    /// Takes files of an export in, each with its shard here. What they hold is merged with what is there, and durable
    /// when it ends; the files themselves stay. They are checked to the last byte: [`StoreError::Corrupt`].
    ///
    /// After an error some of them may be taken in.
    fn ingest(
        &self,
        table: TableId,
        files: Vec<(u32, PathBuf)>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static;

    /// Forgets what was written to a table for some tokens until now, durably when it ends, without tombstones. Takes
    /// long, and little memory. Returns how many bytes went, about.
    ///
    /// After an error, or a crash, any part of it may be gone; ask again.
    fn discard(
        &self,
        table: TableId,
        tokens: TokenSet,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send + 'static;
}

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The shard that it is for, of those that were asked for.
    pub shard: u32,
    /// Where it is, on the node's disk.
    pub path: PathBuf,
    /// Its size, in bytes.
    pub bytes: u64,
    /// The newest timestamp in it; `None` if it has none.
    pub newest: Option<Timestamp>,
}

/// A page as the storage answers it, and what it cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredPage {
    /// The page.
    pub page: EncodedPage,
    /// Rows and tombstones that were visited for it.
    pub visited: u64,
    /// Live rows in it. The difference was read for nothing: tombstones, and what they cover or what has expired.
    pub live: u64,
}

/// A piece of a table that was found damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged {
    /// The table.
    pub table: TableId,
    /// The tokens concerned; the range does not wrap.
    pub tokens: TokenRange,
}

/// Why the storage could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Too much is queued at the shard, or its memory budget is spent. Nothing changed; try later.
    #[error("the storage is overloaded")]
    Overloaded,
    /// The time that was given had passed before the work was begun. Nothing changed.
    #[error("the storage had no time for it")]
    Late,
    /// The disk failed or is full. A write may or may not survive.
    #[error("the disk failed: {0}")]
    Disk(String),
    /// Stored bytes do not match their checksum. The rest of the data can still be read.
    #[error("corrupt data: {0}")]
    Corrupt(String),
    /// A row can't be read: its states are too much to be merged in memory. Nothing changed.
    #[error(
        "a row of table {table} at token {token} has {bytes} bytes in its states, and a read merges {limit} at most: delete it",
        token = key.token
    )]
    RowTooLarge {
        /// The table.
        table: TableId,
        /// Its partition.
        key: DecoratedKey,
        /// What its states have that is not deleted, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The node is stopping. A write may or may not survive.
    #[error("the node is stopping")]
    Stopping,
}

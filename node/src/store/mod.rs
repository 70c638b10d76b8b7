//! The node's storage: S shards, each an engine with a slice of the token space and a thread of its own.
//!
//! A request goes by a bounded queue to the shard that owns its token; the answer comes back by a one-shot. What takes a
//! microsecond or two is served by whoever asks, if nobody is at the shard, and by who is otherwise; what may take
//! longer by the shard's own thread (`desk`). Acknowledgements of writes go to the shard's log-sync thread, which
//! syncs the log once for all of them (`sync`): while one
//! sync is under way the next group gathers. Flushes and compactions run in small steps on background
//! threads (`jobs`, which take `turns`) and come back to the shard to be installed. A read that needs pages of a disk is parked while a
//! thread of another pool (`readers`) loads them; the shard goes on with others meanwhile.
//!
//! Contract:
//! 1. A write is acknowledged after it is durable (with [`CommitLogSync::Group`]).
//! 2. A read shows only what is durable: one that saw younger writes waits for their sync. Where that fails (the disk
//!    is full or broken) it shows them too: who wrote them was told that they may be there or not.
//! 3. Nothing queues without a bound: a full shard answers `Overloaded`.
//! 4. A panic in a shard, or in a sync or background thread, takes the process down (`thread`): a node that has lost one
//!    of them must not look alive.

mod desk;
mod failures;
mod jobs;
mod layout;
mod moves;
mod open;
mod operations;
mod readers;
mod recovery;
mod request;
mod rooted;
mod scan;
mod shard;
mod slowdown;
mod sync;
mod thread;
mod turns;

#[cfg(test)]
mod tests;

use std::{
    future::Future,
    ops::RangeInclusive,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use starling_model::{EncodedMutation, KeyRange, ReadCommand, TableId, TokenSet};
use starling_replication::{Damaged, Exported, Store, StoreError, StoredPage};
use starling_sstable::{
    Cells, ExportOptions, Extent, PageResult, PurgePolicy, ShardMap, Stats, TableSettings,
    table::properties::LargeRows,
};
use tokio::sync::oneshot;

pub use layout::{Layout, LayoutError};
pub use open::{OpenError, StoreOptions};
pub use operations::{Left, shard_dir};
pub use rooted::RootedFs;

use desk::Desk;
use request::{Read, Request, Told};

/// What stands for no deadline.
const LONGEST: Duration = Duration::from_hours(24);

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitLogSync {
    /// After the log is synced; all writes that arrive during a sync share the next one.
    Group,
    /// At once; the log is synced this often. A crash of the machine loses what was written since.
    Periodic(Duration),
}

/// All shards of a node. Cheap to clone.
#[derive(Clone)]
pub struct ShardedStore {
    inner: Arc<Inner>,
}

struct Inner {
    map: ShardMap,
    desks: Vec<Arc<Desk>>,
    /// Held to be joined when the store stops.
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

/// What one shard tells about itself.
#[derive(Debug, Clone)]
pub struct ShardStats {
    /// Requests that wait.
    pub queued: usize,
    /// The engine's figures.
    pub engine: Stats,
    /// Its large rows, of the tables that have any.
    pub large_rows: Vec<(TableId, LargeRows)>,
    /// What flushes wait for, in words. `None`: for nothing.
    pub flushes_wait_for: Option<String>,
    /// What flushes and compactions wait for, in words: room on a full disk, for example. `None`: for nothing.
    pub waits_for: Option<String>,
}

impl Store for ShardedStore {
    fn apply(
        &self,
        mutation: EncodedMutation,
        time: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let shard = self.inner.map.shard_of(mutation.token());
        let deadline = deadline(time);
        self.ask(shard, move |answer| Request::Apply(mutation, deadline, answer))
    }

    fn read(
        &self,
        command: ReadCommand,
        time: Duration,
    ) -> impl Future<Output = Result<StoredPage, StoreError>> + Send + 'static {
        self.read_page(command, Extent::All, time)
    }

    fn read_rest(
        &self,
        command: ReadCommand,
        time: Duration,
    ) -> impl Future<Output = Result<StoredPage, StoreError>> + Send + 'static {
        self.read_page(command, Extent::Rest, time)
    }

    fn truncate(&self, table: TableId) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let all: Vec<_> = (0..self.inner.map.shards())
            .map(|shard| self.ask(shard, move |answer| Request::Truncate(table, answer)))
            .collect();
        async move { futures::future::try_join_all(all).await.map(drop) }
    }

    fn damaged(&self) -> impl Future<Output = Result<Vec<Damaged>, StoreError>> + Send + 'static {
        let all: Vec<_> = (0..self.inner.map.shards())
            .map(|shard| self.ask(shard, Request::Damaged))
            .collect();
        async move {
            Ok(futures::future::try_join_all(all)
                .await?
                .into_iter()
                .flatten()
                .collect())
        }
    }

    fn changed(&self, table: TableId) -> impl Future<Output = Result<Cells, StoreError>> + Send + 'static {
        let map = self.inner.map;
        let all: Vec<_> = (0..self.inner.map.shards())
            .map(|shard| self.ask(shard, move |answer| Request::Changed(table, answer)))
            .collect();
        async move {
            let mut changed = Cells::default();
            for (slice, answer) in map.slices().zip(futures::future::join_all(all).await) {
                match answer {
                    Ok(cells) => changed.merge(cells),
                    Err(StoreError::Stopping) => return Err(StoreError::Stopping),
                    // What the other shards told must not be lost: of this one, all may have changed.
                    Err(_) => changed.add_between(slice.start, slice.end),
                }
            }
            Ok(changed)
        }
    }

    fn set_purge(
        &self,
        table: TableId,
        policy: PurgePolicy,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let all: Vec<_> = (0..self.inner.map.shards())
            .map(|shard| {
                let policy = policy.clone();
                self.ask(shard, move |answer| Request::SetPurge(table, policy, answer))
            })
            .collect();
        async move { futures::future::try_join_all(all).await.map(drop) }
    }

    fn set_options(
        &self,
        table: TableId,
        settings: TableSettings,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let all: Vec<_> = (0..self.inner.map.shards())
            .map(|shard| self.ask(shard, move |answer| Request::SetOptions(table, settings, answer)))
            .collect();
        async move { futures::future::try_join_all(all).await.map(drop) }
    }

    fn heal(&self, piece: Damaged) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        // Each shard gives up what it knows within these tokens.
        let all: Vec<_> = (0..self.inner.map.shards())
            .map(|shard| self.ask(shard, move |answer| Request::Heal(piece, answer)))
            .collect();
        async move { futures::future::try_join_all(all).await.map(drop) }
    }

    fn sizes(
        &self,
        table: TableId,
        sets: Vec<TokenSet>,
    ) -> impl Future<Output = Result<Vec<u64>, StoreError>> + Send + 'static {
        moves::sizes(self.clone(), table, sets)
    }

    fn parts(
        &self,
        table: TableId,
        tokens: TokenSet,
        shards: u32,
        bytes: RangeInclusive<u64>,
    ) -> impl Future<Output = Result<Vec<(TokenSet, u64)>, StoreError>> + Send + 'static {
        moves::parts(self.clone(), table, tokens, shards, bytes)
    }

    fn export(
        &self,
        table: TableId,
        tokens: TokenSet,
        shards: u32,
        dir: PathBuf,
        options: ExportOptions,
    ) -> impl Future<Output = Result<Vec<Exported>, StoreError>> + Send + 'static {
        moves::export(self.clone(), table, tokens, shards, dir, options)
    }

    fn ingest(
        &self,
        table: TableId,
        files: Vec<(u32, PathBuf)>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        moves::ingest(self.clone(), table, files)
    }

    fn discard(
        &self,
        table: TableId,
        tokens: TokenSet,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send + 'static {
        moves::discard(self.clone(), table, tokens)
    }
}

impl ShardedStore {
    /// How many shards there are.
    pub fn shards(&self) -> u32 {
        self.inner.map.shards()
    }

    /// The figures of all shards, in order. A shard that has no room for the question is left out.
    pub async fn stats(&self) -> Vec<ShardStats> {
        let all = self.inner.desks.iter().enumerate().map(|(shard, desk)| {
            let queued = desk.queued();
            let engine = self.ask(shard as u32, Request::Stats);
            async move {
                let Told {
                    engine,
                    large_rows,
                    flushes_wait_for,
                    waits_for,
                } = engine.await.ok()?;
                Some(ShardStats {
                    queued,
                    engine,
                    large_rows,
                    flushes_wait_for,
                    waits_for,
                })
            }
        });
        futures::future::join_all(all)
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    /// Finishes what is queued, makes everything durable and ends the threads. What is asked later is
    /// answered with `Stopping`.
    pub async fn stop(&self) -> Result<(), StoreError> {
        let stops: Vec<_> = self
            .inner
            .desks
            .iter()
            .map(|desk| {
                let (answer, stopped) = oneshot::channel();
                let inbox = desk.inbox().clone();
                async move {
                    // Waits for room: a stop must not be refused.
                    let sent = tokio::task::spawn_blocking(move || inbox.send(Request::Stop(answer)).is_ok());
                    match sent.await {
                        Ok(true) => stopped.await.unwrap_or(Err(StoreError::Stopping)),
                        _ => Err(StoreError::Stopping),
                    }
                }
            })
            .collect();
        let outcome = futures::future::try_join_all(stops).await.map(drop);
        let threads = std::mem::take(&mut *self.inner.threads.lock());
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A thread that panicked has ended the process.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
        outcome
    }

    /// A page, of however many shards.
    fn read_page(
        &self,
        command: ReadCommand,
        extent: Extent,
        time: Duration,
    ) -> impl Future<Output = Result<StoredPage, StoreError>> + Send + 'static {
        let store = self.clone();
        let deadline = deadline(time);
        async move {
            let found = match &command.keys {
                KeyRange::Partition(key) => {
                    let shard = store.inner.map.shard_of(key.token);
                    store.read_shard(shard, command, extent, deadline).await?
                }
                KeyRange::Tokens(range) => {
                    let range = *range;
                    // Boxed: with it, a read of one partition would be three times as large, and is copied on its way.
                    Box::pin(scan::scan(&store, command, extent, range, deadline)).await?
                }
            };
            Ok(StoredPage {
                page: found.page,
                visited: found.visited,
                live: found.live,
            })
        }
    }

    fn read_shard(
        &self,
        shard: u32,
        command: ReadCommand,
        extent: Extent,
        deadline: Instant,
    ) -> impl Future<Output = Result<PageResult, StoreError>> + Send + 'static {
        self.ask(shard, move |answer| {
            Request::Read(Box::new(Read {
                command,
                extent,
                deadline,
                parked: 0,
                answer,
            }))
        })
    }

    /// Sends a request to a shard; it is queued, or refused, before the future is first polled.
    fn ask<T: Send + 'static, R: FnOnce(request::Answer<T>) -> Request>(
        &self,
        shard: u32,
        request: R,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + 'static + use<T, R> {
        let (answer, outcome) = oneshot::channel();
        let queued = self.inner.desks[shard as usize].ask(request(answer));
        async move {
            queued?;
            outcome.await.unwrap_or(Err(StoreError::Stopping))
        }
    }
}

/// Until when somebody waits who waits for `time` from now.
fn deadline(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now + LONGEST)
}

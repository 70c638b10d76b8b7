//! The batches that this node keeps for coordinators.
//!
//! They are rows of an internal table in the node's own storage, so that they share the log's group commit:
//! the partition key is the batch's id, and each row's only cell holds one mutation. An index in memory
//! knows which batches there are, so that nobody scans over the tombstones of those that are done.
//!
//! A kept batch is a hint that has not chosen its targets: it gets as old as a hint, and a little older. The cells expire then, so
//! a keeper that was down for longer carries nothing out whose deletion may have been purged meanwhile.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures::lock::{Mutex as AsyncMutex, MutexGuard};
use parking_lot::Mutex;
use starling_model::{
    Cell, CellValue, Clustering, ClusteringRange, ColumnId, DecoratedKey, Deletion, Expiry, KeyRange, Limits,
    Mutation, Page, Partition, ReadCommand, Row, Seconds, TableId, Timestamp, TokenRange,
};
use starling_ring::Partitioner;

use crate::{
    config::Config,
    env::{Env, Store, StoreError},
    message::Failure,
    start_error::StartError,
};

/// The internal table of kept batches: no table of users can have this id, whose version nibble is 0.
pub(crate) const TABLE: TableId = TableId(0x5354_4152_4c49_0000_8000_0062_6174_6368);

/// The only column.
const MUTATION: ColumnId = ColumnId(0);

/// The batches that this node keeps.
pub(crate) struct KeptBatches<E: Env> {
    env: E,
    partitioner: Partitioner,
    max_bytes: usize,
    /// For how long a batch is worth carrying out.
    window: Duration,
    index: Mutex<Index>,
    /// Held for each write of a batch that is carried out, and while a table is forgotten.
    turn: AsyncMutex<()>,
    /// Changes when a table is forgotten.
    forgotten: AtomicU64,
}

#[derive(Default)]
struct Index {
    batches: BTreeMap<u128, Entry>,
    bytes: usize,
}

struct Entry {
    /// When it came, by the monotonic clock.
    at: Duration,
    life: Life,
    bytes: usize,
    /// It needs no keeping any more, and is not removed yet.
    done: bool,
}

/// Since when a batch is kept, and until when it is worth carrying out by the settings of that time.
#[derive(Clone, Copy)]
struct Life {
    since: Seconds,
    until: Seconds,
}

impl Life {
    fn new(since: Seconds, window: Duration) -> Self {
        let window = u32::try_from(window.as_secs()).unwrap_or(u32::MAX);
        Self {
            since,
            until: Seconds(since.0.saturating_add(window)),
        }
    }

    /// As the cells of a batch have it.
    fn expiry(self) -> Expiry {
        Expiry {
            at: self.until,
            ttl: self.until.0.saturating_sub(self.since.0),
        }
    }

    fn of(expiry: Expiry) -> Self {
        Self {
            since: Seconds(expiry.at.0.saturating_sub(expiry.ttl)),
            until: expiry.at,
        }
    }
}

/// What is to be done about a batch that has been kept for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Carry it out.
    Replay,
    /// Nothing but to remove it: it is done.
    Remove,
    /// The same, for it is too old to be carried out.
    GiveUp,
}

/// What is left of a batch.
pub(super) struct Left {
    /// When it was kept.
    pub(super) since: Seconds,
    pub(super) mutations: Vec<Mutation>,
}

impl<E: Env> KeptBatches<E> {
    /// Finds the batches that an earlier run kept, which are replayed soon.
    pub(crate) async fn open(env: E, config: &Config) -> Result<Self, StartError> {
        // What is deleted may be purged later.
        let window = config.bounds.hint_age + config.timeouts.batch_replay;
        let kept = Self {
            env,
            partitioner: config.partitioner,
            max_bytes: config.bounds.batch_bytes,
            window,
            index: Mutex::new(Index::default()),
            turn: AsyncMutex::new(()),
            forgotten: AtomicU64::new(0),
        };
        let found = kept
            .scan_what_is_whole()
            .await
            .map_err(|error| StartError::Disk(error.to_string()))?;
        if found.is_empty() {
            // Nothing but the tombstones of batches that are done.
            let emptied = kept.env.store().truncate(TABLE).await;
            emptied.map_err(|error| StartError::Disk(error.to_string()))?;
        }
        let now = kept.env.monotonic();
        let mut index = kept.index.lock();
        for (id, expiry) in found {
            // One of a release that did not note its time counts from now on.
            let life = expiry.map_or_else(|| Life::new(kept.now(), window), Life::of);
            let entry = Entry {
                at: now,
                life,
                bytes: 0,
                done: false,
            };
            index.batches.insert(id, entry);
        }
        drop(index);
        Ok(kept)
    }

    /// What a client is told of a batch that is kept and was not acknowledged: what may become of it, and what to do.
    pub(crate) fn fate(&self) -> String {
        format!(
            "the batch is kept, and who keeps it carries it out as a whole, mostly within seconds; if nobody can for as long as hints are \
             kept ({} s) it is given up, and may stay written in part; read what it writes, or repeat it if twice is the same as \
             once",
            self.window.as_secs()
        )
    }

    async fn page(&self, command: ReadCommand) -> Result<Page, StoreError> {
        let read = self.env.store().read(command, Duration::MAX).await?;
        let decoded = read.page.decode();
        decoded.map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    /// All batches in the storage that are not damaged. Those that are damaged are given up: another node keeps
    /// each of them too, and its coordinator carries it out. A node that does not start for it would lose more.
    async fn scan_what_is_whole(&self) -> Result<BTreeMap<u128, Option<Expiry>>, StoreError> {
        loop {
            let error = match self.scan().await {
                Err(error @ StoreError::Corrupt(_)) => error,
                other => return other,
            };
            let mut damaged = self.env.store().damaged().await?;
            damaged.retain(|piece| piece.table == TABLE);
            if damaged.is_empty() {
                return Err(error);
            }
            for piece in damaged {
                ::tracing::error!(
                    tokens = %piece.tokens, %error,
                    "kept batches are damaged, and given up here: each has another keeper, and its coordinator"
                );
                self.env.store().heal(piece).await?;
            }
        }
    }

    /// All batches in the storage, those that are too old included, and when they expire.
    async fn scan(&self) -> Result<BTreeMap<u128, Option<Expiry>>, StoreError> {
        let mut found = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self
                .page(self.command(KeyRange::Tokens(TokenRange::ALL), after))
                .await?;
            for part in &page.partitions {
                let mut kept = part.partition.rows.values().flat_map(|row| &row.cells);
                let expiry = kept.find_map(|cell| match &cell.value {
                    CellValue::Live { expiry, .. } => Some(*expiry),
                    CellValue::Tombstone(_) => None,
                });
                if let Some(expiry) = expiry
                    && let Ok(id) = <[u8; 16]>::try_from(&part.key.key[..])
                {
                    found.insert(u128::from_be_bytes(id), expiry);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// Keeps a batch. Durable when it ends well; false if it was kept before.
    pub(crate) async fn store(&self, id: u128, mutations: Vec<Bytes>) -> Result<bool, Failure> {
        let bytes: usize = mutations.iter().map(Bytes::len).sum();
        let life = Life::new(self.now(), self.window);
        let is_new = {
            let mut index = self.index.lock();
            if index.bytes + bytes > self.max_bytes {
                return Err(Failure::Overloaded);
            }
            // One that came before stays as it is: it may be done by now.
            let is_new = !index.batches.contains_key(&id);
            if is_new {
                index.bytes += bytes;
                let entry = Entry {
                    at: self.env.monotonic(),
                    life,
                    bytes,
                    done: false,
                };
                index.batches.insert(id, entry);
            }
            is_new
        };
        let mut partition = Partition::default();
        for (at, mutation) in mutations.into_iter().enumerate() {
            let mut row = Row::default();
            row.add(Cell {
                column: MUTATION,
                path: None,
                timestamp: KEPT,
                value: CellValue::Live {
                    value: mutation,
                    expiry: Some(life.expiry()),
                },
            });
            partition.add_row(
                Clustering(Bytes::copy_from_slice(&(at as u32).to_be_bytes())),
                row,
            );
        }
        let stored = self.apply(id, partition).await;
        if stored.is_err() && is_new {
            self.forget(id);
        }
        stored.map_err(|error| Failure::Storage(error.to_string()))?;
        Ok(is_new)
    }

    /// Removes a batch that needs no keeping any more. Where the storage refuses that now it is not carried out, and its
    /// removal is due again. A batch that comes back all the same is carried out once more, which changes nothing, unless what it
    /// wrote was deleted and the deletion purged since.
    pub(crate) async fn remove(&self, id: u128) {
        if let Some(entry) = self.index.lock().batches.get_mut(&id) {
            entry.done = true;
        }
        let partition = Partition {
            deletion: Some(Deletion {
                timestamp: REMOVED,
                at: self.now(),
            }),
            ..Partition::default()
        };
        match self.apply(id, partition).await {
            Ok(()) => self.forget(id),
            Err(error) => {
                ::tracing::warn!(%error, "a batch that is done can't be removed now; it is tried again");
                // Also one that is not known: it was refused, and may be on the disk all the same.
                let entry = Entry {
                    at: self.env.monotonic(),
                    life: Life::new(self.now(), self.window),
                    bytes: 0,
                    done: true,
                };
                self.index.lock().batches.entry(id).or_insert(entry);
            }
        }
    }

    /// Removes what batches write to a table, which is truncated: none of it is written from now on. An error says that some of it
    /// may be.
    pub(crate) async fn forget_table(&self, table: TableId) -> Result<(), Failure> {
        // Who carries a batch out stops after the write that is under way, and reads what is left of it anew.
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        let _turn = self.turn.lock().await;
        let ids: Vec<u128> = self.index.lock().batches.keys().copied().collect();
        for id in ids {
            let forgotten = self.forget_table_in(id, table).await;
            forgotten.map_err(|error| Failure::Storage(format!("a kept batch can't be changed: {error}")))?;
        }
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    async fn forget_table_in(&self, id: u128, table: TableId) -> Result<(), StoreError> {
        let mut partition = Partition::default();
        for (place, mutation) in self.rows(id).await? {
            if mutation.table == table {
                let removed = Deletion {
                    timestamp: REMOVED,
                    at: self.now(),
                };
                let row = Row {
                    deletion: Some(removed),
                    ..Row::default()
                };
                partition.add_row(place, row);
            }
        }
        if partition.rows.is_empty() {
            return Ok(());
        }
        self.apply(id, partition).await
    }

    fn forget(&self, id: u128) {
        let mut index = self.index.lock();
        if let Some(entry) = index.batches.remove(&id) {
            index.bytes = index.bytes.saturating_sub(entry.bytes);
        }
    }

    /// The batches that have been kept for longer than `age`.
    pub(super) fn older_than(&self, age: Duration) -> Vec<u128> {
        let now = self.env.monotonic();
        let index = self.index.lock();
        let old = index
            .batches
            .iter()
            .filter(|(_, entry)| now.saturating_sub(entry.at) >= age);
        old.map(|(id, _)| *id).collect()
    }

    /// What is to be done about a batch now; nothing, if it is gone.
    pub(super) fn due(&self, id: u128) -> Option<Due> {
        let index = self.index.lock();
        let entry = index.batches.get(&id)?;
        // By the settings of now or of the time when it was kept: deletions were purged by the one, and are by the other.
        let until = entry
            .life
            .until
            .min(Life::new(entry.life.since, self.window).until);
        Some(if entry.done {
            Due::Remove
        } else if self.now() > until {
            Due::GiveUp
        } else {
            Due::Replay
        })
    }

    /// The right to write a part of a batch. Nothing is forgotten meanwhile.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// How often a table was forgotten: what was read of a batch before is not to be written after.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Acquire)
    }

    /// What is left of a batch; nothing, if it is gone.
    pub(super) async fn read(&self, id: u128) -> Result<Option<Left>, StoreError> {
        let since = self.index.lock().batches.get(&id).map(|entry| entry.life.since);
        let Some(since) = since else {
            return Ok(None);
        };
        let rows = self.rows(id).await?.into_iter();
        Ok(Some(Left {
            since,
            mutations: rows.map(|(_, mutation)| mutation).collect(),
        }))
    }

    /// The writes of a batch, and where they stand.
    async fn rows(&self, id: u128) -> Result<Vec<(Clustering, Mutation)>, StoreError> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .page(self.command(KeyRange::Partition(self.key(id)), after))
                .await?;
            let rows = page.partitions.into_iter().flat_map(|part| part.partition.rows);
            for (place, row) in rows {
                for cell in row.cells {
                    let CellValue::Live { value, .. } = cell.value else {
                        continue;
                    };
                    let mutation =
                        Mutation::decode(value).map_err(|error| StoreError::Corrupt(error.to_string()))?;
                    found.push((place.clone(), mutation));
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    async fn apply(&self, id: u128, partition: Partition) -> Result<(), StoreError> {
        let mutation = Mutation {
            table: TABLE,
            key: self.key(id),
            partition,
        };
        self.env.store().apply(mutation.into(), Duration::MAX).await
    }

    fn key(&self, id: u128) -> DecoratedKey {
        let key = Bytes::copy_from_slice(&id.to_be_bytes());
        DecoratedKey {
            token: self.partitioner.token(&key),
            key,
        }
    }

    fn command(&self, keys: KeyRange, after: Option<starling_model::Position>) -> ReadCommand {
        ReadCommand {
            table: TABLE,
            keys,
            slices: vec![ClusteringRange::ALL],
            reversed: false,
            after,
            limits: Limits::NONE,
            now: self.now(),
        }
    }

    fn now(&self) -> Seconds {
        self.env.wall().seconds()
    }
}

/// Ids are never used again, so two fixed timestamps tell kept from removed, whatever the clock does and
/// in whatever order the two come.
const KEPT: Timestamp = Timestamp(1);
const REMOVED: Timestamp = Timestamp(2);

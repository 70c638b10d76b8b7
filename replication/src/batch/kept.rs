//! The batches that this node keeps for coordinators.
//!
//! They are rows of an internal table in the node's own storage, so that they share the log's group commit:
//! the partition key is the batch's id, and each row's only cell holds one mutation. An index in memory
//! knows which batches there are, so that nobody scans over the tombstones of those that are done.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use starling_model::{
    Cell, CellValue, Clustering, ClusteringRange, ColumnId, DecoratedKey, Deletion, KeyRange, Limits,
    Mutation, Page, Partition, ReadCommand, Row, Seconds, TableId, Timestamp, TokenRange,
};
use starling_ring::Partitioner;

use crate::{
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
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    batches: BTreeMap<u128, Entry>,
    bytes: usize,
}

struct Entry {
    /// When it came, by the monotonic clock.
    at: Duration,
    bytes: usize,
    /// It needs no keeping any more, and is not removed yet.
    done: bool,
}

/// What is to be done about a batch that has been kept for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Carry it out.
    Replay(u128),
    /// Nothing but to remove it.
    Remove(u128),
}

impl<E: Env> KeptBatches<E> {
    /// Finds the batches that an earlier run kept, which are replayed soon.
    pub(crate) async fn open(env: E, partitioner: Partitioner, max_bytes: usize) -> Result<Self, StartError> {
        let kept = Self {
            env,
            partitioner,
            max_bytes,
            index: Mutex::new(Index::default()),
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
        for id in found {
            let entry = Entry {
                at: now,
                bytes: 0,
                done: false,
            };
            index.batches.insert(id, entry);
        }
        drop(index);
        Ok(kept)
    }

    async fn page(&self, command: ReadCommand) -> Result<Page, StoreError> {
        let read = self.env.store().read(command, Duration::MAX).await?;
        let decoded = read.page.decode();
        decoded.map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    /// The ids of all batches in the storage that are not damaged. Those that are damaged are given up: another node keeps
    /// each of them too, and its coordinator carries it out. A node that does not start for it would lose more.
    async fn scan_what_is_whole(&self) -> Result<Vec<u128>, StoreError> {
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

    /// The ids of all batches in the storage.
    async fn scan(&self) -> Result<Vec<u128>, StoreError> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .page(self.command(KeyRange::Tokens(TokenRange::ALL), after))
                .await?;
            for part in &page.partitions {
                if part.partition.rows.values().any(|row| row.is_live(self.now()))
                    && let Ok(id) = <[u8; 16]>::try_from(&part.key.key[..])
                {
                    found.push(u128::from_be_bytes(id));
                }
            }
            after = page.next;
            if after.is_none() {
                found.dedup();
                return Ok(found);
            }
        }
    }

    /// Keeps a batch. Durable when it ends well.
    pub(crate) async fn store(&self, id: u128, mutations: Vec<Bytes>) -> Result<(), Failure> {
        let bytes: usize = mutations.iter().map(Bytes::len).sum();
        {
            let mut index = self.index.lock();
            if index.bytes + bytes > self.max_bytes {
                return Err(Failure::Overloaded);
            }
            let entry = Entry {
                at: self.env.monotonic(),
                bytes,
                done: false,
            };
            if index.batches.insert(id, entry).is_none() {
                index.bytes += bytes;
            }
        }
        let mut partition = Partition::default();
        for (at, mutation) in mutations.into_iter().enumerate() {
            let mut row = Row::default();
            row.add(Cell {
                column: MUTATION,
                path: None,
                timestamp: KEPT,
                value: CellValue::Live {
                    value: mutation,
                    expiry: None,
                },
            });
            partition.add_row(
                Clustering(Bytes::copy_from_slice(&(at as u32).to_be_bytes())),
                row,
            );
        }
        let stored = self.apply(id, partition).await;
        if stored.is_err() {
            self.forget(id);
        }
        stored.map_err(|error| Failure::Storage(error.to_string()))
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
            }
        }
    }

    fn forget(&self, id: u128) {
        let mut index = self.index.lock();
        if let Some(entry) = index.batches.remove(&id) {
            index.bytes = index.bytes.saturating_sub(entry.bytes);
        }
    }

    /// What is due of the batches that have been kept for longer than `age`.
    pub(super) fn older_than(&self, age: Duration) -> Vec<Due> {
        let now = self.env.monotonic();
        let index = self.index.lock();
        let old = index
            .batches
            .iter()
            .filter(|(_, entry)| now.saturating_sub(entry.at) >= age);
        old.map(|(id, entry)| {
            if entry.done {
                Due::Remove(*id)
            } else {
                Due::Replay(*id)
            }
        })
        .collect()
    }

    /// A batch's mutations.
    pub(super) async fn read(&self, id: u128) -> Result<Vec<Mutation>, StoreError> {
        let mut mutations = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .page(self.command(KeyRange::Partition(self.key(id)), after))
                .await?;
            let rows = page
                .partitions
                .iter()
                .flat_map(|part| part.partition.rows.values());
            for cell in rows.flat_map(|row| &row.cells) {
                let CellValue::Live { value, .. } = &cell.value else {
                    continue;
                };
                let mutation = Mutation::decode(value.clone());
                mutations.push(mutation.map_err(|error| StoreError::Corrupt(error.to_string()))?);
            }
            after = page.next;
            if after.is_none() {
                return Ok(mutations);
            }
        }
    }

    async fn apply(&self, id: u128, partition: Partition) -> Result<(), StoreError> {
        let mutation = Mutation {
            table: TABLE,
            key: self.key(id),
            partition,
        };
        self.env.store().apply(mutation.into()).await
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

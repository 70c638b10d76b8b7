//! What an operator asks of all shards: flushes, compactions, snapshots.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{
    ShardedStore,
    request::{Answer, Request},
    shard::{Shard, later},
};
use futures::future::join_all;
use starling_model::TableId;
use starling_replication::StoreError;

/// What an operator asks of a shard.
pub(super) enum Operation {
    /// Write out what is in memory.
    Flush(Answer<()>),
    /// Begin to compact tables as a whole.
    Compact(Vec<TableId>, Answer<()>),
    /// Tell how much of that is left.
    LeftToCompact(Vec<TableId>, Answer<Left>),
    /// Make a snapshot of some tables, or of all, in a directory.
    Snapshot(Option<BTreeSet<TableId>>, PathBuf, Answer<()>),
}

/// What is left of compactions that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// Bytes of files; 0: they are done.
    pub bytes: u64,
    /// What compactions of these tables wait for, in words. `None`: for nothing.
    pub waits_for: Option<String>,
}

impl Operation {
    pub(super) fn carry_out(self, shard: &mut Shard) {
        let engine = &mut shard.engine;
        match self {
            Self::Flush(answer) => later(answer, |done| engine.flush(done)),
            Self::Compact(tables, answer) => {
                for table in tables {
                    engine.compact(table);
                }
                let _ = answer.send(Ok(()));
            }
            Self::LeftToCompact(tables, answer) => {
                let left = tables.iter().map(|table| engine.left_to_compact(*table));
                let left = Left {
                    bytes: left.sum(),
                    waits_for: shard.compactions_wait_for(Some(&tables)),
                };
                let _ = answer.send(Ok(left));
            }
            Self::Snapshot(tables, dir, answer) => {
                later(answer, |done| engine.snapshot(dir, tables, done));
            }
        }
    }
}

impl ShardedStore {
    /// Writes out what is in memory; ends when all that was acknowledged before is in tables. While the disk is full it
    /// does not end.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.operate(|_, answer| Operation::Flush(answer)).await.map(drop)
    }

    /// Begins to compact all that tables have in files now. [`left_to_compact`](Self::left_to_compact) tells how far
    /// it is.
    pub async fn compact(&self, tables: &[TableId]) -> Result<(), StoreError> {
        let begin = |_, answer| Operation::Compact(tables.to_vec(), answer);
        self.operate(begin).await.map(drop)
    }

    /// What is left of compactions that [`compact`](Self::compact) began.
    pub async fn left_to_compact(&self, tables: &[TableId]) -> Result<Left, StoreError> {
        let left = self.operate(|_, answer| Operation::LeftToCompact(tables.to_vec(), answer));
        let all = left.await?.into_iter();
        Ok(all.fold(Left::default(), |all, left| Left {
            bytes: all.bytes + left.bytes,
            waits_for: all.waits_for.or(left.waits_for),
        }))
    }

    /// Makes a snapshot of some tables (`None`: of all) below a directory, each shard's in one of its own:
    /// [`shard_dir`]. After an error some may be there.
    pub async fn snapshot(&self, tables: Option<&BTreeSet<TableId>>, dir: &Path) -> Result<(), StoreError> {
        let begin = |shard, answer| Operation::Snapshot(tables.cloned(), dir.join(shard_dir(shard)), answer);
        self.operate(begin).await.map(drop)
    }

    /// Asks every shard; their answers, in order.
    async fn operate<T: Send + 'static>(
        &self,
        operation: impl Fn(u32, Answer<T>) -> Operation,
    ) -> Result<Vec<T>, StoreError> {
        let operation = &operation;
        let all: Vec<_> = (0..self.shards())
            .map(|shard| self.ask(shard, move |answer| Request::Operate(operation(shard, answer))))
            .collect();
        every(all).await
    }
}

/// What all answer, or the first error once every one has answered: nobody clears away behind those that go on.
pub(super) async fn every<T>(
    asked: impl IntoIterator<Item: Future<Output = Result<T, StoreError>>>,
) -> Result<Vec<T>, StoreError> {
    join_all(asked).await.into_iter().collect()
}

/// The name of a shard's directory, in the data directory and in snapshots.
pub fn shard_dir(shard: u32) -> String {
    format!("shard-{shard}")
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::Arc, time::Duration};

    use futures::future::{Either, select};
    use starling_replication::Store;
    use starling_sstable::fs::{
        Fs,
        memory::{Faults, MemoryFs},
    };

    use super::*;
    use crate::store::{CommitLogSync, StoreOptions};

    /// An order that finds no room does not end; what it waits for is told, until there is room.
    #[tokio::test]
    async fn what_an_order_waits_for_is_told_until_it_is_done() {
        let memory = MemoryFs::new();
        let fs: Arc<dyn Fs> = Arc::new(memory.clone());
        let options = StoreOptions {
            shards: 2,
            commitlog_sync: CommitLogSync::Group,
            memtable_bytes: 64 << 20,
            background_threads: 1,
            incremental_backups: false,
        };
        let store = ShardedStore::open(&fs, &options).unwrap();
        for n in 0..20 {
            let write = crate::store::tests::write(n, 3);
            store.apply(write.into(), Duration::MAX).await.unwrap();
        }
        memory.set_faults(Faults {
            capacity: Some(memory.used()),
            ..Faults::default()
        });
        let flush = pin!(store.flush());
        let told = pin!(async {
            loop {
                let mut shards = store.stats().await.into_iter();
                if let Some(waits) = shards.find_map(|shard| shard.waits_for) {
                    break waits;
                }
                tokio::task::yield_now().await;
            }
        });
        let Either::Right((waits, flush)) = select(flush, told).await else {
            panic!("there was no room for the flush");
        };
        assert!(
            waits.contains("flushes fail") && waits.contains("the disk is full"),
            "{waits}"
        );
        memory.set_faults(Faults::default());
        flush.await.unwrap();
        let shards = store.stats().await;
        assert!(shards.iter().all(|shard| shard.waits_for.is_none()), "{shards:?}");
        store.stop().await.unwrap();
    }

    #[tokio::test]
    async fn what_a_truncation_left_nothing_of_is_not_waited_for() {
        let memory = MemoryFs::new();
        let fs: Arc<dyn Fs> = Arc::new(memory.clone());
        let options = StoreOptions {
            shards: 1,
            commitlog_sync: CommitLogSync::Group,
            memtable_bytes: 64 << 20,
            background_threads: 1,
            incremental_backups: false,
        };
        let store = ShardedStore::open(&fs, &options).unwrap();
        let write = crate::store::tests::write(1, 3);
        let table = write.table;
        store.apply(write.into(), Duration::MAX).await.unwrap();
        memory.set_faults(Faults {
            capacity: Some(memory.used()),
            ..Faults::default()
        });
        let flush = store.ask(0, |answer| Request::Operate(Operation::Flush(answer)));
        let told = async |waits: bool| {
            let is_so = async || {
                let stats = store.stats().await;
                stats[0].waits_for.is_some() == waits && stats[0].flushes_wait_for.is_some() == waits
            };
            let poll = async {
                while !is_so().await {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), poll).await
        };
        told(true).await.expect("there is no room for the flush");
        memory.set_faults(Faults::default());
        store.truncate(table).await.unwrap();
        flush.await.unwrap();
        told(false).await.expect("there is nothing to flush any more");
        store.stop().await.unwrap();
    }

    #[tokio::test]
    async fn an_error_waits_for_those_that_go_on() {
        let mut is_done = false;
        let slow = async {
            tokio::task::yield_now().await;
            is_done = true;
            Ok(())
        };
        let fails = async { Err(StoreError::Overloaded) };
        let both: [futures::future::BoxFuture<'_, _>; 2] = [Box::pin(fails), Box::pin(slow)];
        assert_eq!(every(both).await, Err(StoreError::Overloaded));
        assert!(is_done);
    }
}

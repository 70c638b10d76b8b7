//! A node's storage: the real engine, one for each shard, on the simulated disk.
//!
//! As in production, a write is acknowledged when a group sync of its shard's log has made it durable,
//! a read waits for the sync of what it saw, and flushes and compactions run in bounded steps beside the
//! requests. Here a sync takes virtual time, and steps interleave with everything as the seed wants.

mod background;
mod commit;
mod moves;
mod range;
mod shard;
#[cfg(test)]
mod tests;

use std::{future::Future, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use starling_model::{EncodedMutation, KeyRange, ReadCommand, TableId, Token, TokenSet};
use starling_replication::env::{Damaged, Exported, Store, StoreError, StoredPage};
use starling_sstable::{
    Cells, ExportOptions, Extent, Options, PageResult, PurgePolicy, Scaling, ShardMap, Strategy,
    TableSettings,
};

use self::shard::Shard;
use crate::{
    bug::{self, Bug},
    disk::Disk,
    executor::{Group, Handle},
    random::Random,
};

/// How a node stores.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// How many shards it has, at least 1.
    pub shards: u32,
    /// The engines' settings.
    pub engine: Options,
    /// The least time of a log sync.
    pub sync_fastest: Duration,
    /// The most time of a log sync.
    pub sync_slowest: Duration,
    /// The longest pause between two looks for background work, and between two steps of it.
    pub pause: Duration,
}

impl StoreSettings {
    /// Small buffers, so that flushes and compactions happen all the time.
    pub fn random(random: &mut Random) -> Self {
        // A run's writes are some kilobytes for each shard: in most runs they must not fit into one memtable.
        let memtable_bytes = 256 << random.below(8);
        let engine = Options {
            memtable_bytes,
            memory_bytes: (memtable_bytes * 64).max(128 << 10),
            segment_bytes: 1024 << random.below(6),
            log_bytes: 16 << 10 << random.below(4),
            reserve_bytes: 1000 * random.below(4),
            block_bytes: 64 << random.below(6),
            compaction: Strategy::Unified(Scaling::all(random.index(5) as i8 - 2)),
            table_bytes: 4096 << random.below(6),
            step_bytes: 256 << random.below(6),
            scrub_seconds: 300,
            ..Options::default()
        };
        Self {
            shards: 1 + random.below(3) as u32,
            engine,
            sync_fastest: Duration::from_micros(50 + random.below(200)),
            sync_slowest: Duration::from_micros(500 + random.below(20_000)),
            pause: Duration::from_millis(1 + random.below(100)),
        }
    }
}

/// A node's storage. Clones share it.
#[derive(Clone)]
pub struct SimStore {
    map: ShardMap,
    shards: Arc<Vec<Arc<Shard>>>,
    bug: Option<Bug>,
    stale: Arc<bug::Stale>,
}

impl SimStore {
    /// Opens, or makes, all shards on a disk and starts their background work in `group`.
    pub fn open(
        handle: &Handle,
        group: Group,
        disk: &Disk,
        settings: &StoreSettings,
        bug: Option<Bug>,
    ) -> Result<Self, starling_sstable::Error> {
        let map = ShardMap::new(settings.shards);
        let mut settings = settings.clone();
        // The disk is this node's, and a process that begins has promised nothing of it.
        settings.engine.promises = Arc::default();
        let mut shards = Vec::new();
        for number in 0..map.shards() {
            let dir = PathBuf::from(format!("data/shard-{number}"));
            shards.push(Shard::open(handle, disk.fs(), dir, &settings)?);
        }
        for shard in &shards {
            handle.spawn(group, commit::run(shard.clone()));
            handle.spawn(group, background::hand_out(shard.clone()));
            handle.spawn(group, background::run_urgent(shard.clone()));
            handle.spawn(group, background::run_others(shard.clone()));
        }
        Ok(Self {
            map,
            shards: Arc::new(shards),
            bug,
            stale: Arc::default(),
        })
    }

    fn shard(&self, token: Token) -> Arc<Shard> {
        self.shards[self.map.shard_of(token) as usize].clone()
    }

    fn give_up(&self, piece: Damaged) {
        for shard in self.shards.iter() {
            shard.heal(piece);
        }
    }

    async fn read_partition(
        &self,
        key: &starling_model::DecoratedKey,
        command: ReadCommand,
    ) -> Result<PageResult, starling_sstable::Error> {
        let found = self
            .shard(key.token)
            .read(command.clone(), Extent::All, self.bug)
            .await?;
        Ok(self.stale.instead(self.bug, &command, found))
    }

    /// How many flushes and compactions were installed since the start.
    pub fn jobs(&self) -> (u64, u64) {
        self.shards
            .iter()
            .map(|shard| shard.stats())
            .fold((0, 0), |sum, stats| {
                (sum.0 + stats.flushes, sum.1 + stats.compactions)
            })
    }

    /// Asks for everything in memory to be written to files; the background does it.
    pub fn flush_all(&self) {
        for shard in self.shards.iter() {
            shard.flush_all();
        }
    }

    /// Asks for all files of a table to be compacted; the background does it.
    pub fn compact(&self, table: TableId) {
        for shard in self.shards.iter() {
            shard.compact(table);
        }
    }

    /// What is left of what was asked to be [flushed](Self::flush_all), and [compacted](Self::compact) of some tables; 0: nothing.
    pub fn left_to_do(&self, tables: &[TableId]) -> u64 {
        self.shards.iter().map(|shard| shard.left_to_do(tables)).sum()
    }

    /// Everything that is stored of a table, in token order, one page after the other without a limit of
    /// their number. For comparing replicas.
    pub fn dump(
        &self,
        table: TableId,
    ) -> Result<Vec<starling_model::PartitionPage>, starling_sstable::Error> {
        let mut all = Vec::new();
        for (shard, slice) in self.shards.iter().zip(self.map.slices()) {
            all.extend(shard.dump(table, slice)?);
        }
        Ok(all)
    }
}

/// What the engine's errors mean to the replica.
fn store_error(error: starling_sstable::Error) -> StoreError {
    use starling_sstable::Error;
    match error {
        Error::Overloaded { .. } => StoreError::Overloaded,
        Error::Corrupt { .. } | Error::Version { .. } => StoreError::Corrupt(error.to_string()),
        Error::RowTooLarge {
            table,
            key,
            bytes,
            limit,
        } => StoreError::RowTooLarge {
            table,
            key: *key,
            bytes,
            limit,
        },
        Error::Io { .. }
        | Error::TooLarge { .. }
        | Error::Invalid(_)
        | Error::LogFailed(_)
        | Error::NoSpace { .. } => StoreError::Disk(error.to_string()),
    }
}

// A write begins, and a read ends, in no virtual time but what it waits for: neither runs out of it.
impl Store for SimStore {
    fn apply(
        &self,
        mutation: EncodedMutation,
        _time: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let shard = self.shard(mutation.token());
        let bug = self.bug;
        async move {
            let mutation = mutation
                .decode()
                .map_err(|error| StoreError::Disk(error.to_string()))?;
            let mutation = bug::changes(bug, mutation, |command| shard.read_now(command));
            let lsn = shard.apply(&mutation).map_err(store_error)?;
            if bug == Some(Bug::AcknowledgeBeforeSync) {
                return Ok(());
            }
            shard.durable(lsn).await.map_err(store_error)
        }
    }

    fn read(
        &self,
        command: ReadCommand,
        _time: Duration,
    ) -> impl Future<Output = Result<StoredPage, StoreError>> + Send + 'static {
        let store = self.clone();
        async move {
            let found = match command.keys.clone() {
                KeyRange::Partition(key) => store.read_partition(&key, command).await,
                KeyRange::Tokens(range) => store.read_range(command, range, Extent::All).await,
            };
            let found = found.map_err(store_error)?;
            Ok(StoredPage {
                page: found.page,
                visited: found.visited,
                live: found.live,
            })
        }
    }

    fn read_rest(
        &self,
        command: ReadCommand,
        _time: Duration,
    ) -> impl Future<Output = Result<StoredPage, StoreError>> + Send + 'static {
        let store = self.clone();
        async move {
            let found = match command.keys.clone() {
                KeyRange::Partition(key) => {
                    let shard = store.shard(key.token);
                    shard.read(command, Extent::Rest, store.bug).await
                }
                KeyRange::Tokens(range) => store.read_range(command, range, Extent::Rest).await,
            };
            let found = found.map_err(store_error)?;
            Ok(StoredPage {
                page: found.page,
                visited: found.visited,
                live: found.live,
            })
        }
    }

    fn truncate(&self, table: TableId) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let store = self.clone();
        async move {
            for shard in store.shards.iter() {
                shard.truncate(table).await.map_err(store_error)?;
            }
            Ok(())
        }
    }

    fn damaged(&self) -> impl Future<Output = Result<Vec<Damaged>, StoreError>> + Send + 'static {
        let damaged: Vec<Damaged> = self.shards.iter().flat_map(|shard| shard.damaged()).collect();
        if bug::hides_damage(self.bug) {
            return std::future::ready(Ok(Vec::new()));
        }
        if bug::gives_up_damage(self.bug) {
            for piece in &damaged {
                self.give_up(*piece);
            }
        }
        std::future::ready(Ok(damaged))
    }

    fn changed(&self, table: TableId) -> impl Future<Output = Result<Cells, StoreError>> + Send + 'static {
        let mut changed = Cells::default();
        for shard in self.shards.iter() {
            changed.merge(shard.take_changed(table));
        }
        if bug::forgets_changes(self.bug) && changed != Cells::ALL {
            changed = Cells::default();
        }
        std::future::ready(Ok(changed))
    }

    fn set_purge(
        &self,
        table: TableId,
        policy: PurgePolicy,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let policy = if bug::purges_at_once(self.bug) {
            PurgePolicy::After { grace: 0 }
        } else {
            policy
        };
        for shard in self.shards.iter() {
            shard.set_purge(table, policy.clone());
        }
        std::future::ready(Ok(()))
    }

    fn set_options(
        &self,
        table: TableId,
        settings: TableSettings,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        for shard in self.shards.iter() {
            shard.set_options(table, &settings);
        }
        std::future::ready(Ok(()))
    }

    fn heal(&self, piece: Damaged) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        self.give_up(piece);
        std::future::ready(Ok(()))
    }

    fn sizes(
        &self,
        table: TableId,
        sets: Vec<TokenSet>,
    ) -> impl Future<Output = Result<Vec<u64>, StoreError>> + Send + 'static {
        let sizes = sets.iter().map(|set| self.size(table, set)).collect();
        std::future::ready(Ok(sizes))
    }

    fn parts(
        &self,
        table: TableId,
        tokens: TokenSet,
        shards: u32,
        bytes: RangeInclusive<u64>,
    ) -> impl Future<Output = Result<Vec<(TokenSet, u64)>, StoreError>> + Send + 'static {
        std::future::ready(Ok(self.cut(table, &tokens, shards, &bytes)))
    }

    fn export(
        &self,
        table: TableId,
        tokens: TokenSet,
        shards: u32,
        dir: PathBuf,
        options: ExportOptions,
    ) -> impl Future<Output = Result<Vec<Exported>, StoreError>> + Send + 'static {
        let store = self.clone();
        async move {
            let exported = store.export_parts(table, &tokens, shards, &dir, &options).await;
            exported.map_err(store_error)
        }
    }

    fn ingest(
        &self,
        table: TableId,
        files: Vec<(u32, PathBuf)>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let store = self.clone();
        async move { store.ingest_files(table, files).await.map_err(store_error) }
    }

    fn discard(
        &self,
        table: TableId,
        tokens: TokenSet,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send + 'static {
        let store = self.clone();
        async move {
            if bug::keeps_foreign(store.bug) {
                return Ok(0);
            }
            store.discard_tokens(table, &tokens).await.map_err(store_error)
        }
    }
}

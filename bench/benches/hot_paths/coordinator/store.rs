//! Storage that is a map: what the coordinator costs is to be seen, not the engine.

use std::{
    collections::BTreeMap,
    future::{Future, ready},
    ops::RangeInclusive,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use starling_model::{
    DecoratedKey, EncodedMutation, KeyRange, Page, Partition, PartitionPage, ReadCommand, TableId, TokenSet,
};
use starling_replication::{Damaged, Exported, StoreError, StoredPage, env::Store};
use starling_sstable::{Cells, ExportOptions, PurgePolicy, TableSettings};

type Partitions = BTreeMap<(TableId, DecoratedKey), Partition>;

/// Whole partitions, by their keys. Nothing is moved or repaired here.
#[derive(Clone, Default)]
pub(super) struct MapStore(Arc<Mutex<Partitions>>);

type Outcome<T> = Result<T, StoreError>;

/// What these measurements never ask for.
fn refused<T>(what: &str) -> Outcome<T> {
    Err(StoreError::Disk(format!("{what} is not asked for here")))
}

impl MapStore {
    fn partitions(&self) -> MutexGuard<'_, Partitions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn page(&self, command: &ReadCommand) -> StoredPage {
        let stored = self.partitions();
        let whole = |key: &DecoratedKey, partition: &Partition| PartitionPage {
            key: key.clone(),
            partition: partition.clone(),
            cut: None,
        };
        let partitions = match &command.keys {
            KeyRange::Partition(key) => {
                let found = stored.get(&(command.table, key.clone()));
                found.map(|partition| whole(key, partition)).into_iter().collect()
            }
            // A node looks for batches that it kept when it starts.
            KeyRange::Tokens(range) => {
                let tokens = TokenSet::from(*range);
                let found = stored.iter();
                let found =
                    found.filter(|((table, key), _)| *table == command.table && tokens.contains(key.token));
                found.map(|((_, key), partition)| whole(key, partition)).collect()
            }
        };
        let page = Page {
            partitions,
            next: None,
        };
        let rows = page.partitions.len() as u64;
        StoredPage {
            page: page.encoded(),
            visited: rows,
            live: rows,
        }
    }
}

impl Store for MapStore {
    fn apply(
        &self,
        mutation: EncodedMutation,
        _time: Duration,
    ) -> impl Future<Output = Outcome<()>> + Send + 'static {
        let mutation = mutation.decode().expect("a coordinator encoded it");
        let mut partitions = self.partitions();
        let partition = partitions.entry((mutation.table, mutation.key)).or_default();
        partition.merge(mutation.partition);
        ready(Ok(()))
    }

    fn read(
        &self,
        command: ReadCommand,
        _time: Duration,
    ) -> impl Future<Output = Outcome<StoredPage>> + Send + 'static {
        ready(Ok(self.page(&command)))
    }

    fn read_rest(
        &self,
        command: ReadCommand,
        _time: Duration,
    ) -> impl Future<Output = Outcome<StoredPage>> + Send + 'static {
        ready(Ok(self.page(&command)))
    }

    fn truncate(&self, table: TableId) -> impl Future<Output = Outcome<()>> + Send + 'static {
        self.partitions().retain(|(of, _), _| *of != table);
        ready(Ok(()))
    }

    fn damaged(&self) -> impl Future<Output = Outcome<Vec<Damaged>>> + Send + 'static {
        ready(Ok(Vec::new()))
    }

    fn changed(&self, _table: TableId) -> impl Future<Output = Outcome<Cells>> + Send + 'static {
        ready(Ok(Cells::ALL))
    }

    fn set_purge(
        &self,
        _table: TableId,
        _policy: PurgePolicy,
    ) -> impl Future<Output = Outcome<()>> + Send + 'static {
        ready(Ok(()))
    }

    fn set_options(
        &self,
        _table: TableId,
        _settings: TableSettings,
    ) -> impl Future<Output = Outcome<()>> + Send + 'static {
        ready(Ok(()))
    }

    fn heal(&self, _piece: Damaged) -> impl Future<Output = Outcome<()>> + Send + 'static {
        ready(refused("healing"))
    }

    fn sizes(
        &self,
        _table: TableId,
        sets: Vec<TokenSet>,
    ) -> impl Future<Output = Outcome<Vec<u64>>> + Send + 'static {
        ready(Ok(vec![0; sets.len()]))
    }

    fn parts(
        &self,
        _table: TableId,
        _tokens: TokenSet,
        _shards: u32,
        _bytes: RangeInclusive<u64>,
    ) -> impl Future<Output = Outcome<Vec<(TokenSet, u64)>>> + Send + 'static {
        ready(refused("cutting"))
    }

    fn export(
        &self,
        _table: TableId,
        _tokens: TokenSet,
        _shards: u32,
        _dir: PathBuf,
        _options: ExportOptions,
    ) -> impl Future<Output = Outcome<Vec<Exported>>> + Send + 'static {
        ready(refused("an export"))
    }

    fn ingest(
        &self,
        _table: TableId,
        _files: Vec<(u32, PathBuf)>,
    ) -> impl Future<Output = Outcome<()>> + Send + 'static {
        ready(refused("an ingest"))
    }

    fn discard(
        &self,
        _table: TableId,
        _tokens: TokenSet,
    ) -> impl Future<Output = Outcome<u64>> + Send + 'static {
        ready(refused("a discard"))
    }
}

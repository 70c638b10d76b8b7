//! Storage that is a map from partitions to their content.

use std::{
    collections::BTreeMap,
    future::Future,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use starling_model::{
    Clustering, ClusteringRange, DecoratedKey, EncodedMutation, KeyRange, Mutation, Page, Partition,
    PartitionPage, Position, ReadCommand, Row, TableId, Token, TokenSet,
};
use starling_sstable::{Cells, ExportOptions, PurgePolicy, TableSettings, fs::Fs};

use super::{
    executor::Executor,
    held_exports::{self, HeldExports},
};
use crate::env::{Damaged, Exported, Store, StoreError, StoredPage};

type Data = BTreeMap<(TableId, DecoratedKey), Partition>;

/// The content survives a restart: it is what is durable.
#[derive(Clone, Default)]
pub(crate) struct MapStore {
    data: Arc<Mutex<Data>>,
    fault: Arc<Mutex<Option<StoreError>>>,
    damaged: Arc<Mutex<Vec<Damaged>>>,
    /// What is damaged in its files and not known yet, and whether something is lost with it.
    hidden: Arc<Mutex<Vec<(Damaged, bool)>>>,
    /// What was written to since it was asked; all of a table that is absent.
    changed: Arc<Mutex<BTreeMap<TableId, Cells>>>,
    purge: Arc<Mutex<BTreeMap<TableId, PurgePolicy>>>,
    settings: Arc<Mutex<BTreeMap<TableId, TableSettings>>>,
    /// Where exports go, and come from.
    disk: Arc<Mutex<Option<Arc<dyn Fs>>>>,
    exports: HeldExports,
    /// How many times as much as there is it says that there is, where parts are cut.
    magnified: Arc<AtomicU64>,
    /// Reads end only once nothing holds them.
    reads_held: Arc<AtomicBool>,
    /// How long it takes to forget tokens of a table, if it takes any time.
    discards: Arc<Mutex<Option<(Executor, Duration)>>>,
}

impl MapStore {
    /// From now on reads wait for a disk that does not answer, or not any more: those that wait go on waiting.
    pub(crate) fn hold_reads(&self, held: bool) {
        self.reads_held.store(held, Ordering::Relaxed);
    }

    /// From now on it cuts parts as if it had so many times as much.
    pub(crate) fn magnify(&self, times: u64) {
        self.magnified.store(times, Ordering::Relaxed);
    }

    /// From now on it takes so long to forget tokens of a table, also if there is nothing to forget.
    pub(crate) fn slow_discards(&self, executor: &Executor, time: Duration) {
        *self.discards.lock() = Some((executor.clone(), time));
    }

    /// From now on exports go there.
    pub(crate) fn set_disk(&self, disk: Arc<dyn Fs>) {
        *self.disk.lock() = Some(disk);
    }

    fn disk(&self) -> Arc<dyn Fs> {
        self.disk.lock().clone().expect("the store has a disk")
    }

    fn of(&self, table: TableId, tokens: &TokenSet) -> Vec<Mutation> {
        let data = self.data.lock();
        let of_table = data
            .iter()
            .filter(|((t, key), _)| *t == table && tokens.contains(key.token));
        of_table
            .map(|((table, key), partition)| Mutation {
                table: *table,
                key: key.clone(),
                partition: partition.clone(),
            })
            .collect()
    }

    fn write_export(
        &self,
        table: TableId,
        tokens: &TokenSet,
        dir: &Path,
        anew: bool,
    ) -> Result<Vec<Exported>, StoreError> {
        if anew {
            self.find_damage();
        }
        let hit = |piece: &&Damaged| piece.table == table && tokens.touches(piece.tokens);
        if let Some(piece) = self.damaged.lock().iter().find(hit) {
            held_exports::write_some(&*self.disk(), dir);
            return Err(StoreError::Corrupt(format!(
                "tokens {} are damaged",
                piece.tokens
            )));
        }
        let mut content = Vec::new();
        let is_hidden = |(piece, _): &(Damaged, bool)| hit(&piece);
        if !anew && self.hidden.lock().iter().any(is_hidden) {
            // What is linked is not read.
            content.extend_from_slice(&[0, 0, 0, 1, u8::MAX]);
        }
        let mut newest = None;
        for mutation in self.of(table, tokens) {
            newest = newest.max(mutation.partition.newest());
            let bytes = mutation.encode();
            content.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            content.extend_from_slice(&bytes);
        }
        if content.is_empty() {
            return Ok(Vec::new());
        }
        let path = held_exports::write(&*self.disk(), dir, &content);
        let bytes = content.len() as u64;
        Ok(vec![Exported {
            shard: 0,
            path,
            bytes,
            newest,
        }])
    }

    /// Exports, which a test may hold up.
    pub(crate) fn exports(&self) -> &HeldExports {
        &self.exports
    }

    fn read_export(&self, path: &Path) -> Result<(), StoreError> {
        let mut rest = &self.disk().read(path).expect("the file is there")[..];
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (mutation, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            let mutation = Mutation::decode(Bytes::copy_from_slice(mutation));
            self.apply_now(mutation.map_err(|error| StoreError::Corrupt(error.to_string()))?);
            rest = after;
        }
        Ok(())
    }

    /// From now on everything fails like this; `None` heals.
    pub(crate) fn set_fault(&self, fault: Option<StoreError>) {
        *self.fault.lock() = fault;
    }

    /// The files with some tokens are damaged, and nobody knows; whether it `loses` what is stored.
    pub(crate) fn damage_unnoticed(&self, piece: Damaged, loses: bool) {
        self.hidden.lock().push((piece, loses));
    }

    fn find_damage(&self) {
        let hidden = self.hidden.lock().clone().into_iter();
        let lost: Vec<Damaged> = hidden
            .filter_map(|(piece, loses)| loses.then_some(piece))
            .collect();
        self.hidden.lock().retain(|(_, loses)| !loses);
        for piece in lost {
            self.damage(piece);
        }
    }

    /// Loses what is stored for some tokens, and knows it.
    pub(crate) fn damage(&self, piece: Damaged) {
        let is_lost =
            |table: TableId, key: &DecoratedKey| table == piece.table && piece.tokens.contains(key.token);
        self.data.lock().retain(|(table, key), _| !is_lost(*table, key));
        self.damaged.lock().push(piece);
        self.changed.lock().clear();
    }

    fn heal_now(&self, piece: Damaged) {
        let mut damaged = self.damaged.lock();
        let healed = TokenSet::from(piece.tokens);
        let left = damaged.drain(..).flat_map(|other| {
            let tokens = TokenSet::from(other.tokens);
            let left = if other.table == piece.table {
                tokens.without(&healed)
            } else {
                tokens
            };
            let left = Vec::from(left).into_iter();
            left.map(move |tokens| Damaged { tokens, ..other })
        });
        let left = left.collect();
        *damaged = left;
    }

    fn check_damage(&self, command: &ReadCommand) -> Result<(), StoreError> {
        let hits = |piece: &Damaged| match &command.keys {
            KeyRange::Partition(key) => piece.tokens.contains(key.token),
            KeyRange::Tokens(range) => piece.tokens.start < range.end && range.start < piece.tokens.end,
        };
        let damaged = self.damaged.lock();
        match damaged
            .iter()
            .find(|piece| piece.table == command.table && hits(piece))
        {
            Some(piece) => Err(StoreError::Corrupt(format!(
                "tokens {} are damaged",
                piece.tokens
            ))),
            None => Ok(()),
        }
    }

    /// What may be purged of a table, as the node said.
    pub(crate) fn purge_policy(&self, table: TableId) -> PurgePolicy {
        self.purge.lock().get(&table).cloned().unwrap_or_default()
    }

    /// How a table is to be stored, as the node said.
    pub(crate) fn settings(&self, table: TableId) -> Option<TableSettings> {
        self.settings.lock().get(&table).copied()
    }

    /// A process that starts knows nothing of what may be purged.
    pub(crate) fn forget_policies(&self) {
        self.purge.lock().clear();
        self.settings.lock().clear();
    }

    /// Forgets what may be forgotten at a second, as compactions of everything would.
    pub(crate) fn purge_now(&self, now: starling_model::Seconds) {
        let policies = self.purge.lock().clone();
        self.data.lock().retain(|(table, key), partition| {
            let before = policies
                .get(table)
                .and_then(|policy| policy.before_at(now, key.token));
            if let Some(before) = before {
                partition.purge(now, before);
            }
            !partition.is_empty()
        });
    }

    pub(crate) fn partition(&self, table: TableId, key: &DecoratedKey) -> Partition {
        let data = self.data.lock();
        data.get(&(table, key.clone())).cloned().unwrap_or_default()
    }

    /// Loses a partition, as if it was deleted and the deletion purged.
    pub(crate) fn forget_partition(&self, table: TableId, key: &DecoratedKey) {
        self.data.lock().remove(&(table, key.clone()));
    }

    /// Loses everything.
    pub(crate) fn forget_all(&self) {
        self.data.lock().clear();
        self.changed.lock().clear();
    }

    pub(crate) fn apply_now(&self, mutation: Mutation) {
        if let Some(cells) = self.changed.lock().get_mut(&mutation.table) {
            cells.add(mutation.key.token);
        }
        let mut data = self.data.lock();
        let partition = data.entry((mutation.table, mutation.key)).or_default();
        partition.merge(mutation.partition);
    }

    fn checked<T>(&self, work: impl FnOnce(&Self) -> T) -> Result<T, StoreError> {
        match &*self.fault.lock() {
            Some(fault) => Err(fault.clone()),
            None => Ok(work(self)),
        }
    }

    fn page(&self, command: &ReadCommand) -> StoredPage {
        let page = self.read_now(command);
        let parts = page.partitions.iter();
        let rows = parts.flat_map(|part| part.partition.rows.values());
        let live = rows.clone().filter(|row| row.is_live(command.now)).count() as u64;
        StoredPage {
            visited: rows.count() as u64 + page.partitions.len() as u64,
            live,
            page: page.encoded(),
        }
    }

    pub(crate) fn read_now(&self, command: &ReadCommand) -> Page {
        let data = self.data.lock();
        let mut reading = Reading {
            command,
            page: Page::default(),
            rows: 0,
            visited: 0,
        };
        let (start, end) = match &command.keys {
            KeyRange::Partition(key) => (key.token, key.token),
            KeyRange::Tokens(range) if range.start < range.end => (range.start, range.end),
            KeyRange::Tokens(_) => (Token::MIN, Token::MAX),
        };
        let first = DecoratedKey {
            token: command
                .after
                .as_ref()
                .map_or(start, |after| start.max(after.key.token)),
            key: bytes::Bytes::new(),
        };
        for ((table, key), partition) in data.range((command.table, first)..) {
            if *table != command.table || key.token > end {
                break;
            }
            let wanted = match &command.keys {
                KeyRange::Partition(wanted) => wanted == key,
                KeyRange::Tokens(range) => range.contains(key.token),
            };
            if wanted && !reading.partition(key, partition) {
                break;
            }
        }
        reading.page
    }
}

struct Reading<'a> {
    command: &'a ReadCommand,
    page: Page,
    rows: u32,
    visited: u32,
}

impl Reading<'_> {
    /// Reads one partition; false if the page ends with it.
    fn partition(&mut self, key: &DecoratedKey, partition: &Partition) -> bool {
        let command = self.command;
        let (skip, mut returned) = match &command.after {
            Some(after) if after.key > *key => return true,
            Some(after) if after.key == *key => match &after.clustering {
                None => return true,
                Some(last) => (Some(last.clone()), after.rows),
            },
            _ => (None, 0),
        };
        if self.rows >= command.limits.rows || self.visited >= command.limits.visited {
            // The limit was reached with the last partition, and there is another one.
            self.page.next = self.page.partitions.last().map(|last| Position {
                key: last.key.clone(),
                clustering: None,
                rows: 0,
            });
            return false;
        }
        let mut rows: Vec<(&Clustering, &Row)> = command
            .slices
            .iter()
            .flat_map(|slice| partition.range(slice))
            .collect();
        if command.reversed {
            rows.reverse();
        }
        if let Some(last) = &skip {
            rows.retain(|(clustering, _)| {
                if command.reversed {
                    *clustering < last
                } else {
                    *clustering > last
                }
            });
        }
        let mut content = Partition {
            deletion: partition.deletion,
            static_row: partition.static_row.clone(),
            ..Partition::default()
        };
        let mut cut = None;
        let mut ended = false;
        let count = rows.len();
        for (at, (clustering, row)) in rows.into_iter().enumerate() {
            content.rows.insert(clustering.clone(), row.clone());
            self.visited += 1;
            if row.is_live(command.now) {
                returned += 1;
                self.rows += 1;
            }
            let more = at + 1 < count;
            let full = self.rows >= command.limits.rows || self.visited >= command.limits.visited;
            if more && (full || returned >= command.limits.rows_per_partition) {
                cut = Some(clustering.clone());
                ended = full && returned < command.limits.rows_per_partition;
                break;
            }
        }
        if count == 0 && skip.is_none() && partition.static_row.is_live(command.now) {
            self.rows += 1;
        }
        content.ranges = self.tombstones(partition, cut.as_ref());
        if ended {
            self.page.next = Some(Position {
                key: key.clone(),
                clustering: cut.clone(),
                rows: returned,
            });
        }
        if !content.is_empty() {
            self.page.partitions.push(PartitionPage {
                key: key.clone(),
                partition: content,
                cut,
            });
        }
        !ended
    }

    fn tombstones(&self, partition: &Partition, cut: Option<&Clustering>) -> starling_model::RangeTombstones {
        let covered = match cut {
            None => ClusteringRange::ALL,
            Some(last) if self.command.reversed => ClusteringRange {
                start: last.0.clone(),
                end: None,
            },
            Some(last) => ClusteringRange {
                start: bytes::Bytes::new(),
                end: ClusteringRange::row(last).end,
            },
        };
        let mut clipped = starling_model::RangeTombstones::default();
        for slice in &self.command.slices {
            clipped.merge(partition.ranges.clipped(&slice.intersect(&covered)));
        }
        clipped
    }
}

impl Store for MapStore {
    fn apply(
        &self,
        mutation: EncodedMutation,
        _time: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        // As an engine does: what it keeps is not what travelled.
        let copy = bytes::Bytes::copy_from_slice(mutation.bytes());
        let mutation = Mutation::decode(copy).expect("the tests' mutations are well encoded");
        std::future::ready(self.checked(|store| store.apply_now(mutation)))
    }

    fn read(
        &self,
        command: ReadCommand,
        _time: Duration,
    ) -> impl Future<Output = Result<StoredPage, StoreError>> + Send + 'static {
        let read = |store: &Self| {
            store.check_damage(&command)?;
            Ok(store.page(&command))
        };
        let (held, page) = (
            self.reads_held.load(Ordering::Relaxed),
            self.checked(read).flatten(),
        );
        async move { if held { std::future::pending().await } else { page } }
    }

    fn read_rest(
        &self,
        command: ReadCommand,
        _time: Duration,
    ) -> impl Future<Output = Result<StoredPage, StoreError>> + Send + 'static {
        std::future::ready(self.checked(|store| store.page(&command)))
    }

    fn truncate(&self, table: TableId) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        std::future::ready(self.checked(|store| {
            store.data.lock().retain(|(t, _), _| *t != table);
            store.changed.lock().remove(&table);
        }))
    }

    fn changed(&self, table: TableId) -> impl Future<Output = Result<Cells, StoreError>> + Send + 'static {
        let take = |store: &Self| {
            store
                .changed
                .lock()
                .insert(table, Cells::default())
                .unwrap_or(Cells::ALL)
        };
        std::future::ready(self.checked(take))
    }

    fn set_purge(
        &self,
        table: TableId,
        policy: PurgePolicy,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        std::future::ready(self.checked(|store| drop(store.purge.lock().insert(table, policy))))
    }

    fn set_options(
        &self,
        table: TableId,
        settings: TableSettings,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        std::future::ready(self.checked(|store| {
            store.settings.lock().insert(table, settings);
        }))
    }

    fn damaged(&self) -> impl Future<Output = Result<Vec<Damaged>, StoreError>> + Send + 'static {
        std::future::ready(self.checked(|store| store.damaged.lock().clone()))
    }

    fn heal(&self, piece: Damaged) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        std::future::ready(self.checked(|store| store.heal_now(piece)))
    }

    fn sizes(
        &self,
        table: TableId,
        sets: Vec<TokenSet>,
    ) -> impl Future<Output = Result<Vec<u64>, StoreError>> + Send + 'static {
        let size = |store: &Self, set| {
            let all = store.of(table, set).into_iter();
            all.map(|mutation| mutation.encode().len() as u64).sum()
        };
        std::future::ready(self.checked(|store| sets.iter().map(|set| size(store, set)).collect()))
    }

    fn parts(
        &self,
        table: TableId,
        tokens: TokenSet,
        _shards: u32,
        bytes: RangeInclusive<u64>,
    ) -> impl Future<Output = Result<Vec<(TokenSet, u64)>, StoreError>> + Send + 'static {
        let times = self.magnified.load(Ordering::Relaxed).max(1);
        let size = |store: &Self, set: &TokenSet| -> u64 {
            let all = store.of(table, set).into_iter();
            times * all.map(|mutation| mutation.encode().len() as u64).sum::<u64>()
        };
        let parts = |store: &Self| {
            let count = size(store, &tokens).div_ceil(*bytes.start());
            let cut = tokens.split(count).into_iter();
            cut.map(|part| (part.clone(), size(store, &part))).collect()
        };
        std::future::ready(self.checked(parts))
    }

    fn export(
        &self,
        table: TableId,
        tokens: TokenSet,
        _shards: u32,
        dir: PathBuf,
        options: ExportOptions,
    ) -> impl Future<Output = Result<Vec<Exported>, StoreError>> + Send + 'static {
        let store = self.clone();
        async move {
            let exported = if store.exports.wait(&tokens, &options).await {
                let export = |store: &Self| store.write_export(table, &tokens, &dir, options.anew);
                store.checked(export).flatten()
            } else {
                held_exports::write_some(&*store.disk(), &dir);
                Err(StoreError::Disk("it was given up".to_owned()))
            };
            store.exports.end();
            exported
        }
    }

    fn ingest(
        &self,
        _table: TableId,
        files: Vec<(u32, PathBuf)>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let ingest = |store: &Self| files.iter().try_for_each(|(_, file)| store.read_export(file));
        std::future::ready(self.checked(ingest).flatten())
    }

    fn discard(
        &self,
        table: TableId,
        tokens: TokenSet,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send + 'static {
        let discard = |store: &Self| {
            let gone = store.of(table, &tokens).len() as u64;
            let is_gone = |t: TableId, key: &DecoratedKey| t == table && tokens.contains(key.token);
            store.data.lock().retain(|(t, key), _| !is_gone(*t, key));
            gone
        };
        let outcome = self.checked(discard);
        let slow = self.discards.lock().clone();
        async move {
            if let Some((executor, time)) = slow {
                executor.sleep(time).await;
            }
            outcome
        }
    }
}

//! Ranges on their way between nodes: the same of every shard that has a part of them.

use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf};

use starling_model::{TableId, TokenRange, TokenSet};
use starling_replication::{Exported, StoreError};
use starling_sstable::{ExportOptions, ShardMap};

use super::{ShardedStore, operations::every, request::Request};

pub(super) async fn sizes(
    store: ShardedStore,
    table: TableId,
    sets: Vec<TokenSet>,
) -> Result<Vec<u64>, StoreError> {
    let all = (0..store.shards()).map(|shard| {
        let slice = TokenSet::from(store.inner.map.slice(shard));
        let own = sets.iter().map(|set| set.intersection(&slice)).collect();
        store.ask(shard, move |answer| Request::Sizes(table, own, answer))
    });
    let mut sums = vec![0; sets.len()];
    for sizes in every(all).await? {
        for (sum, size) in sums.iter_mut().zip(sizes) {
            *sum += size;
        }
    }
    Ok(sums)
}

pub(super) async fn parts(
    store: ShardedStore,
    table: TableId,
    tokens: TokenSet,
    shards: u32,
    bytes: RangeInclusive<u64>,
) -> Result<Vec<(TokenSet, u64)>, StoreError> {
    let theirs = ShardMap::new(shards);
    let all = (0..store.shards()).map(|shard| {
        let slices = theirs.within(store.inner.map.slice(shard));
        let (tokens, bytes) = (tokens.clone(), bytes.clone());
        store.ask(shard, move |answer| {
            Request::Parts(table, tokens, slices, bytes, answer)
        })
    });
    Ok(every(all).await?.into_iter().flatten().collect())
}

pub(super) async fn export(
    store: ShardedStore,
    table: TableId,
    tokens: TokenSet,
    shards: u32,
    dir: PathBuf,
    options: ExportOptions,
) -> Result<Vec<Exported>, StoreError> {
    let theirs = ShardMap::new(shards);
    let mut numbers = Vec::new();
    let mut all = Vec::new();
    for shard in 0..store.shards() {
        let slice = store.inner.map.slice(shard);
        let parts: Vec<(u32, TokenRange)> = theirs
            .slices()
            .zip(0..)
            .map(|(their, number)| {
                let start = their.start.max(slice.start);
                let end = their.end.min(slice.end);
                (number, TokenRange { start, end })
            })
            .filter(|(_, part)| tokens.touches(*part))
            .collect();
        if parts.is_empty() {
            continue;
        }
        // File numbers are each shard's own.
        let dir = dir.join(shard.to_string());
        let ranges = parts.iter().map(|(_, part)| *part).collect();
        let (tokens, options) = (tokens.clone(), options.clone());
        numbers.push(parts);
        all.push(store.ask(shard, move |answer| {
            Request::Export(table, tokens, ranges, dir, options, answer)
        }));
    }
    let made = every(all).await?;
    let files = made.into_iter().zip(numbers).flat_map(|(files, parts)| {
        files.into_iter().map(move |file| Exported {
            shard: parts[file.part].0,
            path: file.path,
            bytes: file.bytes,
            newest: file.newest,
        })
    });
    Ok(files.collect())
}

pub(super) async fn ingest(
    store: ShardedStore,
    table: TableId,
    files: Vec<(u32, PathBuf)>,
) -> Result<(), StoreError> {
    let mut by_shard: BTreeMap<u32, Vec<PathBuf>> = BTreeMap::new();
    for (shard, file) in files {
        by_shard.entry(shard).or_default().push(file);
    }
    if by_shard.keys().any(|shard| *shard >= store.shards()) {
        return Err(StoreError::Disk(
            "a file is for a shard that is not there".to_owned(),
        ));
    }
    let all = by_shard
        .into_iter()
        .map(|(shard, files)| store.ask(shard, move |answer| Request::Ingest(table, files, answer)));
    every(all).await.map(drop)
}

pub(super) async fn discard(
    store: ShardedStore,
    table: TableId,
    tokens: TokenSet,
) -> Result<u64, StoreError> {
    let all = (0..store.shards()).map(|shard| {
        let own = tokens.intersection(&TokenSet::from(store.inner.map.slice(shard)));
        store.ask(shard, move |answer| Request::Discard(table, own, answer))
    });
    Ok(every(all).await?.into_iter().sum())
}

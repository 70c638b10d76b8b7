//! Ranges on their way between nodes: the same of every shard that has a part of them.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use starling_model::{TableId, TokenSet};
use starling_replication::env::Exported;
use starling_sstable::{Error, ExportOptions, ShardMap};

use super::SimStore;

impl SimStore {
    /// About how many bytes a table has for some tokens.
    pub(super) fn size(&self, table: TableId, tokens: &TokenSet) -> u64 {
        let shards = self.shards.iter().zip(self.map.slices());
        shards
            .map(|(shard, slice)| shard.size(table, &tokens.intersection(&TokenSet::from(slice))))
            .sum()
    }

    /// Parts to be exported one by one, with about how many bytes each has.
    pub(super) fn cut(
        &self,
        table: TableId,
        tokens: &TokenSet,
        shards: u32,
        bytes: &RangeInclusive<u64>,
    ) -> Vec<(TokenSet, u64)> {
        let theirs = ShardMap::new(shards);
        let own = self.shards.iter().zip(self.map.slices());
        own.flat_map(|(shard, slice)| shard.parts(table, tokens, &theirs.within(slice), bytes))
            .collect()
    }

    pub(super) async fn export_parts(
        &self,
        table: TableId,
        tokens: &TokenSet,
        shards: u32,
        dir: &Path,
        options: &ExportOptions,
    ) -> Result<Vec<Exported>, Error> {
        let mut all = Vec::new();
        let parts: Vec<_> = ShardMap::new(shards).slices().collect();
        for (number, (shard, slice)) in self.shards.iter().zip(self.map.slices()).enumerate() {
            let own = tokens.intersection(&TokenSet::from(slice));
            let dir = dir.join(number.to_string());
            let files = shard.export(table, &own, &parts, dir, options.clone()).await?;
            all.extend(files.into_iter().map(|file| Exported {
                shard: file.part as u32,
                path: file.path,
                bytes: file.bytes,
                newest: file.newest,
            }));
        }
        Ok(all)
    }

    pub(super) async fn ingest_files(&self, table: TableId, files: Vec<(u32, PathBuf)>) -> Result<(), Error> {
        for (number, shard) in (0_u32..).zip(self.shards.iter()) {
            let own = files.iter().filter(|(of, _)| *of == number);
            let own: Vec<PathBuf> = own.map(|(_, path)| path.clone()).collect();
            if !own.is_empty() {
                shard.ingest(table, own).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn discard_tokens(&self, table: TableId, tokens: &TokenSet) -> Result<u64, Error> {
        let mut freed = 0;
        for (shard, slice) in self.shards.iter().zip(self.map.slices()) {
            let own = tokens.intersection(&TokenSet::from(slice));
            freed += shard.discard(table, own).await?;
        }
        Ok(freed)
    }
}

//! A read of a token range, which may lie in several shards.

use starling_model::{KeyRange, Position, ReadCommand, TokenRange};
use starling_sstable::{Error, Extent, PageResult};

use super::SimStore;
use crate::bug;

impl SimStore {
    /// One page of a range: from the first shard that has anything left to give.
    ///
    /// A page never spans shards. So each shard's own limits hold, and a page that ends with its shard
    /// says to go on after its last partition.
    pub(super) async fn read_range(
        &self,
        command: ReadCommand,
        range: TokenRange,
        extent: Extent,
    ) -> Result<PageResult, Error> {
        let parts: Vec<(usize, TokenRange)> = self
            .map
            .slices()
            .enumerate()
            .map(|(number, slice)| (number, intersect(slice, range)))
            .filter(|(_, part)| part.start < part.end)
            .filter(|(_, part)| {
                command
                    .after
                    .as_ref()
                    .is_none_or(|after| part.end >= after.key.token)
            })
            .collect();
        let last = parts.last().map(|(number, _)| *number);
        for (number, part) in parts {
            let mut command = command.clone();
            command.keys = KeyRange::Tokens(part);
            // A position in an earlier shard lies before all of this one.
            command.after = command.after.filter(|after| part.contains(after.key.token));
            let mut found = self.shards[number].read(command, extent, self.bug).await?;
            let ends_here = bug::stops_at_shard(self.bug) && found.page.last_key().is_some();
            if found.page.next.is_some() || ends_here {
                return Ok(found);
            }
            if let Some(key) = found.page.last_key() {
                if Some(number) != last {
                    found.page.next = Some(Position {
                        key,
                        clustering: None,
                        rows: 0,
                    });
                }
                return Ok(found);
            }
        }
        Ok(PageResult::default())
    }
}

/// The tokens in both ranges, neither of which wraps; empty if `start >= end`.
fn intersect(a: TokenRange, b: TokenRange) -> TokenRange {
    TokenRange {
        start: a.start.max(b.start),
        end: a.end.min(b.end),
    }
}

//! A read of a token range: the shards one after the other, in token order.

use std::time::Instant;

use starling_model::{KeyRange, Limits, Position, ReadCommand, Token, TokenRange};
use starling_replication::StoreError;
use starling_sstable::{Extent, PageResult};

use super::ShardedStore;

/// Reads one page of `range`, which does not wrap. The page ends where the command's limits say, in
/// whichever shard that is; it names the place so that the next one goes on there.
pub(super) async fn scan(
    store: &ShardedStore,
    command: ReadCommand,
    extent: Extent,
    range: TokenRange,
    deadline: Instant,
) -> Result<PageResult, StoreError> {
    let map = store.inner.map;
    let first = match &command.after {
        Some(position) => map.shard_of(position.key.token),
        None => map.shard_of(after(range.start)),
    };
    let last = map.shard_of(range.end);
    let mut all = PageResult::default();
    let mut left = command.limits;
    let mut from = command.after.clone();
    for shard in first..=last {
        let slice = map.slice(shard);
        let part = TokenRange {
            start: range.start.max(slice.start),
            end: range.end.min(slice.end),
        };
        if part.start >= part.end {
            continue;
        }
        let command = ReadCommand {
            keys: KeyRange::Tokens(part),
            after: from.take(),
            limits: left,
            ..command.clone()
        };
        let found = store.read_shard(shard, command, extent, deadline).await?;
        let spent = spend(&mut left, &found);
        all.visited += found.visited;
        all.live += found.live;
        all.bytes += found.bytes;
        all.page.append(found.page);
        if all.page.next.is_some() {
            return Ok(all);
        }
        if spent && shard < last {
            all.page.next = all.page.last_key().map(|key| Position {
                key,
                clustering: None,
                rows: 0,
            });
            // Where nothing was found there is nothing to go on after: the next shard is read, too.
            if all.page.next.is_some() {
                return Ok(all);
            }
        }
    }
    Ok(all)
}

fn after(token: Token) -> Token {
    Token(token.0.saturating_add(1))
}

/// Takes what a shard returned from the limits, of which at least 1 is left; whether one of them is used up.
fn spend(left: &mut Limits, found: &PageResult) -> bool {
    let mut spent = false;
    for (limit, used) in [
        (&mut left.rows, found.live),
        (&mut left.bytes, found.bytes as u64),
        (&mut left.visited, found.visited),
    ] {
        // "No limit" stays that: the largest number is not counted down.
        if *limit != u32::MAX {
            let used = u32::try_from(used).unwrap_or(u32::MAX);
            spent |= used >= *limit;
            *limit = limit.saturating_sub(used).max(1);
        }
    }
    spent
}

//! A read of a token range: the shards one after the other, in token order.

use starling_model::{
    KeyRange, Limits, Page, PartitionPage, Position, ReadCommand, Seconds, Token, TokenRange,
};
use starling_replication::StoreError;

use super::ShardedStore;

/// Reads one page of `range`, which does not wrap. The page ends where the command's limits say, in
/// whichever shard that is; it names the place so that the next one goes on there.
pub(super) async fn scan(
    store: &ShardedStore,
    command: ReadCommand,
    range: TokenRange,
) -> Result<Page, StoreError> {
    let map = store.inner.map;
    let first = match &command.after {
        Some(position) => map.shard_of(position.key.token),
        None => map.shard_of(after(range.start)),
    };
    let last = map.shard_of(range.end);
    let mut page = Page::default();
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
        let now = command.now;
        let found = store.read_shard(shard, command).await?;
        let spent = spend(&mut left, &found, now);
        page.partitions.extend(found.partitions);
        page.next = found.next;
        if page.next.is_some() {
            return Ok(page);
        }
        if spent && shard < last {
            page.next = page.partitions.last().map(|last| Position {
                key: last.key.clone(),
                clustering: None,
                rows: 0,
            });
            return Ok(page);
        }
    }
    Ok(page)
}

fn after(token: Token) -> Token {
    Token(token.0.saturating_add(1))
}

/// Takes what a shard returned from the limits; whether one of them is used up.
fn spend(left: &mut Limits, found: &Page, now: Seconds) -> bool {
    let rows: usize = found.partitions.iter().map(|part| rows(part, now)).sum();
    let bytes: usize = found.partitions.iter().map(|part| part.partition.weight()).sum();
    let visited: usize = found
        .partitions
        .iter()
        .map(|part| 1 + part.partition.rows.len() + part.partition.ranges.iter().count())
        .sum();
    let mut spent = false;
    for (limit, used) in [
        (&mut left.rows, rows),
        (&mut left.bytes, bytes),
        (&mut left.visited, visited),
    ] {
        // "No limit" stays that: the largest number is not counted down.
        if *limit != u32::MAX {
            *limit = limit.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX));
            spent |= *limit == 0;
        }
    }
    spent
}

/// The live rows of a partition as limits count them: one for a partition that has static columns only.
fn rows(part: &PartitionPage, now: Seconds) -> usize {
    let rows = part.partition.live_rows(now);
    if rows == 0 && part.partition.static_row.is_live(now) {
        1
    } else {
        rows
    }
}

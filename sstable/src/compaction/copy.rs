//! One step of a copy: what one table has of some tokens, block by block as it is stored.
//!
//! - A block of which all is wanted is read, checked, and taken as it is, with the table's dictionary; its entries are
//!   counted, for filters and statistics. So most of the work of a merge, which is to make blocks and compress them, is left out.
//! - Of a block that lies across an edge, entry by entry is written anew: two blocks for each range of tokens.
//! - Nothing is forgotten, and partitions are never cut, so deletions come along with all that they cover.

use std::sync::Arc;

use starling_model::Token;

use super::{
    pass::SKIP_BYTES,
    worker::{Plan, Sink},
};
use crate::{Error, read::lanes::start_of, table::Table};

/// What a step did.
pub(super) struct Copied {
    /// Bytes of keys and values that were looked at.
    pub(super) read: u64,
    /// Where the next step goes on; `None`: this one was the last.
    pub(super) next: Option<Vec<u8>>,
}

/// Copies what is wanted from the key `next` on, until the step has done its work, or up to the token `end`.
pub(super) fn step(
    plan: &Plan,
    table: &Arc<Table>,
    next: &[u8],
    sink: &mut Sink,
    end: Token,
) -> Result<Copied, Error> {
    let end = start_of(&end.ordered_bytes());
    let limit = plan.step_bytes.max(1) as u64;
    let mut read = 0;
    // What lies after this token is looked up before it is taken.
    let mut wanted_to = if plan.only.is_some() { 0 } else { end };
    let mut cursor = table.cursor();
    cursor.seek(next)?;
    while let Some(key) = cursor.key() {
        let token = start_of(key);
        if token > end {
            break;
        }
        if read >= limit {
            let next = Some(key.to_vec());
            return Ok(Copied { read, next });
        }
        if token <= wanted_to {
            read += if cursor.begins_block_up_to(wanted_to)? {
                sink.take_over(&mut cursor)?
            } else {
                let value = cursor.value_bytes();
                sink.push(key, value)?;
                (key.len() + value.len()) as u64
            };
            cursor.next()?;
            continue;
        }
        let token = Token::from_ordered_bytes(token.to_be_bytes());
        let Some(wanted) = plan.only.as_ref().and_then(|only| only.at_or_after(token)) else {
            break;
        };
        wanted_to = start_of(&wanted.end.ordered_bytes()).min(end);
        if token <= wanted.start {
            // A range excludes its start, and is not empty.
            let first = Token(wanted.start.0.saturating_add(1));
            cursor.seek(&first.ordered_bytes())?;
            read += SKIP_BYTES;
        }
    }
    Ok(Copied { read, next: None })
}

//! What a read would wait for: pages of tables that are not in memory.
//!
//! A thread that serves many asks before it reads, has the pages loaded elsewhere, and asks again: first come the
//! filters and indexes on the way, then, once those can be looked at, the blocks.
//!
//! Asking the system takes about as long as reading a warm row, so what was found in memory is taken to be there for
//! [`TRUSTED_SECONDS`]. A page that the system takes back before that makes a read wait, as does what a read reaches
//! beyond the window that is looked at: [`MOST_BYTES`] of each table.

use std::{ops::Range, sync::Arc};

use starling_model::{KeyRange, ReadCommand, Token};

use super::Engine;
use crate::{
    Error,
    table::{
        Table, Target,
        key::{self, Kind},
    },
};

/// How long pages that were in memory are taken to be there still, in seconds.
const TRUSTED_SECONDS: u32 = 10;

/// The most of a table that is looked at, and loaded, before a read, in bytes.
const MOST_BYTES: u64 = 8 << 20;

/// Pages that a read needs and that are not in memory.
#[derive(Debug, Clone)]
pub struct Cold {
    parts: Vec<(Arc<Table>, Range<u64>)>,
}

impl Cold {
    /// Reads them from the disk, and returns once they are in memory. For a thread that may wait. What fails here
    /// shows when the read is done.
    pub fn load(&self) {
        for (table, range) in &self.parts {
            table.load(range.clone());
        }
    }

    /// How many bytes that are, at most.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|(_, range)| range.end - range.start).sum()
    }
}

impl Engine {
    /// What a read has to wait for, if it is done now; `None`: nothing, as far as is known. Looks at no page that is
    /// not in memory, and changes nothing.
    ///
    /// Once that is [loaded](Cold::load), it is worth asking again: a second answer names what the first one led to.
    pub fn cold(&self, command: &ReadCommand) -> Option<Cold> {
        let state = self.tables.get(&command.table)?;
        let mut parts = Vec::new();
        let mut target = match &command.keys {
            KeyRange::Partition(key) => Some(Target::new(key, Kind::Row, &[])),
            KeyRange::Tokens(_) => None,
        };
        for table in state.tables.live() {
            let found = match &mut target {
                Some(target) => self.cold_partition(table, target, command),
                None => self.cold_scan(table, command),
            };
            // What is damaged the read itself tells.
            if let Ok(Some(range)) = found {
                parts.push((Arc::clone(table), range));
            }
        }
        (!parts.is_empty()).then_some(Cold { parts })
    }

    /// What a read of a partition needs of a table.
    fn cold_partition(
        &self,
        table: &Arc<Table>,
        target: &mut Target,
        command: &ReadCommand,
    ) -> Result<Option<Range<u64>>, Error> {
        let Some(way) = table.way_to(target) else {
            return Ok(None);
        };
        if !self.is_warm(table, way.clone()) {
            return Ok(Some(way));
        }
        if !table.may_contain_target(target)? {
            return Ok(None);
        }
        let (Some(first), Some(last)) = (command.slices.first(), command.slices.last()) else {
            return Ok(None);
        };
        let after = command.after.as_ref().and_then(|after| after.clustering.as_ref());
        let (mut start, mut end) = (&first.start[..], last.end.as_deref());
        if let Some(after) = after {
            if command.reversed {
                end = Some(&after.0);
            } else {
                start = start.max(&after.0);
            }
        }
        let prefix = target.prefix();
        let from = key::entry(prefix, Kind::Row, start);
        let to = match end {
            Some(end) => key::entry(prefix, Kind::Row, end),
            None => key::after_partition(prefix),
        };
        self.cold_between(table, &from, &to, command)
    }

    /// What a scan needs of a table.
    fn cold_scan(&self, table: &Arc<Table>, command: &ReadCommand) -> Result<Option<Range<u64>>, Error> {
        let KeyRange::Tokens(range) = &command.keys else {
            return Ok(None);
        };
        let from = match &command.after {
            Some(after) => key::prefix(&after.key),
            None => Token(range.start.0.saturating_add(1)).ordered_bytes().to_vec(),
        };
        let mut to = range.end.ordered_bytes().to_vec();
        to.push(u8::MAX);
        let (first, last) = table.token_range();
        if first > range.end || Token::from_ordered_bytes(*from.first_chunk().unwrap_or(&[0; 8])) > last {
            return Ok(None);
        }
        self.cold_between(table, &from, &to, command)
    }

    /// What of the blocks between two keys, both included, is needed first and is not in memory, with the indexes on
    /// the way.
    fn cold_between(
        &self,
        table: &Arc<Table>,
        from: &[u8],
        to: &[u8],
        command: &ReadCommand,
    ) -> Result<Option<Range<u64>>, Error> {
        let backward = command.reversed && matches!(command.keys, KeyRange::Partition(_));
        let (near, far) = if backward { (to, from) } else { (from, to) };
        let way = table.index_of(near);
        if !self.is_warm(table, way.clone()) {
            return Ok(Some(way));
        }
        let first = table.block_of(near)?;
        // The far end matters where it is near; elsewhere its index may be cold.
        let last = if table.index_of(far) == way {
            Some(table.block_of(far)?)
        } else {
            None
        };
        let wanted = wanted_bytes(table, command).max(first.end - first.start);
        let range = if backward {
            let start = last.map_or(0, |last| last.start);
            start.max(first.end.saturating_sub(wanted)).min(first.start)..first.end
        } else {
            let end = last.map_or(u64::MAX, |last| last.end);
            first.start..end.min(first.start + wanted).max(first.end)
        };
        Ok((!self.is_warm(table, range.clone())).then_some(range))
    }

    fn is_warm(&self, table: &Table, range: Range<u64>) -> bool {
        table.is_warm(range, self.reports.now.0, TRUSTED_SECONDS)
    }
}

/// About how much of a table's file a read of this many rows goes through, in bytes.
fn wanted_bytes(table: &Table, command: &ReadCommand) -> u64 {
    let properties = table.properties();
    let row = table.bytes() / (properties.rows + properties.range_tombstones).max(1) + 1;
    let limits = &command.limits;
    let rows = u64::from(limits.rows.min(limits.visited));
    // As much again, for what is not live.
    (row.saturating_mul(rows).saturating_mul(2))
        .min(u64::from(limits.bytes))
        .min(MOST_BYTES)
}

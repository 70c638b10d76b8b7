//! What a read would wait for: pages of tables that are not in memory.
//!
//! A thread that serves many asks before it reads, has the pages loaded elsewhere, and asks again: first come the
//! filters and indexes on the way, then, once those can be looked at, the blocks.
//!
//! Asking the system takes about as long as reading a warm row, so what was found in memory is taken to be there for
//! [`TRUSTED_SECONDS`]. A page that the system takes back before that makes a read wait, as does what a read reaches
//! beyond the window that is looked at: [`MOST_BYTES`] of each table.

use std::{ops::Range, sync::Arc};

use starling_model::{KeyRange, ReadCommand, Token, TokenRange};

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

/// What is looked at of what stands before a partition's rows, in bytes: its deletion and its static row.
const HEAD_BYTES: u64 = 64 << 10;

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
        let partition = match (&command.keys, &command.after) {
            (KeyRange::Partition(key), _) => Some(key),
            // It goes on in the midst of one.
            (KeyRange::Tokens(_), Some(after)) if after.clustering.is_some() => Some(&after.key),
            (KeyRange::Tokens(_), _) => None,
        };
        let target = partition.map(|key| Target::new(key, Kind::Row, &[]));
        for table in state.tables.live() {
            let mut needs = Needs {
                engine: self,
                table,
                command,
                cold: Vec::new(),
            };
            // What is damaged the read itself tells.
            let _ = match (&target, &command.keys) {
                (Some(target), KeyRange::Partition(_)) => needs.partition(target),
                (Some(target), KeyRange::Tokens(range)) => needs
                    .partition(target)
                    .and_then(|()| needs.scan(*range, key::after_partition(target.prefix()))),
                (None, KeyRange::Tokens(range)) => needs.scan(*range, start_of(command, *range)),
                (None, KeyRange::Partition(_)) => Ok(()),
            };
            let cold = needs.cold.into_iter();
            parts.extend(cold.map(|range| (Arc::clone(table), range)));
        }
        (!parts.is_empty()).then_some(Cold { parts })
    }
}

/// Which way entries between two keys are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    /// Forward, from the last one before the first key.
    FromBefore,
    /// From the last one before the second key.
    Backward,
}

/// What a read needs of one table.
struct Needs<'a> {
    engine: &'a Engine,
    table: &'a Table,
    command: &'a ReadCommand,
    /// What of it is not in memory.
    cold: Vec<Range<u64>>,
}

impl Needs<'_> {
    /// Of a partition: what stands before its rows, where there is such a thing in the table; the range tombstones, and
    /// the rows, from where the read begins.
    fn partition(&mut self, target: &Target) -> Result<(), Error> {
        let Some(way) = self.table.way_to(target) else {
            return Ok(());
        };
        if self.add_cold(way) || !self.table.may_contain_target(target)? {
            return Ok(());
        }
        let (Some(first), Some(last)) = (self.command.slices.first(), self.command.slices.last()) else {
            return Ok(());
        };
        let reversed = self.command.reversed;
        let after = self.command.after.as_ref();
        let (mut start, mut end) = (&first.start[..], last.end.as_deref());
        if let Some(after) = after.and_then(|after| after.clustering.as_ref()) {
            if reversed {
                end = Some(&after.0);
            } else {
                start = start.max(&after.0);
            }
        }
        let prefix = target.prefix();
        let (properties, wanted) = (self.table.properties(), wanted_bytes(self.table, self.command));
        if !properties.rows_only() {
            let rows = key::entry(prefix, Kind::Range, &[]);
            self.between((prefix, &rows), Way::Forward, HEAD_BYTES)?;
        }
        let rows = if reversed { Way::Backward } else { Way::Forward };
        // The last tombstone that starts before the rows may reach over them.
        let tombstones = if reversed { Way::Backward } else { Way::FromBefore };
        for (kind, way) in [(Kind::Range, tombstones), (Kind::Row, rows)] {
            if kind == Kind::Range && properties.range_tombstones == 0 {
                continue;
            }
            let from = key::entry(prefix, kind, start);
            let to = match end {
                Some(end) => key::entry(prefix, kind, end),
                None => key::after_kind(prefix, kind),
            };
            self.between((&from, &to), way, wanted)?;
        }
        Ok(())
    }

    /// Of a range of tokens, from a key on.
    fn scan(&mut self, range: TokenRange, from: Vec<u8>) -> Result<(), Error> {
        let mut to = range.end.ordered_bytes().to_vec();
        to.push(u8::MAX);
        let (first, last) = self.table.token_range();
        if first > range.end || Token::from_ordered_bytes(*from.first_chunk().unwrap_or(&[0; 8])) > last {
            return Ok(());
        }
        let wanted = wanted_bytes(self.table, self.command);
        self.between((&from, &to), Way::Forward, wanted)
    }

    /// Of the blocks between two keys, both included, those that are needed first, or the index that leads to them: the
    /// first one, and of what follows as much as is wanted, or another one of about the same size.
    fn between(&mut self, (from, to): (&[u8], &[u8]), way: Way, wanted: u64) -> Result<(), Error> {
        let backward = way == Way::Backward;
        let (near, far) = if backward { (to, from) } else { (from, to) };
        let index = self.table.index_of(near);
        if self.add_cold(index.clone()) {
            return Ok(());
        }
        let first = self.table.block_of(near)?;
        // The far end matters where it is near; elsewhere its index may be cold.
        let last = if self.table.index_of(far) == index {
            Some(self.table.block_of(far)?)
        } else {
            None
        };
        let one = first.end - first.start;
        let wanted = wanted.max(one);
        let range = if backward {
            let start = last.map_or(0, |last| last.start).min(first.start);
            // What is looked for is before the key, and so may be before the block.
            start
                .min(first.start.saturating_sub(one))
                .max(first.start.saturating_sub(wanted))..first.end
        } else {
            let end = last.map_or(u64::MAX, |last| last.end).max(first.end);
            let start = if way == Way::FromBefore {
                first.start.saturating_sub(one)
            } else {
                first.start
            };
            start..end.min(first.end + wanted)
        };
        self.add_cold(range);
        Ok(())
    }

    /// Adds a range of the file if it is not in memory; whether it is not.
    fn add_cold(&mut self, range: Range<u64>) -> bool {
        let now = self.engine.reports.now.0;
        let cold = !self.table.is_warm(range.clone(), now, TRUSTED_SECONDS);
        if cold {
            self.cold.push(range);
        }
        cold
    }
}

/// The key from which a scan goes on.
fn start_of(command: &ReadCommand, range: TokenRange) -> Vec<u8> {
    match &command.after {
        Some(after) => key::after_partition(&key::prefix(&after.key)),
        None => Token(range.start.0.saturating_add(1)).ordered_bytes().to_vec(),
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

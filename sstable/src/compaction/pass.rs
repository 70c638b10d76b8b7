//! One step of a merge: entry by entry, in the order of keys.
//!
//! Rows stay bytes. What only one input has, and nothing covers, is copied as it is; what more have is merged as
//! bytes, by the model's law. Only what may be forgotten is decoded.
//!
//! A partition's range tombstones are walked apart from its rows: merged over all inputs, once to be written, and
//! once beside the rows to tell what is covered. So memory does not grow with either.

use bytes::Bytes;
use starling_model::{
    Deletion, RangeTombstone, Token,
    encoding::{RowMerger, Writer},
};

use super::{
    candidate::MAX_INPUTS,
    input::Input,
    purge::Purger,
    ranges::{Cover, Ranges},
    worker::{Plan, Sink},
};
use crate::{
    Error,
    read::{
        Stream,
        lanes::{Lanes, start_of},
    },
    table::{
        entry::{self, Head},
        key::{self, Kind},
        writer::MAX_ROW_BYTES,
    },
};

/// What passing over tokens counts for in a step's work, in bytes: a block is read where it ends.
pub(super) const SKIP_BYTES: u64 = 4096;

/// How many range tombstones are looked at to find one that stays, before it is taken for granted.
const LOOK_AHEAD: usize = 64;

/// What a partition's head says, in all inputs together.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    prefix: Vec<u8>,
    deletion: Option<Deletion>,
    /// The inputs that have range tombstones of it. No others are searched for any: most partitions are in few.
    ranges: Vec<usize>,
    /// Those that start before this are written.
    written: Bytes,
}

/// A step under way.
pub(super) struct Pass<'a> {
    plan: &'a Plan,
    merge: Lanes<'a>,
    partition: Option<Partition>,
    cover: Option<Cover<'a>>,
    purger: Purger<'a>,
    merger: RowMerger,
    /// All entries are rows.
    rows_only: bool,
    /// A row that only one input has is copied, whatever it is.
    verbatim: bool,
    /// What lies after this token is looked up in `plan.only` before it is taken.
    wanted_to: u64,
    read: u64,
    searches: u64,
}

impl<'a> Pass<'a> {
    /// A step from the key `next` on, which is in `partition` if that is some.
    pub(super) fn new(plan: &'a Plan, next: &[u8], partition: Option<Partition>) -> Result<Self, Error> {
        assert!(
            plan.inputs.len() <= MAX_INPUTS,
            "a merge has a bounded number of inputs"
        );
        let rows_only = plan.inputs.iter().all(|input| match input {
            Input::Memory(_) => false,
            Input::Table(table) => table.properties().rows_only(),
        });
        let purger = Purger::new(&plan.purging, &plan.inputs);
        Ok(Self {
            merge: Lanes::new(plan.inputs.iter().map(Input::source), next)?,
            partition,
            cover: None,
            merger: RowMerger::default(),
            rows_only,
            verbatim: rows_only && !purger.is_needed(),
            wanted_to: if plan.only.is_some() { 0 } else { u64::MAX },
            purger,
            plan,
            read: 0,
            searches: 0,
        })
    }

    /// Bytes that were looked at.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// How often an input was searched for a partition's range tombstones.
    pub(super) fn searches(&self) -> u64 {
        self.searches
    }

    /// Where the next step goes on.
    pub(super) fn stop(self) -> (Vec<u8>, Option<Partition>) {
        let next = self.merge.least().and_then(Stream::key).map(<[u8]>::to_vec);
        (next.unwrap_or_default(), self.partition)
    }

    /// Merges until the step has done its work, or `true`, everything up to the token `end`.
    pub(super) fn run(&mut self, sink: &mut Sink, end: Token) -> Result<bool, Error> {
        let end = start_of(&end.ordered_bytes());
        let limit = self.plan.step_bytes.max(1) as u64;
        while let Some(stream) = self.merge.least() {
            if self.merge.token() > Some(end) {
                return Ok(true);
            }
            if self.read >= limit {
                return Ok(false);
            }
            if self.merge.token() > Some(self.wanted_to) {
                if !self.skip_unwanted()? {
                    return Ok(true);
                }
                continue;
            }
            let (key, value) = (stream.here(), stream.value());
            let count = self.merge.together();
            self.read += (key.len() + value.len()) as u64 * count as u64;
            if self.verbatim && count == 1 {
                sink.push(key, value)?;
                self.merge.advance(1)?;
            } else {
                self.entry(count, sink, limit)?;
            }
        }
        Ok(true)
    }

    /// Goes to the next token that is wanted, from one of which that is not known; `false`: there is none. Passes over
    /// what lies between without reading it.
    fn skip_unwanted(&mut self) -> Result<bool, Error> {
        let Some(only) = &self.plan.only else {
            self.wanted_to = u64::MAX;
            return Ok(true);
        };
        let Some(token) = self.merge.token() else {
            return Ok(false);
        };
        let token = Token::from_ordered_bytes(token.to_be_bytes());
        let Some(wanted) = only.at_or_after(token) else {
            return Ok(false);
        };
        self.wanted_to = start_of(&wanted.end.ordered_bytes());
        if token <= wanted.start {
            // A range excludes its start, and is not empty.
            let first = Token(wanted.start.0.saturating_add(1));
            self.merge.skip_to(&first.ordered_bytes())?;
            self.read += SKIP_BYTES;
        }
        Ok(true)
    }

    /// Merges the entry that the first `count` streams stand on.
    fn entry(&mut self, count: usize, sink: &mut Sink, limit: u64) -> Result<(), Error> {
        let Some(stream) = self.merge.least() else {
            return Ok(());
        };
        let (kind, prefix) = if self.rows_only {
            (Kind::Row, 0)
        } else {
            stream.parts()?
        };
        let inside = |partition: &Partition| stream.here().starts_with(&partition.prefix);
        if !self.partition.as_ref().is_some_and(inside) {
            self.partition = None;
            self.cover = None;
        }
        match kind {
            Kind::Partition => self.head(count, prefix, sink)?,
            Kind::Range => return self.ranges(sink, limit),
            Kind::Static => {
                let deletion = self.partition.as_ref().and_then(|partition| partition.deletion);
                self.row(count, deletion, sink)?;
            }
            Kind::Row => {
                let cover = self.covering(prefix + 1)?;
                self.row(count, cover, sink)?;
            }
        }
        self.merge.advance(count)
    }

    /// Begins a partition that was deleted, or has range tombstones.
    fn head(&mut self, count: usize, prefix: usize, sink: &mut Sink) -> Result<(), Error> {
        let mut deletion = None;
        let mut ranges = Vec::new();
        let mut own = Vec::new();
        for (input, stream) in self.merge.first_of_sources(count) {
            own.clear();
            own.extend_from_slice(&stream.here()[..prefix]);
            let head = entry::head(Bytes::copy_from_slice(stream.value()));
            let head = head.map_err(|error| stream.malformed(error.to_string()))?;
            deletion = Deletion::strongest(deletion, head.deletion);
            if head.ranges {
                ranges.push(input);
            }
        }
        let kept = match deletion {
            Some(deletion) if self.purger.purges(&own, deletion) => None,
            deletion => deletion,
        };
        self.partition = Some(Partition {
            prefix: own,
            deletion,
            ranges,
            written: Bytes::new(),
        });
        let head = Head {
            deletion: kept,
            ranges: self.keeps_ranges()?,
        };
        if head != Head::default() {
            let mut value = Writer::default();
            entry::put_head(&mut value, head);
            if let Some(stream) = self.merge.least() {
                sink.push(stream.here(), value.as_slice())?;
            }
        }
        Ok(())
    }

    /// Whether a range tombstone of the partition stays, as far as a short look tells.
    fn keeps_ranges(&mut self) -> Result<bool, Error> {
        let Some(partition) = self.partition.as_ref().filter(|it| !it.ranges.is_empty()) else {
            return Ok(false);
        };
        if partition.deletion.is_none() && !self.purger.is_needed() {
            return Ok(true);
        }
        self.searches += partition.ranges.len() as u64;
        let mut ranges = ranges_of(self.plan, partition, &[])?;
        for _ in 0..LOOK_AHEAD {
            match ranges.next()? {
                None => return Ok(false),
                Some(tombstone) if keeps(&mut self.purger, partition, &tombstone) => return Ok(true),
                Some(_) => {}
            }
        }
        Ok(true)
    }

    /// Writes the partition's range tombstones, and goes on to its rows; or, if they are more than a step's work,
    /// some of them, and stays.
    fn ranges(&mut self, sink: &mut Sink, limit: u64) -> Result<(), Error> {
        let Some(partition) = self.partition.as_mut().filter(|it| !it.ranges.is_empty()) else {
            let stream = self.merge.least();
            return Err(stream.map_or(Error::Invalid("no entry"), |stream| {
                stream.malformed("a range tombstone in a partition that has none")
            }));
        };
        self.searches += partition.ranges.len() as u64;
        let mut ranges = ranges_of(self.plan, partition, &partition.written)?;
        let mut value = Writer::default();
        while let Some(tombstone) = ranges.next()? {
            self.read += 64;
            if keeps(&mut self.purger, partition, &tombstone) {
                value.clear();
                entry::put_range(&mut value, &tombstone);
                let key = key::entry(&partition.prefix, Kind::Range, &tombstone.range.start);
                sink.push(&key, value.as_slice())?;
            }
            if let Some(end) = tombstone.range.end
                && self.read >= limit
            {
                partition.written = end;
                return Ok(());
            }
        }
        let rows = key::entry(&partition.prefix, Kind::Row, &[]);
        self.merge.skip_to(&rows)
    }

    /// The deletion over the row that the first stream stands on, whose clustering begins `at` in its key.
    fn covering(&mut self, at: usize) -> Result<Option<Deletion>, Error> {
        let (Some(partition), Some(stream)) = (&self.partition, self.merge.least()) else {
            return Ok(None);
        };
        if partition.ranges.is_empty() {
            return Ok(partition.deletion);
        }
        let clustering = &stream.here()[at..];
        let cover = match &mut self.cover {
            Some(cover) => cover,
            None => {
                self.searches += partition.ranges.len() as u64;
                let ranges = ranges_of(self.plan, partition, clustering)?;
                self.cover.insert(Cover::new(ranges)?)
            }
        };
        Ok(Deletion::strongest(partition.deletion, cover.at(clustering)?))
    }

    /// The error for a row that would be too large. The tables are known to have it from now on, and are not merged again
    /// with each other: those of earlier builds do not tell.
    #[cold]
    fn too_large(&self, count: usize, bytes: usize) -> Error {
        for stream in self.merge.first(count) {
            if let Stream::Table(cursor) = stream {
                cursor.table().meet_row(stream.value().len() as u64);
            }
        }
        Error::TooLarge {
            what: "a row that is merged",
            bytes,
            limit: MAX_ROW_BYTES,
        }
    }

    /// Writes what is left of a row of `count` streams.
    fn row(&mut self, count: usize, cover: Option<Deletion>, sink: &mut Sink) -> Result<(), Error> {
        let Some(stream) = self.merge.least() else {
            return Ok(());
        };
        let damaged = |error: starling_model::DecodeError| stream.malformed(error.to_string());
        let bytes: usize = self.merge.first(count).map(|stream| stream.value().len()).sum();
        if bytes > MAX_ROW_BYTES {
            return Err(self.too_large(count, bytes));
        }
        let mut rows: [&[u8]; MAX_INPUTS] = [&[]; MAX_INPUTS];
        for (row, stream) in rows.iter_mut().zip(self.merge.first(count)) {
            *row = stream.value();
        }
        let merged = match (count, cover) {
            (1, None) => Some(rows[0]),
            _ => self.merger.merge(&rows[..count], cover).map_err(damaged)?,
        };
        let Some(merged) = merged else { return Ok(()) };
        if !self.purger.is_needed() || !self.purger.may_purge(merged).map_err(damaged)? {
            return sink.push(stream.here(), merged);
        }
        let (_, prefix) = stream.parts()?;
        let Some(purge) = self.purger.of(&stream.here()[..prefix]) else {
            return sink.push(stream.here(), merged);
        };
        let mut row = entry::row(Bytes::copy_from_slice(merged)).map_err(damaged)?;
        purge.row(&mut row);
        if row.is_empty() {
            return Ok(());
        }
        let mut value = Writer::default();
        value.row(&row);
        sink.push(stream.here(), value.as_slice())
    }
}

/// The range tombstones of a partition that reach past `from`.
fn ranges_of<'a>(plan: &'a Plan, partition: &Partition, from: &[u8]) -> Result<Ranges<'a>, Error> {
    let inputs = partition.ranges.iter().filter_map(|at| plan.inputs.get(*at));
    Ranges::new(inputs, &partition.prefix, from)
}

/// Whether a range tombstone of a partition stays.
fn keeps(purger: &mut Purger<'_>, partition: &Partition, tombstone: &RangeTombstone) -> bool {
    let stronger = partition
        .deletion
        .is_none_or(|deletion| tombstone.deletion > deletion);
    stronger && !purger.purges(&partition.prefix, tombstone.deletion)
}

//! Merging sources into one new table, in bounded steps.

use std::{path::PathBuf, sync::Arc};

use starling_model::{
    ClusteringRange, DecoratedKey, Deletion, RangeTombstone, RangeTombstones, Row, Timestamp, TokenRange,
};

use super::purge::Purge;
use crate::{
    Error, PurgePolicy,
    fs::Fs,
    log::Lsn,
    memtable::Memtable,
    read::{
        Part, Source,
        merge::{SliceMerge, remaining},
        tombstones::Tombstones,
    },
    table::{Table, TableWriter, WriterOptions, entry::Head, key},
};

/// What is merged. Shared with readers, who go on using it.
#[derive(Debug, Clone)]
pub enum Input {
    /// A memtable that takes no more writes.
    Memory(Arc<Memtable>),
    /// A table.
    Table(Arc<Table>),
}

/// What a merge may forget, and what it must ask before.
#[derive(Debug, Clone)]
pub struct PurgePlan {
    /// The table's policy.
    pub policy: PurgePolicy,
    /// The present second.
    pub now: starling_model::Seconds,
    /// The oldest timestamp in any memtable; `None` if they are empty.
    pub memory: Option<Timestamp>,
    /// Live tables that are not merged.
    pub others: Vec<Arc<Table>>,
}

/// A merge in progress.
///
/// Contract:
/// 1. Nothing is seen of it before it is installed; inputs are only read.
/// 2. Each step reads and writes about `step_bytes`, or one row where that is more.
/// 3. The output, once [`step`](Self::step) said that it is complete, is durable, its name included.
/// 4. An output with nothing in it is no file at all.
pub struct Worker {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    number: u64,
    inputs: Vec<Input>,
    purge: PurgePlan,
    options: WriterOptions,
    step_bytes: u64,
    newest: Lsn,
    writer: Option<TableWriter>,
    at: At,
    written: bool,
}

/// How far a merge has come.
#[derive(Debug, Clone)]
enum At {
    /// Before the partition after this one.
    After(Option<DecoratedKey>),
    /// In a partition.
    In(Box<InPartition>),
    Done,
}

#[derive(Debug, Clone)]
struct InPartition {
    key: DecoratedKey,
    /// The head was written.
    begun: bool,
    purge: Option<Purge>,
    left: Left,
}

/// What of a partition is left to be written.
#[derive(Debug, Clone)]
enum Left {
    Tombstones(ClusteringRange),
    Rows(ClusteringRange),
}

impl Worker {
    /// A merge of `inputs` into the table `number` of a directory. Touches nothing yet.
    pub fn new(
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        number: u64,
        inputs: Vec<Input>,
        purge: PurgePlan,
        options: WriterOptions,
        step_bytes: usize,
    ) -> Self {
        let newest = inputs.iter().map(|input| match input {
            Input::Memory(memtable) => memtable.last(),
            Input::Table(table) => table.properties().last,
        });
        Self {
            newest: newest.max().unwrap_or_default(),
            fs,
            dir,
            number,
            inputs,
            purge,
            options,
            step_bytes: step_bytes.max(1) as u64,
            writer: None,
            at: At::After(None),
            written: false,
        }
    }

    /// The number of the output.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The file of the output.
    pub fn path(&self) -> PathBuf {
        self.dir.join(crate::table::reader::file_name(self.number))
    }

    /// Whether the merge is complete.
    pub fn is_done(&self) -> bool {
        matches!(self.at, At::Done)
    }

    /// Whether the complete merge left a file.
    pub fn has_output(&self) -> bool {
        self.written
    }

    /// Goes on for a step; `true` once the merge is complete. After an error, the merge is to be given up.
    pub fn step(&mut self) -> Result<bool, Error> {
        let start = self.bytes();
        let inputs = self.inputs.clone();
        let mut sources: Vec<Source<'_>> = inputs
            .iter()
            .map(|input| match input {
                Input::Memory(memtable) => Source::Memory(memtable),
                Input::Table(table) => Source::table(table),
            })
            .collect();
        // Partitions of which nothing is left are work, too.
        let mut budget = self.step_bytes;
        while !self.is_done() && budget > 0 {
            let before = self.bytes();
            let visited = self.advance(&mut sources, start + self.step_bytes)?;
            budget = budget.saturating_sub(self.bytes().saturating_sub(before).max(visited));
        }
        Ok(self.is_done())
    }

    fn bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, TableWriter::bytes)
    }

    /// Does one piece of work: finds a partition, or works on it until it is done or the output has
    /// `limit` bytes. Returns about how many bytes it looked at.
    fn advance(&mut self, sources: &mut [Source<'_>], limit: u64) -> Result<u64, Error> {
        match self.at.clone() {
            At::Done => Ok(0),
            At::After(last) => {
                let next = next_partition(sources, last.as_ref())?;
                match next {
                    Some(key) => {
                        self.begin(sources, key)?;
                    }
                    None => self.complete()?,
                }
                Ok(64)
            }
            At::In(state) => self.partition(sources, *state, limit),
        }
    }

    /// Begins a partition: what is above its tombstones and rows.
    fn begin(&mut self, sources: &[Source<'_>], key: DecoratedKey) -> Result<(), Error> {
        let parts = open(sources, &key)?;
        let purge = self.purge_of(&key)?;
        let mut state = InPartition {
            key,
            begun: false,
            purge,
            left: Left::Tombstones(ClusteringRange::ALL),
        };
        let deletion = deletion(&parts);
        if kept_deletion(deletion, purge).is_some() {
            self.head(&mut state, &parts)?;
        }
        let mut row = Row::default();
        for part in &parts {
            if let Some(other) = part.static_row() {
                row.merge(other);
            }
        }
        finish_row(&mut row, deletion, purge);
        if !row.is_empty() {
            self.head(&mut state, &parts)?.static_row(&row)?;
        }
        if !parts.iter().any(Part::has_ranges) {
            state.left = Left::Rows(ClusteringRange::ALL);
        }
        self.at = At::In(Box::new(state));
        Ok(())
    }

    fn partition(
        &mut self,
        sources: &[Source<'_>],
        mut state: InPartition,
        limit: u64,
    ) -> Result<u64, Error> {
        let parts = open(sources, &state.key)?;
        let (visited, rest) = match state.left.clone() {
            Left::Tombstones(range) => {
                let (visited, rest) = self.tombstones(&parts, &mut state, &range, limit)?;
                let left = rest.map_or(Left::Rows(ClusteringRange::ALL), Left::Tombstones);
                (visited, Some(left))
            }
            Left::Rows(range) => {
                let (visited, rest) = self.rows(&parts, &mut state, &range, limit)?;
                (visited, rest.map(Left::Rows))
            }
        };
        self.at = match rest {
            Some(left) => At::In(Box::new(InPartition { left, ..state })),
            None => At::After(Some(state.key)),
        };
        Ok(visited)
    }

    /// Writes the range tombstones of a part of the partition, merged and disjoint. Returns what is left.
    fn tombstones(
        &mut self,
        parts: &[Part<'_>],
        state: &mut InPartition,
        range: &ClusteringRange,
        limit: u64,
    ) -> Result<(u64, Option<ClusteringRange>), Error> {
        let deletion = deletion(parts);
        let mut visited = 0;
        let mut merge = TombstoneMerge::new(parts, range)?;
        while let Some(tombstone) = merge.next()? {
            visited += 64;
            let end = tombstone.range.end.clone();
            let gone = deletion.is_some_and(|deletion| deletion >= tombstone.deletion)
                || state.purge.is_some_and(|purge| purge.range(&tombstone));
            if !gone {
                self.head(state, parts)?.range(&tombstone)?;
            }
            if let Some(start) = end
                && (self.bytes() >= limit || visited >= self.step_bytes)
            {
                return Ok((visited, Some(ClusteringRange { start, end: None })));
            }
        }
        Ok((visited, None))
    }

    /// Writes the rows of a part of the partition. Returns what is left.
    fn rows(
        &mut self,
        parts: &[Part<'_>],
        state: &mut InPartition,
        range: &ClusteringRange,
        limit: u64,
    ) -> Result<(u64, Option<ClusteringRange>), Error> {
        let mut merge = SliceMerge::new(parts, deletion(parts), range, false, false)?;
        let mut visited = 0;
        while let Some(place) = merge.next_place()? {
            visited += 64 * u64::from(place.visited);
            if let Some(mut row) = place.row {
                finish_row(&mut row, None, state.purge);
                if !row.is_empty() {
                    self.head(state, parts)?.row(&place.clustering, &row)?;
                }
            }
            if self.bytes() >= limit || visited >= self.step_bytes {
                return Ok((visited, Some(remaining(&place.clustering, false))));
            }
        }
        Ok((visited, None))
    }

    /// The writer, after the head of the partition was written: at the first thing that is left of it.
    fn head(&mut self, state: &mut InPartition, parts: &[Part<'_>]) -> Result<&mut TableWriter, Error> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => TableWriter::new(&self.fs, self.path(), self.newest, self.options)?,
        };
        let writer = self.writer.insert(writer);
        if !state.begun {
            state.begun = true;
            let head = Head {
                deletion: kept_deletion(deletion(parts), state.purge),
                ranges: parts.iter().any(Part::has_ranges),
            };
            writer.partition(&state.key, head)?;
        }
        Ok(writer)
    }

    /// What may be purged of a partition: nothing that could shadow something outside of this merge.
    fn purge_of(&self, key: &DecoratedKey) -> Result<Option<Purge>, Error> {
        let Some(before) = self.purge.policy.before(self.purge.now) else {
            return Ok(None);
        };
        let mut oldest = self.purge.memory.unwrap_or(Timestamp(i64::MAX));
        let prefix = key::prefix(key);
        for table in &self.purge.others {
            if table.may_contain(key, &prefix)?
                && let Some((smallest, _)) = table.properties().timestamps
            {
                oldest = oldest.min(smallest);
            }
        }
        Ok(Some(Purge {
            now: self.purge.now,
            before,
            oldest_elsewhere: oldest,
        }))
    }

    fn complete(&mut self) -> Result<(), Error> {
        if let Some(writer) = self.writer.take() {
            writer.finish()?;
            self.fs
                .sync_dir(&self.dir)
                .map_err(Error::io("sync", &self.dir))?;
            self.written = true;
        }
        self.at = At::Done;
        Ok(())
    }
}

fn next_partition(
    sources: &mut [Source<'_>],
    last: Option<&DecoratedKey>,
) -> Result<Option<DecoratedKey>, Error> {
    let mut next: Option<DecoratedKey> = None;
    for source in sources {
        if let Some(key) = source.next(TokenRange::ALL, last)?
            && next.as_ref().is_none_or(|next| key < *next)
        {
            next = Some(key);
        }
    }
    Ok(next)
}

fn open<'a>(sources: &[Source<'a>], key: &DecoratedKey) -> Result<Vec<Part<'a>>, Error> {
    let mut parts = Vec::with_capacity(sources.len());
    for source in sources {
        parts.extend(source.open(key)?);
    }
    Ok(parts)
}

fn deletion(parts: &[Part<'_>]) -> Option<Deletion> {
    parts.iter().map(Part::deletion).fold(None, Deletion::strongest)
}

fn kept_deletion(deletion: Option<Deletion>, purge: Option<Purge>) -> Option<Deletion> {
    deletion.filter(|deletion| purge.is_none_or(|purge| !purge.deletion(*deletion)))
}

fn finish_row(row: &mut Row, deletion: Option<Deletion>, purge: Option<Purge>) {
    if let Some(deletion) = deletion {
        row.cover(deletion);
    }
    if let Some(purge) = purge {
        purge.row(row);
    }
}

/// Range tombstones of several sources as one list: ordered, disjoint, joined where they touch.
struct TombstoneMerge<'a> {
    inputs: Vec<(Tombstones<'a>, Option<RangeTombstone>)>,
    /// What later tombstones may still change.
    open: RangeTombstones,
    /// What they can't, last first.
    ready: Vec<RangeTombstone>,
}

impl<'a> TombstoneMerge<'a> {
    fn new(parts: &[Part<'a>], range: &ClusteringRange) -> Result<Self, Error> {
        let mut inputs = Vec::with_capacity(parts.len());
        for part in parts {
            let mut tombstones = part.tombstones(range, false);
            let first = tombstones.next()?;
            inputs.push((tombstones, first));
        }
        Ok(Self {
            inputs,
            open: RangeTombstones::default(),
            ready: Vec::new(),
        })
    }

    fn next(&mut self) -> Result<Option<RangeTombstone>, Error> {
        loop {
            if let Some(ready) = self.ready.pop() {
                return Ok(Some(ready));
            }
            let first = self
                .inputs
                .iter_mut()
                .filter(|(_, next)| next.is_some())
                .min_by(|(_, a), (_, b)| start(a.as_ref()).cmp(&start(b.as_ref())));
            let Some((tombstones, next)) = first else {
                self.ready = self.open.take_before(None);
                self.ready.reverse();
                return Ok(self.ready.pop());
            };
            if let Some(tombstone) = next.take() {
                *next = tombstones.next()?;
                self.ready = self.open.take_before(Some(&tombstone.range.start));
                self.ready.reverse();
                self.open.add(tombstone);
            }
        }
    }
}

fn start(tombstone: Option<&RangeTombstone>) -> Option<&[u8]> {
    tombstone.map(|tombstone| &tombstone.range.start[..])
}

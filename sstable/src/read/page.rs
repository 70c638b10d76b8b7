//! One page of a read.
//!
//! Contract:
//! 1. Concatenated, the pages of a command are what one page without limits would be.
//! 2. A page covers exactly what it says: everything from `after` to `next`, and of a partition with a
//!    `cut` everything up to it.
//! 3. Every page makes progress: it covers a place or completes a partition.
//! 4. At most one block of each table, the page, and a row of each source are in memory.

use starling_model::{
    Clustering, ClusteringRange, DecoratedKey, Deletion, KeyRange, Page, Partition, PartitionPage, Position,
    RangeTombstone, ReadCommand, Row, TokenRange,
};

use super::{
    Part, Source,
    merge::{SliceMerge, remaining},
};
use crate::{Error, log::Lsn};

/// A page, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The page.
    pub page: Page,
    /// The newest write, of those that are in memtables, to any partition that was touched.
    pub newest: Lsn,
    /// Rows and tombstones visited.
    pub visited: u64,
}

/// Reads one page.
pub fn execute(mut sources: Vec<Source<'_>>, command: &ReadCommand) -> Result<Answer, Error> {
    check(command)?;
    let mut reader = PageReader::new(command);
    match &command.keys {
        KeyRange::Partition(key) => match &command.after {
            Some(after) if after.key != *key => {
                return Err(Error::Invalid(
                    "the position to go on from is in another partition",
                ));
            }
            Some(Position { clustering: None, .. }) => {}
            after => {
                reader.partition(&sources, key, after.as_ref())?;
            }
        },
        KeyRange::Tokens(range) => reader.tokens(&mut sources, *range)?,
    }
    Ok(reader.answer)
}

fn check(command: &ReadCommand) -> Result<(), Error> {
    if let KeyRange::Tokens(range) = &command.keys
        && range.start >= range.end
    {
        return Err(Error::Invalid("a token range to read must not wrap or be empty"));
    }
    let limits = &command.limits;
    if [
        limits.rows,
        limits.rows_per_partition,
        limits.bytes,
        limits.visited,
    ]
    .contains(&0)
    {
        return Err(Error::Invalid("a limit of a read is at least 1"));
    }
    let ordered = command
        .slices
        .windows(2)
        .all(|pair| pair[0].end.as_ref().is_some_and(|end| *end <= pair[1].start));
    if !ordered || command.slices.iter().any(ClusteringRange::is_empty) {
        return Err(Error::Invalid("slices are ordered, disjoint and not empty"));
    }
    Ok(())
}

/// How the reading of a partition ended.
enum End {
    /// All slices are covered, or the partition's share of rows is reached.
    Complete,
    /// The page is full.
    Full,
}

struct PageReader<'c> {
    command: &'c ReadCommand,
    answer: Answer,
    rows: u32,
    bytes: usize,
}

impl<'c> PageReader<'c> {
    fn new(command: &'c ReadCommand) -> Self {
        Self {
            command,
            answer: Answer {
                page: Page::default(),
                newest: Lsn::ZERO,
                visited: 0,
            },
            rows: 0,
            bytes: 0,
        }
    }

    fn is_full(&self) -> bool {
        let limits = &self.command.limits;
        self.rows >= limits.rows
            || self.bytes >= limits.bytes as usize
            || self.answer.visited >= u64::from(limits.visited)
    }

    fn tokens(&mut self, sources: &mut [Source<'_>], range: TokenRange) -> Result<(), Error> {
        let mut done: Option<Position> = None;
        if let Some(after) = &self.command.after {
            if after.key.token <= range.start || after.key.token > range.end {
                return Err(Error::Invalid(
                    "the position to go on from is outside of the range",
                ));
            }
            if after.clustering.is_some()
                && let End::Full = self.partition(sources, &after.key, Some(after))?
            {
                return Ok(());
            }
            done = Some(complete(&after.key));
        }
        let mut nexts = Vec::with_capacity(sources.len());
        for source in sources.iter_mut() {
            nexts.push(source.next(range, done.as_ref().map(|done| &done.key))?);
        }
        while let Some(key) = nexts.iter().flatten().min().cloned() {
            if self.is_full() {
                self.answer.page.next = done;
                return Ok(());
            }
            if let End::Full = self.partition(sources, &key, None)? {
                return Ok(());
            }
            for (source, next) in sources.iter_mut().zip(&mut nexts) {
                if next.as_ref() == Some(&key) {
                    *next = source.next(range, Some(&key))?;
                }
            }
            done = Some(complete(&key));
        }
        Ok(())
    }

    /// Reads a partition, from its start or from a place in it, into the page. Sets `next` if the page is
    /// full before the partition is complete.
    fn partition(
        &mut self,
        sources: &[Source<'_>],
        key: &DecoratedKey,
        after: Option<&Position>,
    ) -> Result<End, Error> {
        let mut parts = Vec::with_capacity(sources.len());
        for source in sources {
            parts.extend(source.open(key)?);
        }
        let newest = parts.iter().map(Part::last).max().unwrap_or_default();
        self.answer.newest = self.answer.newest.max(newest);
        let mut reading = Reading::new(&parts, after);
        self.bytes += reading.partition.weight() + key.key.len();
        let mut end = End::Complete;
        let reversed = self.command.reversed;
        let rest = after.and_then(|after| after.clustering.as_ref());
        let rest = rest.map_or(ClusteringRange::ALL, |last| remaining(last, reversed));
        let count = self.command.slices.len();
        for at in 0..count {
            let slice = if reversed { count - 1 - at } else { at };
            let slice = self.command.slices[slice].intersect(&rest);
            if slice.is_empty() {
                continue;
            }
            let more = at + 1 < count;
            match self.slice(&parts, &slice, more, &mut reading)? {
                Stop::AtEnd => {}
                Stop::Share => break,
                Stop::Full => {
                    end = End::Full;
                    break;
                }
            }
        }
        if let End::Complete = end {
            // An empty partition is work, too.
            self.answer.visited += 1;
            let only_static = reading.cut.is_none() && reading.rows == 0;
            if only_static && reading.partition.static_row.is_live(self.command.now) {
                self.rows += 1;
            }
        } else {
            self.answer.page.next = Some(Position {
                key: key.clone(),
                clustering: reading.cut.clone(),
                rows: reading.rows,
            });
        }
        let page = reading.finish(key);
        self.answer.page.partitions.extend(page);
        Ok(end)
    }

    /// Reads one slice into the partition. `more`: other slices follow.
    fn slice(
        &mut self,
        parts: &[Part<'_>],
        slice: &ClusteringRange,
        more: bool,
        reading: &mut Reading,
    ) -> Result<Stop, Error> {
        let command = self.command;
        let mut merge = SliceMerge::new(parts, reading.partition.deletion, slice, command.reversed, true)?;
        let mut stop = Stop::AtEnd;
        let mut last = None;
        while let Some(place) = merge.next_place()? {
            self.answer.visited += u64::from(place.visited);
            if let Some(row) = place.row {
                self.bytes += place.clustering.0.len() + row.weight();
                if row.is_live(command.now) {
                    self.rows += 1;
                    reading.rows += 1;
                }
                reading.partition.rows.insert(place.clustering.clone(), row);
            }
            // What ends exactly here is not cut.
            let rest = more || merge.has_more();
            if rest && reading.rows >= command.limits.rows_per_partition {
                stop = Stop::Share;
            } else if rest && self.is_full() {
                stop = Stop::Full;
            }
            if !matches!(stop, Stop::AtEnd) {
                last = Some(place.clustering);
                break;
            }
        }
        reading.ranges.push(merge.tombstones(last.as_ref()));
        reading.cut = last;
        Ok(stop)
    }
}

/// How the reading of a slice ended.
enum Stop {
    AtEnd,
    Share,
    Full,
}

/// The content of one partition in the page.
struct Reading {
    partition: Partition,
    /// Of each slice, in the order of the read.
    ranges: Vec<Vec<RangeTombstone>>,
    /// Live rows over all pages.
    rows: u32,
    cut: Option<Clustering>,
}

impl Reading {
    fn new(parts: &[Part<'_>], after: Option<&Position>) -> Self {
        let deletion = parts.iter().map(Part::deletion).fold(None, Deletion::strongest);
        let mut static_row = Row::default();
        for row in parts.iter().filter_map(Part::static_row) {
            static_row.merge(row);
        }
        if let Some(deletion) = deletion {
            static_row.cover(deletion);
        }
        Self {
            partition: Partition {
                deletion,
                static_row,
                ..Partition::default()
            },
            ranges: Vec::new(),
            rows: after.map_or(0, |after| after.rows),
            cut: None,
        }
    }

    fn finish(mut self, key: &DecoratedKey) -> Option<PartitionPage> {
        // Ascending, so that each is added at the end of the list.
        let mut ranges: Vec<RangeTombstone> = self.ranges.into_iter().flatten().collect();
        ranges.sort_by(|a, b| a.range.start.cmp(&b.range.start));
        self.partition.ranges = ranges.into_iter().collect();
        (!self.partition.is_empty()).then(|| PartitionPage {
            key: key.clone(),
            partition: self.partition,
            cut: self.cut,
        })
    }
}

/// The position after a whole partition.
fn complete(key: &DecoratedKey) -> Position {
    Position {
        key: key.clone(),
        clustering: None,
        rows: 0,
    }
}

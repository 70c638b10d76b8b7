//! One page of a read.
//!
//! Contract:
//! 1. Concatenated, the pages of a command are what one page without limits would be.
//! 2. A page covers exactly what it says: everything from `after` to `next`, and of a partition with a
//!    `cut` everything up to it.
//! 3. Every page makes progress: it covers a place or completes a partition.
//! 4. At most one block of each table, the page, and a row of each source are in memory.
//! 5. A reader that runs out of time gets what it has covered so far, as any other page.

use std::borrow::Cow;

use starling_model::{
    Clustering, ClusteringRange, DecodeError, DecoratedKey, Deletion, EncodedPage, KeyRange, Position,
    ReadCommand, Row,
    encoding::{RowMerger, RowView},
};

use super::{
    Deadline, Head, Point, PointReader, Source, Stream,
    assembly::{Assembly, Frame},
    merge::{self, SliceMerge, remaining},
    name::Name,
    states,
};
use crate::{
    Error,
    log::Lsn,
    table::{
        Target,
        key::{self, Kind},
    },
};

/// Bytes of a row as the limits of a page count them.
fn content_bytes(view: &RowView<'_>, clustering: &[u8], row: &[u8]) -> usize {
    size_of::<Row>() + view.count * CELL_BYTES + clustering.len() + row.len()
}

/// What a cell weighs in memory beside its content, in bytes.
const CELL_BYTES: usize = size_of::<starling_model::Cell>();
/// Rows and tombstones between two looks at the clock.
const VISITS_PER_LOOK: u64 = 512;
/// As so many of them counts a search for where a partition or a slice begins, in one source.
const SEARCH_VISITS: u64 = 32;

/// A page, and what it cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The page.
    pub page: EncodedPage,
    /// The newest write, of those that are in memtables, to any partition that was touched.
    pub newest: Lsn,
    /// Rows and tombstones visited.
    pub visited: u64,
    /// Live rows in the page.
    pub live: u64,
    /// Bytes of content, as the command's limits count them.
    pub bytes: usize,
}

/// Reads one page from sources, oldest first.
pub fn execute(
    sources: &[Source<'_>],
    command: &ReadCommand,
    deadline: &mut dyn Deadline,
    points: &mut PointReader,
) -> Result<Answer, Error> {
    check(command)?;
    let mut reader = PageReader {
        command,
        deadline,
        merger: RowMerger::default(),
        assembly: Assembly::default(),
        newest: Lsn::ZERO,
        visited: 0,
        searches: 0,
        looked: 0,
        late: false,
        rows: 0,
        bytes: 0,
    };
    match &command.keys {
        KeyRange::Partition(key) => match &command.after {
            Some(after) if after.key != *key => {
                return Err(Error::Invalid(
                    "the position to go on from is in another partition",
                ));
            }
            Some(Position { clustering: None, .. }) => {}
            after => match only_row(sources, command, key) {
                Some(clustering) => reader.point(sources, key, clustering, points)?,
                None => {
                    reader.key(sources, key, after.as_ref())?;
                }
            },
        },
        KeyRange::Tokens(range) => reader.tokens(sources, *range)?,
    }
    Ok(Answer {
        page: reader.assembly.finish(),
        newest: reader.newest,
        visited: reader.visited,
        live: reader.rows.into(),
        bytes: reader.bytes,
    })
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
#[derive(PartialEq, Eq)]
pub(super) enum End {
    /// All slices are covered, or the partition's share of rows is reached.
    Complete,
    /// The page is full.
    Full,
}

/// How the reading of a slice ended.
#[derive(PartialEq, Eq)]
enum Stop {
    AtEnd,
    Share,
    Full,
}

/// A page that is being read.
pub(super) struct PageReader<'c> {
    pub(super) command: &'c ReadCommand,
    deadline: &'c mut dyn Deadline,
    merger: RowMerger,
    pub(super) assembly: Assembly,
    pub(super) newest: Lsn,
    pub(super) visited: u64,
    /// How often the beginning of a partition or a slice was searched for.
    searches: u64,
    /// How much was done when the clock was looked at.
    looked: u64,
    late: bool,
    rows: u32,
    pub(super) bytes: usize,
}

/// How far a partition was read.
struct Reading {
    /// Live rows over all pages.
    rows: u32,
    cut: Option<Clustering>,
}

impl PageReader<'_> {
    #[inline]
    pub(super) fn is_full(&mut self) -> bool {
        let limits = &self.command.limits;
        if self.rows >= limits.rows
            || self.bytes >= limits.bytes as usize
            || self.visited >= u64::from(limits.visited)
        {
            return true;
        }
        let done = self.visited + self.searches * SEARCH_VISITS;
        if done - self.looked >= VISITS_PER_LOOK {
            self.looked = done;
            self.late = self.deadline.has_passed();
        }
        self.late
    }

    /// Reads one partition.
    pub(super) fn key(
        &mut self,
        sources: &[Source<'_>],
        key: &DecoratedKey,
        after: Option<&Position>,
    ) -> Result<End, Error> {
        let target = Target::new(key, Kind::Row, &[]);
        let mut streams = Vec::with_capacity(sources.len());
        let mut heads = Vec::with_capacity(sources.len());
        let mut deletion = None;
        self.searches += sources.len() as u64;
        let start = start_of(self.command, after);
        // The newest first: what it deletes spares looking at older ones.
        for source in sources.iter().rev() {
            if let Some(mut stream) = source.open(&target, &self.command.slices, start, deletion)? {
                let head = Head::take(&mut stream, target.prefix())?;
                deletion = Deletion::strongest(deletion, head.deletion);
                heads.push(head);
                streams.push(stream);
            }
        }
        let name = Name::new(key, target.prefix());
        let mut streams: Vec<&mut Stream<'_>> = streams.iter_mut().collect();
        self.partition(&mut streams, &heads, &name, after)
    }

    /// Reads a partition of which one row at most can be there, in the page's form.
    fn point(
        &mut self,
        sources: &[Source<'_>],
        key: &DecoratedKey,
        clustering: &[u8],
        points: &mut PointReader,
    ) -> Result<(), Error> {
        let point = Point {
            table: self.command.table,
            key,
            clustering,
            columns: None,
        };
        let memory = sources.iter().rev().filter_map(Source::as_memory);
        let tables = sources.iter().rev().filter_map(Source::as_table);
        let found = points.get(&point, memory, tables)?;
        self.newest = found.newest;
        self.visited = found.visited + 1;
        if let Some(row) = found.row {
            let live = RowView::new(&row).and_then(|row| row.is_live(self.command.now));
            self.rows = u32::from(live.map_err(|_| Error::Invalid("a row can't be read"))?);
            self.assembly
                .row(clustering, &row)
                .map_err(|_| Error::Invalid("a row can't be read"))?;
            self.assembly
                .partition(&Name::new(key, &[]), Frame::default(), false, None);
        }
        Ok(())
    }

    /// Counts a row that is taken into the page; whether it is live.
    #[inline]
    pub(super) fn count(&mut self, clustering: &[u8], row: &[u8]) -> Result<bool, DecodeError> {
        let view = RowView::new(row)?;
        self.bytes += content_bytes(&view, clustering, row);
        let live = view.is_live(self.command.now)?;
        self.rows += u32::from(live);
        Ok(live)
    }

    /// Takes a row into the page; whether it is live.
    fn row(&mut self, clustering: &[u8], row: &[u8]) -> Result<bool, DecodeError> {
        let live = self.count(clustering, row)?;
        self.assembly.row(clustering, row)?;
        Ok(live)
    }

    /// Reads a partition, from its start or from a place in it, into the page. Sets `next` if the page is
    /// full before the partition is complete.
    pub(super) fn partition(
        &mut self,
        streams: &mut [&mut Stream<'_>],
        heads: &[Head],
        name: &Name,
        after: Option<&Position>,
    ) -> Result<End, Error> {
        let mut frame = self.frame(streams, heads, name)?;
        let reversed = self.command.reversed;
        let rows = key::entry(&name.prefix, Kind::Row, &[]);
        let partition = merge::Partition {
            table: self.command.table,
            name,
            rows: &rows,
            deletion: frame.deletion,
            ranges: heads.iter().any(|head| head.ranges),
            reversed,
        };
        self.bytes += size_of::<starling_model::Partition>() + name.key.len();
        let mut reading = Reading {
            rows: after.map_or(0, |after| after.rows),
            cut: None,
        };
        let rest = after.and_then(|after| after.clustering.as_ref());
        let rest = rest.map(|last| remaining(last, reversed));
        let slices = joined(&self.command.slices);
        let count = slices.len();
        let mut end = End::Complete;
        for at in 0..count {
            let slice = if reversed { count - 1 - at } else { at };
            let mut slice = Cow::Borrowed(&slices[slice]);
            if let Some(rest) = &rest {
                slice = Cow::Owned(slice.intersect(rest));
                if slice.is_empty() {
                    continue;
                }
            }
            let more = at + 1 < count;
            let stop = self.slice(streams, partition, &slice, more, &mut reading, &mut frame)?;
            if stop == Stop::Full {
                end = End::Full;
            }
            if stop != Stop::AtEnd {
                break;
            }
        }
        if end == End::Complete {
            // An empty partition is work, too.
            self.visited += 1;
            let only_static = reading.cut.is_none() && reading.rows == 0;
            if only_static && self.is_static_live(&frame)? {
                self.rows += 1;
            }
        } else {
            self.assembly.next = Some(name.position(reading.cut.clone(), reading.rows));
        }
        self.assembly
            .partition(name, frame, reversed, reading.cut.as_ref());
        Ok(end)
    }

    /// Merges what stands before the rows.
    fn frame(&mut self, streams: &[&mut Stream<'_>], heads: &[Head], name: &Name) -> Result<Frame, Error> {
        let deletion = heads.iter().map(|head| head.deletion);
        let mut frame = Frame {
            deletion: deletion.fold(None, Deletion::strongest),
            ..Frame::default()
        };
        for head in heads {
            self.newest = self.newest.max(head.last);
        }
        let rows: Vec<&[u8]> = heads
            .iter()
            .filter_map(|head| head.static_row.as_deref())
            .collect();
        if !rows.is_empty() {
            let unreadable = |error| match streams.first() {
                Some(stream) => stream.unreadable(error),
                None => Error::Invalid("a static row can't be read"),
            };
            let place = || (self.command.table, name.decorated());
            let merged = states::merge(&mut self.merger, &rows, frame.deletion, place, unreadable)?;
            frame.static_row = merged.map(<[u8]>::to_vec);
            self.bytes += frame.static_row.as_ref().map_or(0, Vec::len);
        }
        Ok(frame)
    }

    fn is_static_live(&self, frame: &Frame) -> Result<bool, Error> {
        let Some(row) = &frame.static_row else {
            return Ok(false);
        };
        let live = RowView::new(row).and_then(|row| row.is_live(self.command.now));
        live.map_err(|_| Error::Invalid("a static row can't be read"))
    }

    /// Reads one slice into the partition. `more`: other slices follow.
    fn slice(
        &mut self,
        streams: &mut [&mut Stream<'_>],
        partition: merge::Partition<'_>,
        slice: &ClusteringRange,
        more: bool,
        reading: &mut Reading,
        frame: &mut Frame,
    ) -> Result<Stop, Error> {
        self.searches += streams.len().max(1) as u64;
        let mut merger = std::mem::take(&mut self.merger);
        let mut merge = SliceMerge::new(
            streams.iter_mut().map(|stream| &mut **stream),
            partition,
            slice,
            &mut merger,
        )?;
        let mut stop = Stop::AtEnd;
        let mut last = None;
        loop {
            let visited = merge.advance()?;
            if visited == 0 {
                // There may be very many slices with nothing in them.
                if more && self.is_full() {
                    last = last_of(slice, partition.reversed);
                    stop = Stop::Full;
                }
                break;
            }
            self.visited += u64::from(visited);
            self.bytes += merge.take_tombstone_bytes();
            if let Some(row) = merge.row() {
                let live = self.row(merge.clustering(), row);
                let live = live.map_err(|error| merge.unreadable(error))?;
                reading.rows += u32::from(live);
            }
            let share = reading.rows >= self.command.limits.rows_per_partition;
            // What ends exactly here is not cut.
            if (share || self.is_full()) && (more || merge.has_more()?) {
                stop = if share { Stop::Share } else { Stop::Full };
                last = Some(Clustering::from(merge.clustering().to_vec()));
                break;
            }
        }
        if partition.ranges {
            frame.ranges.push(merge.tombstones(last.as_ref()));
        }
        reading.cut = last;
        self.merger = merger;
        Ok(stop)
    }
}

/// The clustering at which a read of a partition that goes forward begins; `None`: it goes backward.
fn start_of<'c>(command: &'c ReadCommand, after: Option<&'c Position>) -> Option<&'c [u8]> {
    let first = command.slices.first().map_or(&[][..], |slice| &slice.start);
    let after = after.and_then(|after| after.clustering.as_ref());
    let start = after.map_or(first, |after| first.max(&after.0));
    (!command.reversed).then_some(start)
}

/// Slices, with those that touch made one: between two that are left there is a place that belongs to neither.
fn joined(slices: &[ClusteringRange]) -> Cow<'_, [ClusteringRange]> {
    let touch = |a: &ClusteringRange, b: &ClusteringRange| a.end.as_ref() == Some(&b.start);
    if !slices.windows(2).any(|pair| touch(&pair[0], &pair[1])) {
        return Cow::Borrowed(slices);
    }
    let mut joined: Vec<ClusteringRange> = Vec::with_capacity(slices.len());
    for slice in slices {
        match joined.last_mut() {
            Some(last) if touch(last, slice) => last.end.clone_from(&slice.end),
            _ => joined.push(slice.clone()),
        }
    }
    Cow::Owned(joined)
}

/// A place that a read has covered once it has come to the end of a slice, and nothing of the next one, which does not
/// touch it. `None` behind the last.
fn last_of(slice: &ClusteringRange, reversed: bool) -> Option<Clustering> {
    if reversed {
        return Some(Clustering(slice.start.clone()));
    }
    let end = slice.end.as_ref()?;
    // What is before this end is at or before that place.
    let place = match end.split_last() {
        Some((0, place)) => end.slice_ref(place),
        _ => end.clone(),
    };
    Some(Clustering(place))
}

/// The clustering of the only row that a command can find, if no more than that row can be there: then there are
/// no tombstones around it, and no static row.
fn only_row<'c>(sources: &[Source<'_>], command: &'c ReadCommand, key: &DecoratedKey) -> Option<&'c [u8]> {
    let [slice] = &command.slices[..] else { return None };
    let one = slice.end.as_ref().is_some_and(|end| {
        end.len() == slice.start.len() + 1 && end.starts_with(&slice.start) && end.ends_with(&[0])
    });
    // Without clustering columns, a partition is one row with an empty clustering.
    let all = *slice == ClusteringRange::ALL;
    let alone = (one || all) && command.after.is_none();
    let plain = |source: &Source<'_>| match source {
        Source::Memory(memtable) => match memtable.get(key) {
            Some(part) if one => part.is_plain(),
            Some(part) => part.only_row().is_some_and(<[u8]>::is_empty),
            None => true,
        },
        Source::Table(table) => {
            let properties = table.properties();
            let bounds = properties.clusterings.as_ref();
            let upper = bounds.and_then(|bounds| bounds.upper.as_ref());
            properties.rows_only() && (one || upper.is_some_and(Vec::is_empty))
        }
    };
    (alone && sources.iter().all(plain)).then_some(&slice.start[..])
}

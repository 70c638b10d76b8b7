//! The range tombstones of one partition, merged over all inputs.

use bytes::Bytes;
use starling_model::{Deletion, RangeTombstone, RangeTombstones};

use super::input::Input;
use crate::{
    Error,
    read::Stream,
    table::{
        entry,
        key::{self, Kind},
    },
};

/// Range tombstones from some place of a partition on: ordered, disjoint, the strongest where they overlapped.
/// Memory is bounded by how many overlap.
pub(super) struct Ranges<'a> {
    inputs: Vec<(Stream<'a>, Option<RangeTombstone>)>,
    /// The start of the keys of the partition's range tombstones.
    prefix: Vec<u8>,
    /// What later tombstones may still change.
    open: RangeTombstones,
    /// What they can't, last first.
    ready: Vec<RangeTombstone>,
}

impl<'a> Ranges<'a> {
    /// Those of the partition with this prefix that reach past `from`, cut there. `inputs` are those that have any of
    /// the partition: each is searched.
    pub(super) fn new(
        inputs: impl Iterator<Item = &'a Input>,
        prefix: &[u8],
        from: &[u8],
    ) -> Result<Self, Error> {
        let mut ranges = Self {
            inputs: Vec::new(),
            prefix: key::entry(prefix, Kind::Range, &[]),
            open: RangeTombstones::default(),
            ready: Vec::new(),
        };
        for input in inputs {
            let mut stream = input.source().stream();
            let first = ranges.first_of(&mut stream, from)?;
            if first.is_some() {
                ranges.inputs.push((stream, first));
            }
        }
        Ok(ranges)
    }

    fn first_of(&self, stream: &mut Stream<'_>, from: &[u8]) -> Result<Option<RangeTombstone>, Error> {
        let mut target = self.prefix.clone();
        target.extend_from_slice(from);
        target.push(0);
        // The last one that starts at `from` or before may reach past it.
        if stream.seek_before(&target)?
            && let Some(mut open) = self.current(stream)?
            && open.range.end.as_ref().is_none_or(|end| &end[..] > from)
        {
            if &open.range.start[..] < from {
                open.range.start = Bytes::copy_from_slice(from);
            }
            return Ok(Some(open));
        }
        stream.seek(&target)?;
        self.current(stream)
    }

    /// The tombstone that a stream stands on, if it is one of this partition.
    fn current(&self, stream: &Stream<'_>) -> Result<Option<RangeTombstone>, Error> {
        let Some(start) = stream.under(&self.prefix) else {
            return Ok(None);
        };
        let tombstone = entry::range(start, Bytes::copy_from_slice(stream.value()));
        tombstone.map(Some).map_err(|error| stream.unreadable(error))
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Result<Option<RangeTombstone>, Error> {
        loop {
            if let Some(ready) = self.ready.pop() {
                return Ok(Some(ready));
            }
            let first = (0..self.inputs.len())
                .filter(|at| self.inputs[*at].1.is_some())
                .min_by(|a, b| start(self.inputs[*a].1.as_ref()).cmp(&start(self.inputs[*b].1.as_ref())));
            let Some(first) = first else {
                self.ready = self.open.take_before(None);
                self.ready.reverse();
                return Ok(self.ready.pop());
            };
            let (stream, next) = &mut self.inputs[first];
            let taken = next.take();
            stream.next()?;
            let (stream, _) = &self.inputs[first];
            let following = self.current(stream)?;
            self.inputs[first].1 = following;
            if let Some(tombstone) = taken {
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

/// What range tombstones cover, asked place by place, in order.
pub(super) struct Cover<'a> {
    ranges: Ranges<'a>,
    current: Option<RangeTombstone>,
}

impl<'a> Cover<'a> {
    /// The cover by some tombstones of a partition, from their start on.
    pub(super) fn new(mut ranges: Ranges<'a>) -> Result<Self, Error> {
        let current = ranges.next()?;
        Ok(Self { ranges, current })
    }

    /// The deletion over a clustering, which is not before the last one that was asked for.
    pub(super) fn at(&mut self, clustering: &[u8]) -> Result<Option<Deletion>, Error> {
        while let Some(current) = &self.current {
            if current.range.end.as_ref().is_none_or(|end| &end[..] > clustering) {
                let covers = &current.range.start[..] <= clustering;
                return Ok(covers.then_some(current.deletion));
            }
            self.current = self.ranges.next()?;
        }
        Ok(None)
    }
}

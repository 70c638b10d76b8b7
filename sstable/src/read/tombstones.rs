//! The range tombstones of one partition of one source that reach into a slice.

use starling_model::{ClusteringRange, RangeTombstone};

use super::Stream;
use crate::{
    Error,
    table::{
        entry,
        key::{self, Kind},
    },
};

/// A stream of disjoint range tombstones, clipped to a slice, first to last or last to first.
#[derive(Debug)]
pub(super) struct Tombstones<'a> {
    stream: Stream<'a>,
    /// The start of the keys of the partition's range tombstones.
    prefix: Vec<u8>,
    slice: ClusteringRange,
    reversed: bool,
    started: bool,
}

impl<'a> Tombstones<'a> {
    /// Those of the partition with this prefix. Where the stream stands does not matter.
    pub(super) fn new(stream: Stream<'a>, prefix: &[u8], slice: &ClusteringRange, reversed: bool) -> Self {
        Self {
            stream,
            prefix: key::entry(prefix, Kind::Range, &[]),
            slice: slice.clone(),
            reversed,
            started: false,
        }
    }

    /// The next tombstone.
    pub(super) fn advance(&mut self) -> Result<Option<RangeTombstone>, Error> {
        if !self.started {
            self.started = true;
            return self.start();
        }
        let found = if self.reversed {
            self.stream.prev()?
        } else {
            self.stream.next()?
        };
        if found { self.current() } else { Ok(None) }
    }

    /// Goes to the tombstone at the near end of the slice.
    fn start(&mut self) -> Result<Option<RangeTombstone>, Error> {
        let mut target = self.prefix.clone();
        if self.reversed {
            match &self.slice.end {
                Some(end) => target.extend_from_slice(end),
                None => {
                    target.pop();
                    target = key::after_kind(&target, Kind::Range);
                }
            }
            return if self.stream.seek_before(&target)? {
                self.current()
            } else {
                Ok(None)
            };
        }
        // The last one that starts at or before the slice may reach into it.
        target.extend_from_slice(&self.slice.start);
        target.push(0);
        if self.stream.seek_before(&target)?
            && let Some(open) = self.current()?
        {
            return Ok(Some(open));
        }
        if self.stream.seek(&target)? {
            self.current()
        } else {
            Ok(None)
        }
    }

    /// The tombstone under the cursor, if it is one of this partition and reaches into the slice.
    fn current(&self) -> Result<Option<RangeTombstone>, Error> {
        let Some(start) = self.stream.under(&self.prefix) else {
            return Ok(None);
        };
        let value = bytes::Bytes::copy_from_slice(self.stream.value());
        let mut tombstone = entry::range(start, value).map_err(|error| self.stream.unreadable(error))?;
        tombstone.range = tombstone.range.intersect(&self.slice);
        Ok((!tombstone.range.is_empty()).then_some(tombstone))
    }
}

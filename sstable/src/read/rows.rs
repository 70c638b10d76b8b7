//! The rows of one partition of one source in a slice.

use starling_model::ClusteringRange;

use super::Stream;
use crate::{
    Error,
    table::key::{self, Kind},
};

/// The rows in a slice, first to last or last to first, on a stream that others use before and after.
#[derive(Debug)]
pub(super) struct Rows<'s, 'a> {
    stream: &'s mut Stream<'a>,
    /// What the keys of the partition's rows begin with.
    prefix: &'s [u8],
    slice: &'s ClusteringRange,
    reversed: bool,
    /// Whether the stream stands on a row of the slice.
    live: bool,
}

impl<'s, 'a> Rows<'s, 'a> {
    /// The rows of a slice, on the first of them. Forward, the stream must stand in the partition before or at the
    /// first row of the slice, or behind all rows that are before it.
    pub(super) fn new(
        stream: &'s mut Stream<'a>,
        prefix: &'s [u8],
        slice: &'s ClusteringRange,
        reversed: bool,
    ) -> Result<Self, Error> {
        let mut target = prefix.to_vec();
        if !reversed {
            target.extend_from_slice(&slice.start);
            if stream.key().is_some_and(|key| key < &target[..]) {
                stream.seek(&target)?;
            }
        } else if let Some(end) = &slice.end {
            target.extend_from_slice(end);
            stream.seek_before(&target)?;
        } else {
            target.pop();
            stream.seek_before(&key::after_kind(&target, Kind::Row))?;
        }
        let mut rows = Self {
            stream,
            prefix,
            slice,
            reversed,
            live: true,
        };
        rows.check();
        Ok(rows)
    }

    /// The clustering of the row it stands on; `None` behind the last.
    #[inline]
    pub(super) fn clustering(&self) -> Option<&[u8]> {
        let key = self.stream.key().filter(|_| self.live)?;
        key.get(self.prefix.len()..)
    }

    /// The row it stands on, encoded.
    #[inline]
    pub(super) fn row(&self) -> &[u8] {
        self.stream.value()
    }

    /// Goes to the next row.
    pub(super) fn advance(&mut self) -> Result<(), Error> {
        if self.reversed {
            self.stream.prev()?;
        } else {
            self.stream.next()?;
        }
        self.check();
        Ok(())
    }

    /// The error for a row that could not be read.
    pub(super) fn unreadable(&self, error: starling_model::DecodeError) -> Error {
        self.stream.unreadable(error)
    }

    /// A stream of its own, over the same source.
    pub(super) fn stream(&self) -> Stream<'a> {
        self.stream.clone()
    }

    fn check(&mut self) {
        let inside = |clustering: &[u8]| {
            if self.reversed {
                self.slice.start.is_empty() || clustering >= &self.slice.start[..]
            } else {
                self.slice.end.as_ref().is_none_or(|end| clustering < &end[..])
            }
        };
        self.live = self.live && self.stream.under(self.prefix).is_some_and(inside);
    }
}

//! The range tombstones of one partition of one source that reach into a slice.

use starling_model::{ClusteringRange, RangeTombstone};

use crate::{
    Error,
    table::{
        Cursor, entry,
        key::{self, Kind},
    },
};

/// A stream of disjoint range tombstones, clipped to a slice, first to last or last to first.
#[derive(Debug)]
pub struct Tombstones<'a>(Inner<'a>);

#[derive(Debug)]
enum Inner<'a> {
    None,
    Memory {
        rest: &'a [RangeTombstone],
        slice: ClusteringRange,
        reversed: bool,
    },
    Table(Box<TableTombstones>),
}

#[derive(Debug)]
struct TableTombstones {
    cursor: Cursor,
    /// The start of the keys of the partition's range tombstones.
    prefix: Vec<u8>,
    slice: ClusteringRange,
    reversed: bool,
    started: bool,
}

impl<'a> Tombstones<'a> {
    pub(super) fn none() -> Self {
        Self(Inner::None)
    }

    pub(super) fn memory(all: &'a [RangeTombstone], slice: &ClusteringRange, reversed: bool) -> Self {
        let first = all.partition_point(|tombstone| {
            tombstone
                .range
                .end
                .as_ref()
                .is_some_and(|end| *end <= slice.start)
        });
        let last = all
            .partition_point(|tombstone| slice.end.as_ref().is_none_or(|end| tombstone.range.start < *end));
        Self(Inner::Memory {
            rest: &all[first..last.max(first)],
            slice: slice.clone(),
            reversed,
        })
    }

    pub(super) fn table(cursor: Cursor, prefix: &[u8], slice: &ClusteringRange, reversed: bool) -> Self {
        Self(Inner::Table(Box::new(TableTombstones {
            cursor,
            prefix: key::entry(prefix, Kind::Range, &[]),
            slice: slice.clone(),
            reversed,
            started: false,
        })))
    }

    /// The next tombstone.
    #[allow(clippy::should_implement_trait, reason = "it can fail, and borrows nothing")]
    pub fn next(&mut self) -> Result<Option<RangeTombstone>, Error> {
        match &mut self.0 {
            Inner::None => Ok(None),
            Inner::Memory {
                rest,
                slice,
                reversed,
            } => {
                let split = if *reversed {
                    rest.split_last()
                } else {
                    rest.split_first()
                };
                let Some((next, others)) = split else {
                    return Ok(None);
                };
                *rest = others;
                Ok(clip(next.clone(), slice))
            }
            Inner::Table(tombstones) => tombstones.next(),
        }
    }
}

fn clip(mut tombstone: RangeTombstone, slice: &ClusteringRange) -> Option<RangeTombstone> {
    tombstone.range = tombstone.range.intersect(slice);
    (!tombstone.range.is_empty()).then_some(tombstone)
}

impl TableTombstones {
    fn next(&mut self) -> Result<Option<RangeTombstone>, Error> {
        if !self.started {
            self.started = true;
            return self.start();
        }
        let found = if self.reversed {
            self.cursor.prev()?
        } else {
            self.cursor.next()?
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
            return if self.cursor.seek_before(&target)? {
                self.current()
            } else {
                Ok(None)
            };
        }
        // The last one that starts at or before the slice may reach into it.
        target.extend_from_slice(&self.slice.start);
        target.push(0);
        if self.cursor.seek_before(&target)?
            && let Some(open) = self.current()?
        {
            return Ok(Some(open));
        }
        if self.cursor.seek(&target)? {
            self.current()
        } else {
            Ok(None)
        }
    }

    /// The tombstone under the cursor, if it is one of this partition and reaches into the slice.
    fn current(&self) -> Result<Option<RangeTombstone>, Error> {
        let start = self
            .cursor
            .key()
            .and_then(|key| key.strip_prefix(&self.prefix[..]));
        let Some(start) = start else { return Ok(None) };
        let value = self.cursor.value().unwrap_or_default();
        let tombstone =
            entry::range(start, value).map_err(|error| self.cursor.malformed(error.to_string()))?;
        Ok(clip(tombstone, &self.slice))
    }
}

//! One slice of one partition, merged over all sources, place by place.
//!
//! A *place* is a clustering at which some source has a row, or a range tombstone that starts there.
//! Places come in order, so a reader that stops after one has covered everything up to it. Forward, a
//! tombstone that is open at the start of the slice makes no place: a reader that goes on after each place
//! would meet it again right behind, and again, and never come further. (Backward, it makes one at the
//! start of the slice, where the slice ends.)
//!
//! Rows are merged as bytes. One that only one source has, and that nothing covers, is passed on where it lies.

use bytes::Bytes;
use starling_model::{
    Clustering, ClusteringRange, Deletion, RangeTombstone, TableId,
    encoding::{RowMerger, RowView},
};

use super::{Stream, name::Name, rows::Rows, states, tombstones::Tombstones};
use crate::Error;

/// One partition of some sources: what all slices of it share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Partition<'p> {
    /// The table that it is of.
    pub(super) table: TableId,
    /// Its key, and what the keys of its entries begin with.
    pub(super) name: &'p Name,
    /// What the keys of its rows begin with.
    pub(super) rows: &'p [u8],
    /// Its deletion, over all sources.
    pub(super) deletion: Option<Deletion>,
    /// Whether any source has range tombstones.
    pub(super) ranges: bool,
    /// Whether it is read last row first.
    pub(super) reversed: bool,
}

/// The merge of one slice.
pub(super) struct SliceMerge<'s, 'a> {
    inputs: Vec<Input<'s, 'a>>,
    partition: Partition<'s>,
    merger: &'s mut RowMerger,
    /// The clustering of the place.
    place: Vec<u8>,
    row: At,
    /// Every tombstone whose start was passed, in the order of the merge.
    passed: Passed,
}

/// Range tombstones that go into a page.
#[derive(Default)]
struct Passed {
    tombstones: Vec<RangeTombstone>,
    /// What they weigh that was not asked for yet, in bytes.
    bytes: usize,
}

impl Passed {
    fn push(&mut self, tombstone: RangeTombstone) {
        let end = tombstone.range.end.as_ref().map_or(0, Bytes::len);
        self.bytes += tombstone.range.start.len() + end + TOMBSTONE_BYTES;
        self.tombstones.push(tombstone);
    }
}

/// What a range tombstone weighs beside its bounds, in bytes.
const TOMBSTONE_BYTES: usize = 32;

/// Where the row of a place is.
#[derive(Debug, Clone, Copy)]
enum At {
    Nowhere,
    Input(usize),
    Merged,
}

/// One source, with the next of each of its two streams.
struct Input<'s, 'a> {
    rows: Rows<'s, 'a>,
    /// Its row belongs to the place, and is gone past with it.
    taken: bool,
    tombstones: Option<Tombstones<'a>>,
    tombstone: Option<RangeTombstone>,
    /// Forward only: the last tombstone whose start was passed, or that was open at the slice's start.
    open: Option<RangeTombstone>,
}

impl<'s, 'a> SliceMerge<'s, 'a> {
    /// The merge of a slice of a partition, on streams that stand in it.
    pub(super) fn new(
        streams: impl ExactSizeIterator<Item = &'s mut Stream<'a>>,
        partition: Partition<'s>,
        slice: &'s ClusteringRange,
        merger: &'s mut RowMerger,
    ) -> Result<Self, Error> {
        let mut inputs = Vec::with_capacity(streams.len());
        let mut passed = Passed::default();
        let reversed = partition.reversed;
        for stream in streams {
            let rows = Rows::new(stream, partition.rows, slice, reversed)?;
            let mut input = Input {
                rows,
                taken: false,
                tombstones: None,
                tombstone: None,
                open: None,
            };
            if partition.ranges {
                let mut tombstones =
                    Tombstones::new(input.rows.stream(), &partition.name.prefix, slice, reversed);
                input.tombstone = tombstones.advance()?;
                input.open = input
                    .tombstone
                    .take_if(|tombstone| !reversed && tombstone.range.start == slice.start);
                if let Some(open) = &input.open {
                    input.tombstone = tombstones.advance()?;
                    passed.push(open.clone());
                }
                input.tombstones = Some(tombstones);
            }
            inputs.push(input);
        }
        Ok(Self {
            inputs,
            partition,
            merger,
            // Never without memory: see `ClusteringRange::contains` on empty slices.
            place: Vec::with_capacity(64),
            row: At::Nowhere,
            passed,
        })
    }

    /// Whether there is another place. The row of this one is gone afterwards.
    pub(super) fn has_more(&mut self) -> Result<bool, Error> {
        self.leave()?;
        Ok(self.inputs.iter().any(|input| input.place(true).is_some()))
    }

    /// Goes to the next place. Returns how many rows and tombstones were looked at; 0 at the end of the slice.
    pub(super) fn advance(&mut self) -> Result<u32, Error> {
        self.leave()?;
        let reversed = self.partition.reversed;
        let places = self.inputs.iter().filter_map(|input| input.place(reversed));
        let place = if reversed { places.max() } else { places.min() };
        let Some(place) = place else { return Ok(0) };
        self.place.clear();
        self.place.extend_from_slice(place);
        let (mut visited, mut rows) = (0, 0);
        let mut cover = self.partition.deletion;
        for (number, input) in self.inputs.iter_mut().enumerate() {
            if input.tombstones.is_some() {
                visited += input.pass(&self.place, reversed, &mut cover, &mut self.passed)?;
            }
            if input.rows.clustering() == Some(&self.place) {
                input.taken = true;
                rows += 1;
                self.row = At::Input(number);
            }
        }
        self.merge(rows, cover)?;
        Ok(visited + rows)
    }

    /// Merges the rows of the place, unless there is one that can be passed on.
    fn merge(&mut self, rows: u32, cover: Option<Deletion>) -> Result<(), Error> {
        let At::Input(last) = self.row else { return Ok(()) };
        if rows == 1 {
            let Some(cover) = cover else { return Ok(()) };
            let input = &self.inputs[last].rows;
            let survives = RowView::new(input.row()).and_then(|row| row.survives(cover));
            if survives.map_err(|error| input.unreadable(error))? {
                return Ok(());
            }
        }
        let taken = self.inputs.iter().filter(|input| input.taken);
        let states: Vec<&[u8]> = taken.map(|input| input.rows.row()).collect();
        let unreadable = |error| self.inputs[last].rows.unreadable(error);
        let Partition { table, name, .. } = self.partition;
        let place = || (table, name.decorated());
        let merged = states::merge(self.merger, &states, cover, place, unreadable)?;
        self.row = if merged.is_some() { At::Merged } else { At::Nowhere };
        Ok(())
    }

    /// Bytes of the range tombstones that were passed since this was asked last.
    #[inline]
    pub(super) fn take_tombstone_bytes(&mut self) -> usize {
        std::mem::take(&mut self.passed.bytes)
    }

    /// The clustering of the place.
    pub(super) fn clustering(&self) -> &[u8] {
        &self.place
    }

    /// The merged row of the place, encoded, without what a tombstone covers; `None` if nothing is left, or was
    /// there.
    pub(super) fn row(&self) -> Option<&[u8]> {
        match self.row {
            At::Nowhere => None,
            At::Input(number) => Some(self.inputs[number].rows.row()),
            At::Merged => Some(self.merger.merged()),
        }
    }

    /// The error for a row that could not be read.
    pub(super) fn unreadable(&self, error: starling_model::DecodeError) -> Error {
        match self.inputs.iter().find(|input| input.taken) {
            Some(input) => input.rows.unreadable(error),
            None => Error::Invalid("a row that is not there can't be read"),
        }
    }

    /// Goes past the rows of the place.
    fn leave(&mut self) -> Result<(), Error> {
        self.row = At::Nowhere;
        for input in &mut self.inputs {
            if std::mem::take(&mut input.taken) {
                input.rows.advance()?;
            }
        }
        Ok(())
    }

    /// The range tombstones of what was covered, in order of their starts but not merged: all that were
    /// passed, clipped to the part of the slice up to `last`, the last place that was taken (`None`: all
    /// of the slice was covered).
    pub(super) fn tombstones(self, last: Option<&Clustering>) -> Vec<RangeTombstone> {
        let Partition {
            reversed, deletion, ..
        } = self.partition;
        let mut passed = self.passed.tombstones;
        if reversed {
            // Those that reach over the last place but start before it.
            let open = self.inputs.into_iter().filter_map(|input| input.tombstone);
            passed.extend(open);
        }
        if let Some(last) = last {
            let covered = covered(last, reversed);
            for tombstone in &mut passed {
                tombstone.range = tombstone.range.intersect(&covered);
            }
        }
        passed.retain(|tombstone| {
            !tombstone.range.is_empty() && deletion.is_none_or(|deletion| tombstone.deletion > deletion)
        });
        if reversed {
            passed.reverse();
        }
        passed
    }
}

impl Input<'_, '_> {
    /// The place of what comes next in this source.
    fn place(&self, reversed: bool) -> Option<&[u8]> {
        let row = self.rows.clustering();
        let tombstone = self
            .tombstone
            .as_ref()
            .map(|tombstone| &tombstone.range.start[..]);
        let (Some(row), Some(tombstone)) = (row, tombstone) else {
            return row.or(tombstone);
        };
        Some(if reversed {
            row.max(tombstone)
        } else {
            row.min(tombstone)
        })
    }

    /// Passes the tombstone that starts at a place, and adds what covers the place. Returns how many were passed.
    fn pass(
        &mut self,
        place: &[u8],
        reversed: bool,
        cover: &mut Option<Deletion>,
        passed: &mut Passed,
    ) -> Result<u32, Error> {
        // Backward, the tombstone over a row is the one whose start comes next.
        if reversed {
            *cover = Deletion::strongest(*cover, covering(self.tombstone.as_ref(), place));
        }
        let mut visited = 0;
        if let Some(tombstone) = self
            .tombstone
            .take_if(|tombstone| tombstone.range.start[..] == *place)
        {
            visited = 1;
            passed.push(tombstone.clone());
            self.open = Some(tombstone);
            self.tombstone = match &mut self.tombstones {
                Some(tombstones) => tombstones.advance()?,
                None => None,
            };
        }
        if !reversed {
            *cover = Deletion::strongest(*cover, covering(self.open.as_ref(), place));
        }
        Ok(visited)
    }
}

fn covering(tombstone: Option<&RangeTombstone>, place: &[u8]) -> Option<Deletion> {
    tombstone
        .filter(|tombstone| tombstone.range.contains(place))
        .map(|tombstone| tombstone.deletion)
}

/// What of a partition is covered once `last` was, in the direction of the read.
pub(super) fn covered(last: &Clustering, reversed: bool) -> ClusteringRange {
    if reversed {
        ClusteringRange {
            start: last.0.clone(),
            end: None,
        }
    } else {
        ClusteringRange {
            start: Bytes::new(),
            end: ClusteringRange::row(last).end,
        }
    }
}

/// What of a partition is left once `last` was covered, in the direction of the read.
pub(super) fn remaining(last: &Clustering, reversed: bool) -> ClusteringRange {
    if reversed {
        ClusteringRange {
            start: Bytes::new(),
            end: Some(last.0.clone()),
        }
    } else {
        ClusteringRange {
            start: ClusteringRange::row(last).end.unwrap_or_default(),
            end: None,
        }
    }
}

//! One slice of one partition, merged over all sources, place by place.
//!
//! A *place* is a clustering at which some source has a row, or a range tombstone that starts there.
//! Places come in order, so a reader that stops after one has covered everything up to it. Forward, a
//! tombstone that is open at the start of the slice makes no place: a reader that goes on after each place
//! would meet it again right behind, and again, and never come further. (Backward, it makes one at the
//! start of the slice, where the slice ends.)

use bytes::Bytes;
use starling_model::{Clustering, ClusteringRange, Deletion, RangeTombstone, Row};

use super::{Part, rows::Rows, tombstones::Tombstones};
use crate::Error;

/// What all sources have at one place.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// The clustering.
    pub clustering: Clustering,
    /// The merged row, without what a tombstone covers; `None` if nothing is left, or was there.
    pub row: Option<Row>,
    /// How many rows and tombstones were looked at.
    pub visited: u32,
}

/// The merge of one slice.
#[derive(Debug)]
pub struct SliceMerge<'a> {
    inputs: Vec<Input<'a>>,
    /// The partition's deletion.
    deletion: Option<Deletion>,
    reversed: bool,
    /// Every tombstone whose start was passed, in the order of the merge.
    passed: Vec<RangeTombstone>,
    keep_passed: bool,
}

/// One source, with the next of each of its two streams.
#[derive(Debug)]
struct Input<'a> {
    rows: Rows<'a>,
    row: Option<(Clustering, Row)>,
    tombstones: Tombstones<'a>,
    tombstone: Option<RangeTombstone>,
    /// Forward only: the last tombstone whose start was passed, or that was open at the slice's start.
    open: Option<RangeTombstone>,
}

impl<'a> SliceMerge<'a> {
    /// The merge of a slice of a partition that has `deletion` in all. `keep_tombstones`: the reader wants
    /// [`tombstones`](Self::tombstones) afterwards.
    pub fn new(
        parts: &[Part<'a>],
        deletion: Option<Deletion>,
        slice: &ClusteringRange,
        reversed: bool,
        keep_tombstones: bool,
    ) -> Result<Self, Error> {
        let mut inputs = Vec::with_capacity(parts.len());
        let mut passed = Vec::new();
        for part in parts {
            let mut rows = part.rows(slice, reversed);
            let mut tombstones = part.tombstones(slice, reversed);
            let mut tombstone = tombstones.next()?;
            let open = tombstone.take_if(|tombstone| !reversed && tombstone.range.start == slice.start);
            if let Some(open) = &open {
                tombstone = tombstones.next()?;
                passed.extend(keep_tombstones.then(|| open.clone()));
            }
            inputs.push(Input {
                row: rows.next()?,
                rows,
                tombstone,
                tombstones,
                open,
            });
        }
        Ok(Self {
            inputs,
            deletion,
            reversed,
            passed,
            keep_passed: keep_tombstones,
        })
    }

    /// Whether there is another place.
    pub fn has_more(&self) -> bool {
        self.inputs
            .iter()
            .any(|input| input.row.is_some() || input.tombstone.is_some())
    }

    /// The next place; `None` at the end of the slice.
    pub fn next_place(&mut self) -> Result<Option<Place>, Error> {
        let places = self.inputs.iter().filter_map(|input| input.place(self.reversed));
        let place = if self.reversed { places.max() } else { places.min() };
        let Some(place) = place else { return Ok(None) };
        let place = Clustering(place);
        let mut merged: Option<Row> = None;
        let mut cover = self.deletion;
        let mut visited = 0;
        for input in &mut self.inputs {
            // Backward, the tombstone over a row is the one whose start comes next.
            if self.reversed {
                cover = Deletion::strongest(cover, covering(input.tombstone.as_ref(), &place));
            }
            if let Some(tombstone) = input
                .tombstone
                .take_if(|tombstone| tombstone.range.start == place.0)
            {
                visited += 1;
                if self.keep_passed {
                    self.passed.push(tombstone.clone());
                }
                input.open = Some(tombstone);
                input.tombstone = input.tombstones.next()?;
            }
            if !self.reversed {
                cover = Deletion::strongest(cover, covering(input.open.as_ref(), &place));
            }
            if let Some((_, row)) = input.row.take_if(|(clustering, _)| *clustering == place) {
                visited += 1;
                match &mut merged {
                    Some(merged) => merged.merge(row),
                    None => merged = Some(row),
                }
                input.row = input.rows.next()?;
            }
        }
        if let (Some(row), Some(cover)) = (&mut merged, cover) {
            row.cover(cover);
        }
        Ok(Some(Place {
            clustering: place,
            row: merged.filter(|row| !row.is_empty()),
            visited,
        }))
    }

    /// The range tombstones of what was covered, in order of their starts but not merged: all that were
    /// passed, clipped to the part of the slice up to `last`, the last place that was taken (`None`: all
    /// of the slice was covered).
    pub fn tombstones(mut self, last: Option<&Clustering>) -> Vec<RangeTombstone> {
        if self.reversed {
            // Those that reach over the last place but start before it.
            let open = self.inputs.into_iter().filter_map(|input| input.tombstone);
            self.passed.extend(open);
        }
        if let Some(last) = last {
            let covered = covered(last, self.reversed);
            for tombstone in &mut self.passed {
                tombstone.range = tombstone.range.intersect(&covered);
            }
        }
        self.passed.retain(|tombstone| {
            !tombstone.range.is_empty() && self.deletion.is_none_or(|deletion| tombstone.deletion > deletion)
        });
        if self.reversed {
            self.passed.reverse();
        }
        self.passed
    }
}

impl Input<'_> {
    /// The place of what comes next in this source.
    fn place(&self, reversed: bool) -> Option<Bytes> {
        let row = self.row.as_ref().map(|(clustering, _)| &clustering.0);
        let tombstone = self.tombstone.as_ref().map(|tombstone| &tombstone.range.start);
        let (Some(row), Some(tombstone)) = (row, tombstone) else {
            return row.or(tombstone).cloned();
        };
        Some(if reversed {
            row.max(tombstone).clone()
        } else {
            row.min(tombstone).clone()
        })
    }
}

fn covering(tombstone: Option<&RangeTombstone>, place: &Clustering) -> Option<Deletion> {
    tombstone
        .filter(|tombstone| tombstone.range.contains(&place.0))
        .map(|tombstone| tombstone.deletion)
}

/// What of a partition is covered once `last` was, in the direction of the read.
pub fn covered(last: &Clustering, reversed: bool) -> ClusteringRange {
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
pub fn remaining(last: &Clustering, reversed: bool) -> ClusteringRange {
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

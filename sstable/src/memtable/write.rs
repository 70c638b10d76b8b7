//! A write that was looked at and found good, before it goes into the log and a memtable.

use bytes::Bytes;
use starling_model::{
    DecodeError, Mutation, Partition, Timestamp,
    encoding::{MutationView, RowEntry},
};

use super::facts::Facts;

/// An encoded mutation whose content was checked.
#[derive(Debug)]
pub struct Write<'a> {
    pub(super) view: MutationView<'a>,
    pub(super) content: Content<'a>,
    pub(super) facts: Facts,
    longest: usize,
}

/// What a mutation writes.
#[derive(Debug)]
pub(super) enum Content<'a> {
    /// One row and nothing else: by far the most.
    Row(RowEntry<'a>),
    /// Anything.
    Any(Partition),
}

impl<'a> Write<'a> {
    /// Checks an encoded mutation. One row is checked where it is; more is decoded.
    pub fn check(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let view = MutationView::new(bytes)?;
        if let Some(mut rows) = view.rows()?
            && rows.left() == 1
            && let Some(entry) = rows.next()?
        {
            rows.next()?;
            let mut facts = Facts::default();
            facts.row(&entry.row)?;
            return Ok(Self {
                view,
                longest: entry.clustering.len(),
                content: Content::Row(entry),
                facts,
            });
        }
        let partition = Mutation::decode(Bytes::copy_from_slice(bytes))?.partition;
        let rows = partition.rows.keys().map(|clustering| clustering.0.len());
        // A bound may be one byte longer than a clustering: the place right after it.
        let bounds = partition.ranges.iter().map(|tombstone| {
            let end = tombstone.range.end.as_ref().map_or(0, Bytes::len);
            tombstone.range.start.len().max(end).saturating_sub(1)
        });
        Ok(Self {
            view,
            longest: rows.chain(bounds).max().unwrap_or(0),
            facts: Facts::of(&partition),
            content: Content::Any(partition),
        })
    }

    /// The mutation.
    pub fn mutation(&self) -> &MutationView<'a> {
        &self.view
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        matches!(&self.content, Content::Any(partition) if partition.is_empty())
    }

    /// The longest clustering in it, in bytes.
    pub fn longest_clustering(&self) -> usize {
        self.longest
    }

    /// The oldest timestamp in it; `None` if it is empty.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.facts.timestamps.map(|(oldest, _)| oldest)
    }
}

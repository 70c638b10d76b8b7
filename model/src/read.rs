//! What a replica is asked for, and what it answers.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    encoding::{DecodeError, Reader},
    ids::TableId,
    key::{Clustering, ClusteringRange, DecoratedKey},
    partition::Partition,
    time::Seconds,
    token::TokenRange,
};

/// Which partitions a read covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyRange {
    /// One partition.
    Partition(DecoratedKey),
    /// All partitions on an arc of the ring that does not wrap, in token order.
    Tokens(TokenRange),
}

/// How far a read has come: everything up to and including this has been returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The last partition that was touched.
    pub key: DecoratedKey,
    /// The last row of it that was covered, in the read's direction; `None`: the partition is complete.
    pub clustering: Option<Clustering>,
    /// How many live rows of that partition have been returned so far (for `rows_per_partition`).
    pub rows: u32,
}

/// Where a page ends at the latest. Every limit is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Live rows in the page. A partition with only static columns counts as one row.
    pub rows: u32,
    /// Live rows of each partition, over all pages (PER PARTITION LIMIT). The rest of it is skipped.
    pub rows_per_partition: u32,
    /// Bytes of content ([`Partition::weight`]), live and dead. Checked after each row: a page holds at least one.
    pub bytes: u32,
    /// Rows and tombstones visited, live or dead: bounds the work for one page over deleted data.
    pub visited: u32,
}

impl Limits {
    /// No limit on rows; 8 MiB and 100,000 visited rows a page.
    pub const NONE: Self = Self {
        rows: u32::MAX,
        rows_per_partition: u32::MAX,
        bytes: 8 << 20,
        visited: 100_000,
    };
}

/// A read of one replica: some partitions, some clustering ranges of each, one page of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadCommand {
    /// The table.
    pub table: TableId,
    /// Which partitions.
    pub keys: KeyRange,
    /// Which rows of each: ordered, disjoint, none empty. No slices: only the static row is wanted.
    pub slices: Vec<ClusteringRange>,
    /// Rows of each partition come last first. Partitions come in token order all the same.
    pub reversed: bool,
    /// Go on after this; `None`: from the start.
    pub after: Option<Position>,
    /// Where the page ends.
    pub limits: Limits,
    /// The coordinator's time, so that all replicas agree on what has expired.
    pub now: Seconds,
}

/// One partition of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPage {
    /// Which.
    pub key: DecoratedKey,
    /// Its content within the slices, **with** its tombstones and expired cells, so that replicas can
    /// be merged: the deletion, the static row, range tombstones clipped to what was covered, rows.
    /// Tombstones and the static row come with every page that touches the partition.
    pub partition: Partition,
    /// The last clustering that was covered where `rows_per_partition` or the page's end cut it short;
    /// `None`: the slices were covered to their end.
    pub cut: Option<Clustering>,
}

/// A replica's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// In token order, none empty.
    pub partitions: Vec<PartitionPage>,
    /// Where to go on; `None`: the range is exhausted. May be set with no partitions at all, after many
    /// tombstones.
    pub next: Option<Position>,
}

/// A [`PartitionPage`] whose content is encoded. Both have the same form as a part of a serde value, so one can
/// be sent and the other received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedPartition {
    /// Which.
    pub key: DecoratedKey,
    /// The content, in the layout of [`crate::encoding`].
    pub partition: Bytes,
    /// See [`PartitionPage::cut`].
    pub cut: Option<Clustering>,
}

/// A [`Page`] whose partitions are encoded: what a replica sends on without looking at it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedPage {
    /// In token order, none empty.
    pub partitions: Vec<EncodedPartition>,
    /// See [`Page::next`].
    pub next: Option<Position>,
}

impl EncodedPage {
    /// The same page, decoded. Values share the page's memory.
    pub fn decode(self) -> Result<Page, DecodeError> {
        let decoded = self.partitions.into_iter().map(|page| {
            let mut input = Reader::new(page.partition);
            let partition = input.partition()?;
            input.end()?;
            Ok(PartitionPage {
                key: page.key,
                partition,
                cut: page.cut,
            })
        });
        Ok(Page {
            partitions: decoded.collect::<Result<_, DecodeError>>()?,
            next: self.next,
        })
    }
}

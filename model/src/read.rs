//! What a replica is asked for. What it answers is a [`page`](crate::page).

use serde::{Deserialize, Serialize};

use crate::{
    ids::TableId,
    key::{Clustering, ClusteringRange, DecoratedKey},
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
    /// Bytes of content ([`Partition::weight`](crate::Partition::weight)), live and dead. Checked after each row: a page holds at least one.
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

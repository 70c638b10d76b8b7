//! Keys that order as bytes.

use std::cmp::Ordering;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::token::Token;

/// The longest partition key, in bytes (Cassandra's limit too).
pub const MAX_PARTITION_KEY_BYTES: usize = 65_535;

/// The longest encoded clustering key, in bytes.
pub const MAX_CLUSTERING_BYTES: usize = 65_535;

/// A partition key with its place on the ring. Orders by token, then by the key's bytes.
///
/// The key holds the bytes that CQL drivers hash: the value of a single-column partition key, or, of a
/// composite one, for each component a 2-byte length, the value, and a zero byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DecoratedKey {
    /// Where the partition lies, by the cluster's partitioner.
    pub token: Token,
    /// The serialized partition key, at most [`MAX_PARTITION_KEY_BYTES`] long.
    pub key: Bytes,
}

/// A row's clustering key in its byte-comparable form: `memcmp` orders rows as the table's CLUSTERING
/// ORDER does (`crate::ordered` has the layout). Empty for a table without clustering columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Clustering(pub Bytes);

impl Clustering {
    /// The clustering of the only row in a partition of a table without clustering columns.
    pub const EMPTY: Self = Self(Bytes::new());
}

impl From<Vec<u8>> for Clustering {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// Sorts after every clustering that begins with the same prefix: no encoded component begins with it.
const AFTER_PREFIX: u8 = 0xFF;

/// The rows `start <= clustering < end`, by bytes. Without `end`, to the end of the partition.
///
/// Every slice that CQL can express on clustering columns of one direction is one such interval (of mixed
/// directions: a few), because a component's
/// encoding never begins with `0xFF`: all rows with prefix `p` lie in `[p, p ++ FF)`. So `> p` begins at
/// `p ++ FF` and `<= p` ends there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusteringRange {
    /// Inclusive.
    pub start: Bytes,
    /// Exclusive; `None` is the end of the partition.
    pub end: Option<Bytes>,
}

impl ClusteringRange {
    /// All rows of a partition.
    pub const ALL: Self = Self {
        start: Bytes::new(),
        end: None,
    };

    /// The rows whose clustering begins with the components encoded in `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        if prefix.is_empty() {
            return Self::ALL;
        }
        Self {
            start: Bytes::copy_from_slice(prefix),
            end: Some(after_prefix(prefix)),
        }
    }

    /// The one row with exactly this clustering.
    pub fn row(clustering: &Clustering) -> Self {
        let mut end = Vec::with_capacity(clustering.0.len() + 1);
        end.extend_from_slice(&clustering.0);
        end.push(0);
        Self {
            start: clustering.0.clone(),
            end: Some(end.into()),
        }
    }

    /// Whether a row lies in the range.
    pub fn contains(&self, clustering: &[u8]) -> bool {
        // Comparing with an empty slice, which points to no memory, can be slow beyond all proportion.
        (self.start.is_empty() || clustering >= &self.start[..])
            && self.end.as_ref().is_none_or(|end| clustering < &end[..])
    }

    /// Whether no row can lie in the range.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// The rows in both ranges; may be [empty](Self::is_empty).
    pub fn intersect(&self, other: &Self) -> Self {
        let start = self.start.clone().max(other.start.clone());
        let end = match (&self.end, &other.end) {
            (Some(a), Some(b)) => Some(a.clone().min(b.clone())),
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        Self { start, end }
    }
}

/// The first byte string that sorts after every clustering that begins with `prefix`.
pub fn after_prefix(prefix: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(prefix.len() + 1);
    bytes.extend_from_slice(prefix);
    bytes.push(AFTER_PREFIX);
    bytes.into()
}

/// Compares two exclusive range ends, where `None` is the end of the partition.
pub fn compare_ends(a: Option<&Bytes>, b: Option<&Bytes>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => a.cmp(b),
    }
}

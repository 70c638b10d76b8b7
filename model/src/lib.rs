//! The vocabulary of Starling: time, keys, cells, rows, partitions, and the law by which they merge.
//!
//! Everything that a replica stores, sends or compares is made of the types here. The crate does no
//! I/O, reads no clock and draws no random number.
//!
//! The chapters:
//! - [`time`]: timestamps in microseconds, expiry in seconds, and the hybrid logical clock;
//! - [`token`], [`token_set`] and [`key`]: where a partition lies on the ring, and how keys order as bytes;
//! - [`cell`], [`row`], [`partition`]: the data, its tombstones, and the merge law;
//! - [`mutation`]: what a write is, and its byte layout;
//! - [`read`]: what a replica is asked for; [`page`]: what it answers, decoded or as bytes;
//! - [`consistency`]: the levels of the field, from ANY to ALL.

#![forbid(unsafe_code)]

pub mod cell;
pub mod consistency;
pub mod encoding;
pub mod ids;
pub mod key;
pub mod mutation;
pub mod ordered;
pub mod page;
pub mod partition;
pub mod range_tombstone;
pub mod read;
pub mod row;
mod stamp;
pub mod time;
pub mod token;
pub mod token_set;

pub use cell::{Cell, CellPath, CellValue, Expiry, ValueRef};
pub use consistency::Consistency;
pub use encoding::DecodeError;
pub use ids::{ColumnId, NodeId, TableId};
pub use key::{Clustering, ClusteringRange, DecoratedKey};
pub use mutation::{EncodedMutation, Mutation};
pub use page::{EncodedPage, Page, PageWriter, PartitionPage};
pub use partition::Partition;
pub use range_tombstone::{RangeTombstone, RangeTombstones};
pub use read::{KeyRange, Limits, Position, ReadCommand};
pub use row::{Marker, Row};
pub use time::{Deletion, HybridClock, Seconds, Timestamp};
pub use token::{Token, TokenRange};
pub use token_set::TokenSet;

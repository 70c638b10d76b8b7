//! Reading: memtables and tables merged by the model's law, in bounded pieces.
//!
//! - [`source`]: a memtable or a table, and one partition in it;
//! - [`rows`] and [`tombstones`]: what of a partition lies in a slice, one after the other, either way;
//! - [`merge`]: one slice of one partition, over all sources;
//! - [`point`]: one row;
//! - [`page`]: a whole [`ReadCommand`](starling_model::ReadCommand), with its limits and its exact coverage.
//!
//! Flush and compaction read through the same sources and the same merge.

pub mod merge;
pub mod page;
pub mod point;
pub mod rows;
pub mod source;
pub mod tombstones;

pub use page::{Answer, execute};
pub use point::{Point, PointReader};
pub use source::{Part, Source};

#[cfg(test)]
mod tests;

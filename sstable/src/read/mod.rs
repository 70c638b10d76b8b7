//! Reading: memtables and tables merged by the model's law, in bounded pieces, without decoding a row.
//!
//! - [`stream`]: the entries of a memtable or a table; [`source`]: one partition in it;
//! - `rows` and `tombstones`: what of a partition lies in a slice, one after the other, either way;
//! - `merge`: one slice of one partition, over all sources;
//! - `states`: how much of one row is merged;
//! - `lanes`: all sources of a scan or a compaction, as one;
//! - [`page`]: a whole [`ReadCommand`](starling_model::ReadCommand), with its limits and its exact coverage, put
//!   together by `assembly`; `scan`: one of a range of tokens;
//! - [`point`]: one row;
//! - [`deadline`]: how long a read may take.

mod assembly;
pub mod deadline;
pub(crate) mod lanes;
mod merge;
mod name;
pub mod page;
pub mod point;
mod rows;
mod scan;
pub mod source;
mod states;
pub mod stream;
mod tombstones;

pub use deadline::{Deadline, Never};
pub use page::{Answer, execute};
pub use point::{Point, PointReader};
pub use source::Source;
pub use stream::Stream;

use source::Head;

#[cfg(test)]
mod tests;

//! Merging tables: which ones (the pickers, pure), and how (the worker, in bounded steps).
//!
//! - [`strategy`]: what an operator chooses; [`unified`] and [`window`]: the strategies; [`expired`]: tables that
//!   go without being read; [`tombstones`]: those worth a merge for what they forget; [`slices`]: how results are cut by token; [`space`]: what fits on the disk, [`rows`]: in an entry;
//! - [`pace`]: how fast it may go;
//! - [`worker`]: the merge, a flush being one whose inputs are memtables; [`purge`]: what it may forget; `copy`: the way of
//!   one input of which nothing is forgotten.

mod behind;
pub mod candidate;
mod copy;
pub mod expired;
mod input;
pub mod pace;
mod pass;
pub mod purge;
mod ranges;
pub mod rows;
pub mod slices;
pub mod space;
pub mod strategy;
pub mod tombstones;
pub mod unified;
pub mod window;
pub mod worker;

pub use candidate::{Candidate, Pick};
pub use pace::{Pace, PaceLimits};
pub use purge::{PurgePolicy, Repaired};
pub use slices::Slices;
pub use space::{Promises, Room};
pub use strategy::{Scaling, Strategy};

#[cfg(test)]
mod tests;

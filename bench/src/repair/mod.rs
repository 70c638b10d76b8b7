//! What it costs to make replicas equal, by the number of differences: on three real nodes, with real bytes.
//!
//! - `nodes`: three nodes without hints that are repaired on demand alone, and how one of them misses writes;
//! - `table`: the rows;
//! - `ask`: the nodes' admin pages;
//! - `report` and `chart`: tables and a picture;
//! - [`command`]: `starling-bench repair`.

mod ask;
mod chart;
pub mod command;
pub(crate) mod nodes;
mod report;
pub(crate) mod table;

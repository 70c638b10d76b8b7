//! The commands: `run`, `compare`, `report`, `workloads`.
//!
//! - [`arguments`]: what they are told; [`target`]: the servers;
//! - [`session`]: one run, from the schema to the verdict; [`measurement`]: its measured part;
//! - [`compare`]: two targets, interleaved; [`report`]: results as a page.

pub mod arguments;
pub mod compare;
pub mod measurement;
pub mod report;
pub mod session;
pub mod summary;
pub mod target;

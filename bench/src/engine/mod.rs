//! The storage engine beside the engines that people would pick instead.
//!
//! All stores get the same rows, budgets and durability, and run interleaved, each run in a process of its own, so
//! that CPU, memory and writes are counted for one store alone.
//!
//! - [`rows`]: keys and values;
//! - [`session`]: what a store must be able to do, and what is equal for all;
//! - [`starling`], `rocksdb`, `fjall`: the stores, the latter two with the feature `peers`;
//! - [`run`]: the phases of one run of one store;
//! - [`compare`]: all runs of all stores, and the medians;
//! - [`chart`]: the same as a picture;
//! - [`usage`], [`disk`], [`timeline`]: what is measured beside the time.

pub mod chart;
pub mod command;
pub mod compare;
pub mod disk;
pub mod error;
#[cfg(feature = "peers")]
pub mod fjall;
#[cfg(feature = "peers")]
pub mod rocksdb;
pub mod rows;
pub mod run;
pub mod session;
pub mod starling;
pub mod timeline;
pub mod usage;

#[cfg(test)]
mod tests;

//! A small deterministic cluster for this crate's tests: virtual time, one thread, a network with faults, and
//! storage that is a map merged by the model's law.

mod cluster;
mod executor;
mod held_exports;
mod map_store;
mod world;

pub(crate) use cluster::{TestCluster, address, clustering, insert, key, row_of, rows_of, whole_partition};
pub(crate) use executor::Executor;
pub(crate) use map_store::MapStore;
pub(crate) use world::{Link, TestEnv, World};

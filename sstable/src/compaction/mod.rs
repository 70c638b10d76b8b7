//! Merging tables: which ones ([`picker`], pure), and how ([`worker`], in bounded steps).
//!
//! A flush is the same work with a memtable as its only input, and nothing to purge.

pub mod picker;
pub mod purge;
pub mod worker;

pub use purge::PurgePolicy;

#[cfg(test)]
mod tests;

//! Which files are alive.
//!
//! - [`manifest`]: the list on disk, replaced as a whole, atomically;
//! - [`tables`]: the tables of one table id, and which of them jobs are working on.

pub mod manifest;
pub mod tables;

pub use manifest::Manifest;
pub use tables::Tables;

#[cfg(test)]
mod tests;

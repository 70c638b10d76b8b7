//! Which files are alive.
//!
//! - [`manifest`]: the list on disk, replaced as a whole, atomically;
//! - [`tables`]: the tables of one table id, and which of them jobs are working on;
//! - [`quarantine`]: what of them was found damaged.

pub mod manifest;
pub mod quarantine;
pub mod tables;

pub use manifest::Manifest;
pub use quarantine::Damage;
pub use tables::Tables;

#[cfg(test)]
mod tests;

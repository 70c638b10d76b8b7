//! A cluster of the harness's own, on loopback addresses, and what can be done to it.
//!
//! - [`cluster`]: its processes; `status`: when they are ready;
//! - [`fault`]: `--fault`, its grammar; [`execution`]: carrying it out.

pub mod cluster;
pub mod execution;
pub mod fault;
mod status;

#[cfg(test)]
mod tests;

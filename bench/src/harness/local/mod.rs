//! A cluster of the harness's own, on loopback addresses, and what can be done to it.
//!
//! - [`cluster`]: its processes; `status`: when they are ready; `relay`: what can be cut between them;
//! - [`fault`]: `--fault`, its grammar; [`execution`]: carrying it out.

pub mod cluster;
pub mod execution;
pub mod fault;
mod relay;
mod status;

#[cfg(test)]
mod tests;

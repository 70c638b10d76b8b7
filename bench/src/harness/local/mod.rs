//! A cluster of the harness's own, on loopback addresses, and what can be done to it.
//!
//! - [`cluster`]: its processes; [`status`]: what they say of themselves; `relay`: what can be cut between them;
//! - [`binary`]: which build they are of;
//! - [`waiting_hints`]: what they keep for one another;
//! - [`fault`]: `--fault`, its grammar; [`execution`]: carrying it out; `limited`: commands that must end in time.

pub mod binary;
pub mod cluster;
pub mod execution;
pub mod fault;
mod limited;
mod relay;
pub mod status;
pub mod waiting_hints;

#[cfg(test)]
mod tests;

//! Driving servers.
//!
//! - [`pace`]: when operations begin: closed, or open at a constant rate; [`alarm`]: waking then;
//! - [`lane`]: one connection's share, whatever the protocol; [`answer`]: what comes back;
//! - [`cql`], [`quic`]: the protocols;
//! - [`plan`]: everything that a load-generating process must know;
//! - [`generator`]: the lanes of one process;
//! - [`part`]: such a process beside others.

pub mod alarm;
pub mod answer;
pub mod cql;
pub mod generator;
pub mod lane;
pub mod pace;
pub mod part;
pub mod plan;
pub mod quic;

#[cfg(test)]
mod tests;

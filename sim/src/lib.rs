//! A whole cluster in one deterministic process: virtual time, network and disks, faults, and checkers.

#![forbid(unsafe_code)]

pub mod disk;
pub mod executor;
pub mod network;
pub mod random;
pub mod trace;

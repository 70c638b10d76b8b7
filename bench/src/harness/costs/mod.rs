//! What a read and a write cost the servers, and where (`starling-bench costs`).
//!
//! - [`command`]: clusters and runs; [`order`]: what comes when; [`drive`]: one run;
//! - [`echo`]: what the transports take by themselves;
//! - [`threads`]: CPU and switches by kind of thread; [`syscalls`]: system calls; [`profile`]: where the CPU goes; [`messages`]: what
//!   servers say to one another;
//! - [`memory`]: what a node may hold;
//! - [`table`]: all of it for people.

pub mod command;
pub mod drive;
pub mod echo;
pub mod memory;
pub mod messages;
pub mod order;
pub mod profile;
pub mod syscalls;
pub mod table;
pub mod threads;

#[cfg(test)]
mod tests;

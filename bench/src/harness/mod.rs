//! Any workload, against any server that speaks CQL or our QUIC protocol, with evidence.
//!
//! - [`workload`]: what is done;
//! - [`drive`]: how it gets to the servers;
//! - [`evidence`]: what is measured;
//! - [`local`]: clusters of our own, and faults in them;
//! - [`verify`]: whether what the servers acknowledged is true;
//! - [`report`]: results as a page;
//! - [`costs`]: what a read and a write cost, and where;
//! - [`command`]: all of it from the command line.

pub mod command;
pub mod costs;
pub mod drive;
pub mod evidence;
pub mod local;
pub mod report;
pub mod verify;
pub mod workload;

//! Starling's benchmark harness: of clusters, and of the storage engine alone ([`engine`]).
//!
//! For clusters it starts real server processes on this machine, drives them through the CQL native protocol with a
//! closed loop of prepared statements, and reports throughput, latency and what the servers spent.
//!
//! - [`cluster`]: server processes, and what they cost (time to ready, memory, CPU);
//! - [`connection`]: one pipelined CQL connection;
//! - [`workload`]: the table, the statements and the keys;
//! - [`load`]: the closed loop and its measurements;
//! - [`report`]: tables for people, JSON for programs;
//! - [`bootstrap`]: how fast a new node gets its data;
//! - [`repair`]: what it costs to make replicas equal;
//! - [`abandon`]: what is spent on clients that have gone;
//! - [`engine`]: the storage engine beside RocksDB and fjall;
//! - [`harness`]: any workload, against any server, with evidence;
//! - [`study`]: single questions about it;
//! - [`scratch`]: where all of them write.

#![forbid(unsafe_code)]

pub mod abandon;
pub mod bootstrap;
pub mod cluster;
pub mod connection;
pub mod engine;
pub mod error;
pub mod harness;
pub mod load;
pub mod repair;
pub mod report;
pub mod scratch;
pub mod study;
pub mod workload;

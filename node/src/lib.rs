//! The shell around Starling's core: a node's threads, sockets, files and commands.
//!
//! The core crates decide; this crate carries out. [`run`] puts a node together: [`store`] (shards, group
//! commit, background work), [`transport`] and [`tls`] (QUIC between nodes), [`env`](mod@env) (the core's outside),
//! [`cql_server`] and [`native_server`] (clients), [`admin`] (operators),
//! [`snapshots`] (copies of a node's tables), [`restore`]. [`cli`] has the commands, [`demo`]
//! a cluster on this machine.

#![forbid(unsafe_code)]

pub mod admin;
pub mod cli;
pub mod config;
pub mod cql_server;
pub mod data_dir;
pub mod demo;
pub mod env;
pub mod failure;
mod maps;
pub mod native_server;
mod open_files;
pub mod restore;
pub mod run;
mod seeds;
pub mod snapshots;
pub mod store;
pub mod tls;
pub mod transport;
mod weight;

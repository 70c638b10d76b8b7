//! What the commands are told.

use std::{path::PathBuf, time::Duration};

use super::super::local::fault::duration;

/// Requests in flight of a closed load, unless said otherwise.
const IN_FLIGHT: u32 = 64;

/// Of an open load: enough that a server which stands still for a moment does not keep operations from beginning.
const IN_FLIGHT_OPEN: u32 = 4096;

/// How a workload is driven; the same for `run` and `compare`.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadArguments {
    /// A workload: one of `starling-bench workloads`, or a TOML file
    pub workload: String,
    /// The server's binary, for clusters of our own [default: `starling` beside this program]
    #[arg(long)]
    pub server: Option<PathBuf>,
    /// Nodes of a cluster of our own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub nodes: u32,
    /// An argument for each node of a cluster of our own, as in --node-argument=--memtable-mib=64; may be repeated
    #[arg(long, allow_hyphen_values = true)]
    pub node_argument: Vec<String>,
    /// Replicas of each row. Must be said for servers that are not of our own, unless --no-load
    /// [default: 3, or the number of nodes of our own if that is less]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub replication_factor: Option<u32>,
    /// Requests in flight, at most; of an open load what does not find room waits [default: 64, with --rate 4096]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub in_flight: Option<u32>,
    /// Connections (CQL) or sessions (QUIC) that they are spread over
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Operations a second that arrive, whatever the server does (open load), 0.001 to 10 million; without it, as many as
    /// are answered (closed)
    #[arg(long)]
    pub rate: Option<f64>,
    /// Before the measurement
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub warm_up: Duration,
    /// How long is measured
    #[arg(long, default_value = "30s", value_parser = duration, conflicts_with = "operations")]
    pub duration: Duration,
    /// How many operations are done, instead of for how long; there is no warm-up then
    #[arg(long)]
    pub operations: Option<u64>,
    /// Load-generating processes; each can use one core
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub processes: u32,
    /// Records, instead of the workload's number
    #[arg(long)]
    pub records: Option<u64>,
    /// The level of all statements, instead of the workload's
    #[arg(long)]
    pub consistency: Option<String>,
    /// Of all chance: the same operations for the same seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A statement is given up after this
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub timeout: Duration,
    /// The tables are there and loaded: neither make nor fill them
    #[arg(long)]
    pub no_load: bool,
    /// What is done to the nodes of a cluster of our own, and when: kill:node2@30s,restart@60s. Also pause, resume,
    /// partition, heal, join and decommission. Times count from the end of the warm-up. An entry without a node means the one
    /// that was named last before it, or node2 (node1 if it is alone); decommission, and what comes after a join, must name theirs
    #[arg(long)]
    pub fault: Option<String>,
    /// Check that nothing that was acknowledged is lost, that reads never go back, and that histories are linearizable
    #[arg(long)]
    pub verify: bool,
    /// Sync four kilobytes of a file beside the data of a cluster of our own, twenty times a second: the worst of each second
    /// tells the disk's part in a slow one. Before the load and after it, for two seconds each, how many such syncs the disk
    /// makes back to back
    #[arg(long)]
    pub probe_disk: bool,
    /// Between the loading and the warm-up, wait until the servers have nothing left to flush and compact, three minutes at most,
    /// and read every record once as the workload's operations do, if they read. For figures that are held against the number of
    /// records
    #[arg(long)]
    pub settle: bool,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
}

impl LoadArguments {
    /// Requests in flight, at most.
    pub fn in_flight(&self) -> u32 {
        let usual = if self.rate.is_some() {
            IN_FLIGHT_OPEN
        } else {
            IN_FLIGHT
        };
        self.in_flight.unwrap_or(usual)
    }
}

/// Servers that are not of our own, on this machine: what they spend can be measured.
#[derive(Debug, Clone, Default)]
pub struct Neighbours {
    /// Their process ids.
    pub processes: Vec<u32>,
    /// Their data directories.
    pub directories: Vec<PathBuf>,
}

/// Drives one workload against one target and tells what it cost.
#[derive(Debug, clap::Args)]
pub struct RunArguments {
    #[command(flatten)]
    /// How it is driven.
    pub load: LoadArguments,
    /// The servers: cql:HOST:PORT[,...], quic:HOST:PORT[,...], or own-cql, own-quic for a cluster of our own
    #[arg(long, default_value = "own-cql")]
    pub target: String,
    /// A server's process id, to measure servers of this machine that are not of our own; may be repeated
    #[arg(long)]
    pub pid: Vec<u32>,
    /// A server's data directory, likewise; may be repeated
    #[arg(long)]
    pub data_dir: Vec<PathBuf>,
    /// What the result is called in reports; results with the same label and settings are repetitions [default: the target]
    #[arg(long)]
    pub label: Option<String>,
    /// Write the result to this file
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Drives one workload against two targets in turn, so that what changes on the machine hits both alike.
#[derive(Debug, clap::Args)]
pub struct CompareArguments {
    #[command(flatten)]
    /// How it is driven.
    pub load: LoadArguments,
    /// The first target: LABEL=TARGET, as for `run`; own-cql:BINARY and own-quic:BINARY choose the server's binary
    #[arg(long, value_name = "LABEL=TARGET")]
    pub a: String,
    /// The second target
    #[arg(long, value_name = "LABEL=TARGET")]
    pub b: String,
    /// The process id of a server of the first target, if it runs on this machine and is not of our own; may be repeated
    #[arg(long)]
    pub pid_a: Vec<u32>,
    /// The same of the second target
    #[arg(long)]
    pub pid_b: Vec<u32>,
    /// The data directory of a server of the first target, likewise; may be repeated
    #[arg(long)]
    pub data_dir_a: Vec<PathBuf>,
    /// The same of the second target
    #[arg(long)]
    pub data_dir_b: Vec<PathBuf>,
    /// How often each is run
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// Where the results go, as JSON
    #[arg(long, default_value = "bench-results")]
    pub results: PathBuf,
    /// Where the page goes
    #[arg(short, long, default_value = "report.html")]
    pub output: PathBuf,
}

/// Makes one page of results: plots, and ratios with their confidence.
#[derive(Debug, clap::Args)]
pub struct ReportArguments {
    /// Results of `run` or `compare`; those with the same label and settings are repetitions. The first label is the base of
    /// ratios
    #[arg(required = true)]
    pub results: Vec<PathBuf>,
    /// Where the page goes
    #[arg(short, long, default_value = "report.html")]
    pub output: PathBuf,
    /// Also draw one picture, for a document: latency over records, if the results differ in those alone; otherwise the p99 of each
    /// second, and the disk's own worst sync beside it in runs with --probe-disk
    #[arg(long, value_name = "FILE.svg")]
    pub chart: Option<PathBuf>,
}

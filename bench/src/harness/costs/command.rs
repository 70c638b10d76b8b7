//! `starling-bench costs`.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    super::{
        evidence::{process::machine, quiet, result::Machine},
        local::cluster::{LocalCluster, Wishes},
        report::ratio::median,
    },
    drive::{Drive, Driven},
    echo,
    messages::Messages,
    order::{Step, WRITE, steps},
    table,
};
use crate::{
    cluster::server_beside_this_program,
    engine::{
        compare::compare,
        run::{Phase, Plan},
        session::{Durability, Store},
    },
    error::Error,
    scratch::Scratch,
};

/// How long a bare echo is measured in each round.
const ECHO: Duration = Duration::from_secs(2);

/// Measures what a point read and a point write cost the servers, and where: one node at ONE and three at QUORUM, by CQL and
/// by QUIC, beside what the engine alone costs. System calls and the parts need `perf` and the right to use it.
#[derive(Debug, clap::Args)]
pub struct CostsArguments {
    /// The server's binary [default: `starling` beside this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// Rows that are loaded
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(50_000..=1 << 32))]
    rows: u64,
    /// Seconds of each run, at least 5
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// How often each is measured, in turn with the others; medians are reported
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// The sizes of the clusters
    #[arg(long, value_delimiter = ',', default_value = "1,3", value_parser = clap::value_parser!(u32).range(1..=9))]
    nodes: Vec<u32>,
    /// Write the table to this file too
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Write everything that was measured to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Costs {
    /// Where.
    pub machine: Machine,
    /// Rows that were loaded.
    pub rows: u64,
    /// What the engine alone spends, in microseconds of CPU.
    pub engine: Engine,
    /// What the transports take by themselves. Results of older versions have none.
    #[serde(default)]
    pub echo: Option<Echo>,
    /// Each operation, protocol and size of the cluster.
    pub costs: Vec<Cost>,
    /// Where servers were not quiet within three minutes: what was measured there has work in it that is not its own. Results of
    /// older versions do not tell.
    #[serde(default)]
    pub restless: Vec<String>,
}

/// What the engine alone spends on the same number of rows, on one thread, in microseconds of CPU.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Engine {
    /// For a row that is read, before everything was compacted: the median of the runs.
    pub get_us: f64,
    /// For a row that is written, with the flushes and compactions that follow: likewise.
    pub put_us: f64,
    /// The same of each run.
    #[serde(default)]
    pub get_us_of_runs: Vec<f64>,
    /// The same of each run.
    #[serde(default)]
    pub put_us_of_runs: Vec<f64>,
}

impl Engine {
    /// Of the gets and puts of runs.
    pub(super) fn of(gets: Vec<f64>, puts: Vec<f64>) -> Self {
        Self {
            get_us: median(&gets),
            put_us: median(&puts),
            get_us_of_runs: gets,
            put_us_of_runs: puts,
        }
    }
}

/// The median of a bare echo with one in flight, in microseconds: the median of the runs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Echo {
    /// Over TCP.
    pub tcp_us: f64,
    /// Over QUIC, on one stream.
    pub quic_us: f64,
}

/// What is measured once in each round, in turn with the first cluster's runs: of the engine that which the round's operation
/// is held against.
#[derive(Debug, Default)]
struct Alone {
    /// The engine's get, in microseconds of CPU.
    gets: Vec<f64>,
    /// Its put, likewise.
    puts: Vec<f64>,
    /// Medians of bare echoes, in microseconds.
    tcp: Vec<f64>,
    quic: Vec<f64>,
}

impl Alone {
    fn round(&mut self, operation: &str, rows: u64) -> Result<(), Error> {
        let (get_us, put_us) = engine_alone(rows)?;
        if operation == WRITE {
            self.puts.push(put_us);
            return Ok(());
        }
        self.gets.push(get_us);
        // Reads alone are held against them: writes wait for the disk too.
        self.tcp.push(echo::tcp(ECHO)?);
        self.quic.push(echo::quic(ECHO)?);
        Ok(())
    }
}

/// What one operation costs over one protocol.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cost {
    /// Nodes.
    pub nodes: u32,
    /// `cql` or `quic`.
    pub protocol: String,
    /// `read` or `write`.
    pub operation: String,
    /// The level.
    pub consistency: String,
    /// CPU of all servers for one operation, in microseconds: the median of the runs. Of writes with the flushes and
    /// compactions that follow, as the engine's.
    pub cpu_us: f64,
    /// The same of each run.
    pub cpu_us_of_runs: Vec<f64>,
    /// Operations a second, 64 in flight on 4 connections.
    pub per_second: f64,
    /// Their median latency, in microseconds.
    pub p50_us: f64,
    /// The median latency with one in flight, in microseconds.
    pub p50_alone_us: f64,
    /// Of `cpu_us`, by kind of thread.
    pub threads_us: Vec<(String, f64)>,
    /// Context switches of the servers for one operation.
    pub switches: f64,
    /// System calls of the servers for one operation, by name; or why they are not known.
    pub system_calls: Result<Vec<(String, f64)>, String>,
    /// Of `cpu_us`, by part of the house; or why that is not known.
    pub parts_us: Result<Vec<(String, f64)>, String>,
    /// The most memory that a node held of its own in any of the runs, in MiB; 0 in results of older versions.
    #[serde(default)]
    pub own_memory_mib: f64,
    /// Messages of the servers for one operation, by what they are, added up over all nodes; or why they are not known. Results of
    /// older versions have none.
    #[serde(default = "not_counted")]
    pub messages: Result<Vec<(String, f64)>, String>,
    /// Their bytes, before encryption: likewise.
    #[serde(default = "not_counted")]
    pub message_bytes: Result<Vec<(String, f64)>, String>,
}

fn not_counted() -> Result<Vec<(String, f64)>, String> {
    Err("messages were not counted".to_owned())
}

/// Runs the command.
///
/// # Errors
/// A cluster does not start, or a statement fails.
pub fn run(arguments: &CostsArguments) -> Result<(), Error> {
    let mut alone = Alone::default();
    let (mut costs, mut restless) = (Vec::new(), Vec::new());
    for &nodes in &arguments.nodes {
        // In turn with the runs of the first cluster.
        let alone = alone.gets.is_empty().then_some(&mut alone);
        costs.extend(of_cluster(arguments, nodes, alone, &mut restless)?);
    }
    let costs = Costs {
        machine: machine(),
        rows: arguments.rows,
        engine: Engine::of(alone.gets, alone.puts),
        echo: Some(Echo {
            tcp_us: median(&alone.tcp),
            quic_us: median(&alone.quic),
        }),
        costs,
        restless,
    };
    let text = table::markdown(&costs);
    print!("{text}");
    if let Some(path) = &arguments.output {
        fs::write(path, &text)?;
    }
    if let Some(path) = &arguments.json {
        let json = serde_json::to_vec_pretty(&costs).map_err(std::io::Error::from)?;
        fs::write(path, json)?;
    }
    Ok(())
}

/// One run of the engine: microseconds of CPU for a get, and for a put.
fn engine_alone(rows: u64) -> Result<(f64, f64), Error> {
    let dir = Scratch::new(None)?;
    let plan = Plan {
        store: Store::Starling,
        rows,
        threads: 1,
        lz4: true,
        columns: 1,
        durability: Durability::Periodic,
        writers: 1,
        memtable_bytes: 64 << 20,
        memory_bytes: 256 << 20,
        cache_bytes: 64 << 20,
        dir: dir.path().to_owned(),
    };
    let compared = compare("engine alone", &plan, &[Store::Starling], 1)
        .map_err(|error| Error::Server(error.to_string()))?;
    let cost = |phase| {
        let figure = compared.outcomes.first()?.figure(phase)?;
        Some(figure.cpu_seconds * 1e6 / (figure.operations.max(1) as f64))
    };
    match (cost(Phase::GetBefore), cost(Phase::Load)) {
        (Some(get_us), Some(put_us)) => Ok((get_us, put_us)),
        _ => Err(Error::Protocol("the engine's run has no gets or no puts".into())),
    }
}

fn of_cluster(
    arguments: &CostsArguments,
    nodes: u32,
    mut alone: Option<&mut Alone>,
    restless: &mut Vec<String>,
) -> Result<Vec<Cost>, Error> {
    let server = arguments.server.clone();
    let server = server.map_or_else(server_beside_this_program, Ok)?;
    let wishes = Wishes {
        nodes,
        extra: &[],
        partitions: false,
    };
    let cluster = LocalCluster::start(&server, wishes)?;
    let drive = |workload, protocol: &str| Drive {
        workload,
        target: target(&cluster, protocol),
        consistency: if nodes == 1 { "ONE" } else { "QUORUM" },
        rows: arguments.rows,
        in_flight: 64,
        connections: 4,
        seconds: arguments.seconds,
        settles: workload == "point-writes",
        processes: cluster.processes(),
        admins: cluster.admin_addresses(),
    };
    eprintln!("{nodes} node(s): loading {} rows", arguments.rows);
    drive("point-reads", "cql").load()?;
    let (mut driven, mut costs) = (BTreeMap::new(), Vec::new());
    for step in steps(arguments.runs) {
        if matches!(step, Step::Alone(_)) && alone.is_none() {
            continue;
        }
        eprintln!("{nodes} node(s): {step}");
        settle(&cluster, step, restless);
        match step {
            Step::Alone(operation) => {
                if let Some(alone) = &mut alone {
                    alone.round(operation, arguments.rows)?;
                }
            }
            Step::Run(operation, protocol) => {
                let run = drive(workload(operation), protocol).run()?;
                if !run.settled {
                    restless.push(format!("{nodes} node(s), after {step}"));
                }
                let runs: &mut Vec<Driven> = driven.entry((operation, protocol)).or_default();
                runs.push(run);
            }
            Step::Closely(operation, protocol) => {
                let runs = driven.remove(&(operation, protocol)).unwrap_or_default();
                let drive = drive(workload(operation), protocol);
                costs.push(cost(&drive, &runs, (nodes, protocol, operation))?);
            }
        }
    }
    Ok(costs)
}

/// The workload that an operation is.
fn workload(operation: &str) -> &'static str {
    if operation == WRITE {
        "point-writes"
    } else {
        "point-reads"
    }
}

/// Waits until the servers have nothing left to do, and notes it if they go on.
fn settle(cluster: &LocalCluster, step: Step, restless: &mut Vec<String>) {
    if !quiet::wait(&cluster.processes()) {
        restless.push(format!("{} node(s), before {step}", cluster.len()));
    }
}

fn target(cluster: &LocalCluster, protocol: &str) -> String {
    let addresses = if protocol == "cql" {
        cluster.cql_addresses()
    } else {
        cluster.quic_addresses()
    };
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    format!("{protocol}:{}", addresses.join(","))
}

fn cost(drive: &Drive, driven: &[Driven], what: (u32, &str, &str)) -> Result<Cost, Error> {
    let (nodes, protocol, operation) = what;
    let of = |figure: &dyn Fn(&Driven) -> f64| median(&driven.iter().map(figure).collect::<Vec<_>>());
    let each = |run: &Driven, total: f64| total / (run.result.total.count.max(1) as f64);
    let cpu = |run: &Driven| {
        let spent: Duration = run.threads.values().map(|spent| spent.cpu).sum();
        each(run, spent.as_secs_f64() * 1e6)
    };
    let cpu_us = of(&cpu);
    let mut threads_us = Vec::new();
    for kind in driven.iter().flat_map(|run| run.threads.keys()) {
        if threads_us.iter().all(|(known, _)| known != kind) {
            let spent = |run: &Driven| run.threads.get(kind).copied().unwrap_or_default();
            let us = of(&|run| each(run, spent(run).cpu.as_secs_f64() * 1e6));
            threads_us.push((kind.clone(), us));
        }
    }
    let alone = Drive {
        in_flight: 1,
        connections: 1,
        ..drive.clone()
    };
    let messages = of_messages(driven, |messages| &messages.count);
    let message_bytes = of_messages(driven, |messages| &messages.bytes);
    let alone = alone.run()?.result.total.p50_us;
    let system_calls = drive.system_calls()?.map(sorted);
    let parts_us = drive.parts()?.map(|parts| {
        let us = parts.into_iter().map(|(part, share)| (part, share * cpu_us));
        sorted(us.collect())
    });
    Ok(Cost {
        nodes,
        protocol: protocol.to_owned(),
        operation: operation.to_owned(),
        consistency: drive.consistency.to_owned(),
        cpu_us,
        cpu_us_of_runs: driven.iter().map(cpu).collect(),
        per_second: of(&|run| run.result.total.per_second),
        p50_us: of(&|run| run.result.total.p50_us as f64),
        p50_alone_us: alone as f64,
        threads_us: sorted(threads_us.into_iter().collect()),
        switches: of(&|run| each(run, run.threads.values().map(|spent| spent.switches as f64).sum())),
        system_calls,
        parts_us,
        own_memory_mib: driven.iter().map(own_memory_mib).fold(0.0, f64::max),
        messages,
        message_bytes,
    })
}

fn own_memory_mib(run: &Driven) -> f64 {
    let server = run.result.server.as_ref();
    let bytes = server.and_then(|server| server.own_memory_peak_bytes);
    bytes.unwrap_or(0) as f64 / f64::from(1 << 20)
}

/// The median of the runs, of each kind of message.
fn of_messages(
    driven: &[Driven],
    figures: impl Fn(&Messages) -> &BTreeMap<&'static str, f64>,
) -> Result<Vec<(String, f64)>, String> {
    let mut runs: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for run in driven {
        let messages = run.messages.as_ref().map_err(Clone::clone)?;
        for (name, figure) in figures(messages) {
            runs.entry((*name).to_owned()).or_default().push(*figure);
        }
    }
    let medians = runs.into_iter().map(|(name, figures)| (name, median(&figures)));
    Ok(sorted(medians.collect()))
}

/// The greatest first; what is nothing is left out.
fn sorted(figures: BTreeMap<String, f64>) -> Vec<(String, f64)> {
    let mut figures: Vec<(String, f64)> = figures.into_iter().filter(|(_, figure)| *figure > 0.0).collect();
    figures.sort_by(|a, b| b.1.total_cmp(&a.1));
    figures
}

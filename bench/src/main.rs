//! `starling-bench`: the figures of a cluster, or of the storage engine, on this machine.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use starling_bench::{
    abandon, bootstrap,
    cluster::{Cluster, server_beside_this_program},
    connection::Connection,
    engine,
    error::Error,
    harness::{
        command::{
            arguments::{CompareArguments, ReportArguments, RunArguments},
            compare, report,
        },
        costs::command::{self as costs, CostsArguments},
        drive::part,
        workload::{file::Workload, ready},
    },
    load::Load,
    repair,
    report::{Figure, Idle, Report},
    study,
    workload::{Operation, schema},
};
use starling_model::Consistency;

/// The engines that are compared allocate with the same allocator, and it is the node's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures what Starling can do on this machine.
#[derive(Debug, Parser)]
#[command(version)]
enum Benchmark {
    Cluster(Arguments),
    Engine(engine::command::Arguments),
    Bootstrap(bootstrap::Arguments),
    Run(Box<RunArguments>),
    Compare(Box<CompareArguments>),
    Report(ReportArguments),
    Costs(CostsArguments),
    /// Lists the ready-made workloads, or prints one as a start for one of your own
    Workloads {
        /// Which one is printed
        name: Option<String>,
    },
    /// One load-generating process of several, as `run` starts it
    #[command(hide = true)]
    Part,
    Study(study::command::Arguments),
    Repair(repair::command::Arguments),
    Abandon(abandon::Arguments),
    /// One run of one store, as `engine` starts it
    #[command(hide = true)]
    EngineRun {
        /// What is run, as JSON
        plan: String,
    },
}

/// Starts clusters of one and of three nodes on this machine, measures how long they take to be ready and
/// what they weigh idle, then drives prepared reads and writes of 100-byte rows through CQL v4 in a closed loop.
#[derive(Debug, clap::Args)]
struct Arguments {
    /// The server's binary [default: `starling` beside this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// How many requests in flight, one measurement each
    #[arg(long, value_delimiter = ',', default_value = "1,16,128")]
    in_flight: Vec<u32>,
    /// The sizes of the clusters; one node runs at ONE, more at QUORUM with a replica on each (at most 3)
    #[arg(long, value_delimiter = ',', default_value = "1,3")]
    nodes: Vec<u32>,
    /// Rows that are loaded before the measurements
    #[arg(long, default_value_t = 200_000)]
    rows: u64,
    /// Seconds that each measurement lasts, after two seconds of warm-up
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How often each measurement is made; the one with the median rate is reported
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// How often a cluster is started to measure the time to `ready:`
    #[arg(long, default_value_t = 5)]
    starts: u32,
    /// Also write the report to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let outcome = match Benchmark::parse() {
        Benchmark::Cluster(arguments) => run(&arguments).map_err(|error| ended(&error)),
        Benchmark::Engine(arguments) => {
            engine::command::run(&arguments).map_err(|error| (error.to_string(), 1))
        }
        Benchmark::Bootstrap(arguments) => bootstrap::run(&arguments).map_err(|error| ended(&error)),
        Benchmark::Run(arguments) => compare::run(&arguments).map_err(|error| ended(&error)),
        Benchmark::Compare(arguments) => compare::compare(&arguments).map_err(|error| ended(&error)),
        Benchmark::Report(arguments) => report::run(&arguments).map_err(|error| ended(&error)),
        Benchmark::Costs(arguments) => costs::run(&arguments).map_err(|error| ended(&error)),
        Benchmark::Workloads { name } => workloads(name.as_deref()).map_err(|error| ended(&error)),
        Benchmark::Part => part::run().map_err(|error| ended(&error)),
        Benchmark::Study(arguments) => {
            study::command::run(&arguments).map_err(|error| (error.to_string(), 1))
        }
        Benchmark::Repair(arguments) => {
            repair::command::run(&arguments).map_err(|error| (error.to_string(), 1))
        }
        Benchmark::Abandon(arguments) => abandon::run(&arguments).map_err(|error| (error.to_string(), 1)),
        Benchmark::EngineRun { plan } => {
            engine::command::run_one(&plan).map_err(|error| (error.to_string(), 1))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((message, code)) => {
            eprintln!("starling-bench: {message}");
            ExitCode::from(code)
        }
    }
}

/// What is said, and what the process ends with.
fn ended(error: &Error) -> (String, u8) {
    (error.to_string(), error.exit_code())
}

fn workloads(name: Option<&str>) -> Result<(), Error> {
    let mut output = std::io::stdout().lock();
    match name {
        None => {
            for name in ready::names() {
                writeln!(output, "{name:20} {}", Workload::open(name)?.description)?;
            }
        }
        Some(name) => match ready::text(name) {
            Some(text) => write!(output, "{text}")?,
            None => {
                return Err(Workload::open(name).err().map_or_else(
                    || Error::Usage(format!("'{name}' is a file, not a ready-made workload")),
                    Error::from,
                ));
            }
        },
    }
    Ok(())
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let server = arguments
        .server
        .clone()
        .map_or_else(server_beside_this_program, Ok)?;
    let mut report = Report {
        idle: Vec::new(),
        figures: Vec::new(),
    };
    for &nodes in &arguments.nodes {
        let (cluster, idle) = start(&server, nodes, arguments.starts)?;
        report.idle.push(idle);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(measure(&cluster, nodes, arguments, &mut report))?;
    }
    print!("{}", report.to_markdown());
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?;
        std::fs::write(path, json).map_err(Error::file(path))?;
    }
    Ok(())
}

/// Starts the cluster `starts` times and keeps the last one.
fn start(server: &Path, nodes: u32, starts: u32) -> Result<(Cluster, Idle), Error> {
    let mut cluster = Cluster::start(server, nodes)?;
    let mut ready_ms = vec![cluster.time_to_ready().as_millis() as u64];
    for _ in 1..starts {
        drop(cluster);
        cluster = Cluster::start(server, nodes)?;
        ready_ms.push(cluster.time_to_ready().as_millis() as u64);
    }
    // An idle node is one that has been left alone for a while.
    std::thread::sleep(Duration::from_secs(5));
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let idle = Idle {
        nodes,
        ready_ms,
        resident_mib: cluster.resident().into_iter().map(mib).collect(),
        binary_mib: mib(std::fs::metadata(server)?.len()),
    };
    Ok((cluster, idle))
}

async fn measure(
    cluster: &Cluster,
    nodes: u32,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Error> {
    let consistency = if nodes == 1 {
        Consistency::One
    } else {
        Consistency::Quorum
    };
    let mut load = Load {
        addresses: cluster.addresses(),
        operation: Operation::Write,
        consistency,
        in_flight: 1,
        connections: 1,
        rows: arguments.rows,
        warm_up: Duration::from_secs(2),
        duration: Duration::from_secs(arguments.seconds),
    };
    let mut connection = Connection::open(load.addresses[0]).await?;
    for statement in schema(nodes.min(3)) {
        connection.run(&statement).await?;
    }
    load.fill().await?;
    for operation in [Operation::Write, Operation::Read] {
        for &in_flight in &arguments.in_flight {
            load.operation = operation;
            load.in_flight = in_flight.clamp(1, 16_384);
            load.connections = load.in_flight.min(4);
            let figure = median(cluster, nodes, &load, arguments.runs).await?;
            // The terminal shows that something happens; the table comes at the end.
            eprintln!(
                "{nodes} node(s), {} with {in_flight} in flight: {:.0}/s",
                operation.name(),
                figure.per_second
            );
            std::io::stderr().flush()?;
            report.figures.push(figure);
        }
    }
    Ok(())
}

/// Measures `runs` times and returns the run with the median rate.
async fn median(cluster: &Cluster, nodes: u32, load: &Load, runs: u32) -> Result<Figure, Error> {
    let mut figures = Vec::new();
    for _ in 0..runs.max(1) {
        let mut before = Duration::ZERO;
        let measured = load.run(|| before = cluster.cpu()).await?;
        let spent = cluster.cpu().saturating_sub(before);
        let figure = Figure {
            nodes,
            consistency: load.consistency.to_string(),
            operation: load.operation.name(),
            in_flight: load.in_flight,
            connections: load.connections,
            operations: 0,
            per_second: 0.0,
            p50_us: 0,
            p99_us: 0,
            p999_us: 0,
            server_cpu_us: 0.0,
        };
        figures.push(figure.measured(&measured.latencies, measured.elapsed, spent));
    }
    figures.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    Ok(figures.swap_remove(figures.len() / 2))
}

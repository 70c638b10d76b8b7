//! `starling-bench repair`.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    ask, chart,
    nodes::Nodes,
    report::{Point, Report},
    table::{KEYSPACE, Shape, Writer},
};
use crate::{cluster::server_beside_this_program, error::Error};

/// Makes three replicas of a table, lets one of them miss some writes, and measures what it costs to find and repair
/// that: bytes, time and CPU, by the number of differences.
///
/// Bytes are all that goes over the loopback meanwhile, headers, gossip and the command's own progress included. So it
/// wants a loopback of its own: `unshare -rn sh -c 'ip link set lo up && starling-bench repair'`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The server's binary [default: `starling` beside this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// Rows of the table
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1 << 32))]
    rows: u64,
    /// Rows of a partition
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rows_per_partition: u64,
    /// How many rows differ, one measurement each
    #[arg(long, value_delimiter = ',', default_value = "0,1,10,100,1000,10000")]
    differences: Vec<u64>,
    /// Rows that are written to all replicas, to see what it costs to keep digests of them
    #[arg(long, default_value_t = 100_000)]
    writes: u64,
    /// Memory for a node's memtables, in MiB; with few of it nearly all rows are flushed
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=1 << 20))]
    memtable_mib: u32,
    /// Where the nodes' files go while it runs [default: a temporary directory]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Also write everything that was measured to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also draw a chart of it into this file, as SVG
    #[arg(long)]
    chart: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// When the nodes don't start, refuse a statement, or a repair finds other differences than were made.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let server = arguments
        .server
        .clone()
        .map_or_else(server_beside_this_program, Ok)?;
    let nodes = Nodes::start(&server, arguments.dir.as_deref(), arguments.memtable_mib)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(measure(&nodes, arguments))?;
    print!("{}", report.to_markdown());
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?;
        std::fs::write(path, json)?;
    }
    if let Some(path) = &arguments.chart {
        std::fs::write(path, chart::draw(&report))?;
    }
    Ok(())
}

async fn measure(nodes: &Nodes, arguments: &Arguments) -> Result<Report, Error> {
    let shape = Shape {
        partitions: arguments.rows / arguments.rows_per_partition,
        rows: arguments.rows_per_partition,
    };
    let empty = nodes.memory()?;
    let mut writer = Writer::open(nodes.cql(), shape).await?;
    let mut report = Report {
        empty,
        rows: shape.partitions * shape.rows,
        partitions: shape.partitions,
        ..Report::default()
    };
    eprintln!("writing {} rows to three replicas", report.rows);
    let fill = Instant::now();
    writer.fill().await?;
    eprintln!("{:.0} s; hashing them", fill.elapsed().as_secs_f64());
    // What a replica missed under the load of writing is repaired here too.
    let first = timed(nodes)?;
    (report.hash_seconds, report.hash_cpu_seconds) = (first.seconds, first.cpu_seconds);
    (report.leaves, report.tree_bytes) = ask::tree(nodes.admin())?;
    nodes.settle();
    report.idle = nodes.memory()?;
    report.idle_bytes_per_second = idle();
    for (turn, &count) in arguments.differences.iter().enumerate() {
        if count > 0 {
            nodes
                .without_the_third(writer.change(count, turn as u64 + 1))
                .await?;
        }
        let point = timed(nodes)?;
        if (point.differences, point.written) != (count, count) {
            let text = format!("{count} rows were to differ, and it was so: {point:?}");
            return Err(Error::Server(text));
        }
        eprintln!(
            "{count} differences: {} bytes, {:.2} s",
            point.bytes, point.seconds
        );
        report.points.push(point);
    }
    if arguments.writes > 0 {
        writer.change(arguments.writes, 99).await?;
        report.writes = arguments.writes;
        report.keeping = Some(timed(nodes)?);
    }
    Ok(report)
}

/// One repair of everything.
fn timed(nodes: &Nodes) -> Result<Point, Error> {
    let (bytes, cpu, start) = (ask::loopback_bytes(), nodes.cpu(), Instant::now());
    let done = ask::repair(nodes.admin(), KEYSPACE)?;
    let elapsed = start.elapsed();
    Ok(Point {
        differences: done.differing,
        written: done.written,
        ranges: done.ranges,
        rows: done.rows,
        bytes: ask::loopback_bytes().saturating_sub(bytes),
        seconds: elapsed.as_secs_f64(),
        cpu_seconds: nodes.cpu().saturating_sub(cpu).as_secs_f64(),
    })
}

/// What goes over the loopback while nothing is asked of the nodes.
fn idle() -> u64 {
    let before = ask::loopback_bytes();
    std::thread::sleep(Duration::from_secs(3));
    ask::loopback_bytes().saturating_sub(before) / 3
}

//! What a cluster does for clients that have gone: scans are begun and given up, and the CPU that is spent on them
//! then is measured beside that of scans that somebody waits for.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use starling_cql::{QueryParameters, protocol::Request};
use starling_model::Consistency;

use crate::{
    cluster::server_beside_this_program,
    connection::Connection,
    error::Error,
    repair::{
        nodes::Nodes,
        table::{KEYSPACE, Shape, Writer},
    },
};

/// Rows of a partition.
const ROWS: u64 = 10;

/// How often it is looked whether the nodes still work.
const GLANCE: Duration = Duration::from_millis(100);

/// Less than this in a glance is rest: gossip and the like.
const REST: Duration = Duration::from_millis(15);

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// Starts scans of a whole table on three nodes, at QUORUM, once with clients that wait for their answers and once with
/// clients that go away, and measures the CPU time of all nodes: what was spent before the clients had gone, and after.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The server's binary [default: `starling` beside this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// Rows of the table
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1 << 32))]
    rows: u64,
    /// Scans at a time, each of a client of its own
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    scans: u64,
    /// After how many milliseconds the clients go away
    #[arg(long, default_value_t = 500)]
    after_ms: u64,
    /// How often both are measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Where the nodes' files go while it runs [default: a temporary directory]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// One round of scans.
struct Round {
    /// While the clients were there.
    cpu_waited: Duration,
    /// From when they were answered or had gone until the nodes rested.
    cpu_after: Duration,
    /// How long they were there.
    waited: Duration,
    /// How long it took until the nodes rested.
    after: Duration,
}

/// Measures and prints.
///
/// # Errors
/// When the nodes don't start or refuse a statement.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let server = arguments
        .server
        .clone()
        .map_or_else(server_beside_this_program, Ok)?;
    let nodes = Nodes::start(&server, arguments.dir.as_deref(), 256)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(&nodes, arguments))
}

async fn measure(nodes: &Nodes, arguments: &Arguments) -> Result<(), Error> {
    let shape = Shape {
        partitions: arguments.rows / ROWS,
        rows: ROWS,
    };
    eprintln!("writing {} rows to three replicas", arguments.rows);
    Writer::open(nodes.cql(), shape).await?.fill().await?;
    let patience = Duration::from_millis(arguments.after_ms);
    println!("{} scans at a time of {} rows", arguments.scans, arguments.rows);
    for _ in 0..arguments.runs {
        for patience in [None, Some(patience)] {
            nodes.settle();
            let round = scan(nodes, arguments.scans, patience).await?;
            let what = match patience {
                None => "clients that wait for their answers",
                Some(_) => "clients that go away",
            };
            println!(
                "- {what}: {:.2} s, {:.2} s of CPU; after that {:.2} s of CPU, and rest within {:.1} s",
                round.waited.as_secs_f64(),
                round.cpu_waited.as_secs_f64(),
                round.cpu_after.as_secs_f64(),
                round.after.as_secs_f64()
            );
        }
    }
    Ok(())
}

/// Scans, of which each client waits for its answer, or goes away when its patience is at an end.
async fn scan(nodes: &Nodes, scans: u64, patience: Option<Duration>) -> Result<Round, Error> {
    let mut clients = Vec::new();
    for _ in 0..scans {
        clients.push(begin(nodes.cql()).await?);
    }
    let (cpu, start) = (nodes.cpu(), Instant::now());
    for client in &mut clients {
        client.flush().await?;
    }
    match patience {
        Some(patience) => tokio::time::sleep(patience).await,
        None => {
            for client in &mut clients {
                crate::connection::check(client.next().await?, true)?;
            }
        }
    }
    let (cpu_waited, waited) = (nodes.cpu().saturating_sub(cpu), start.elapsed());
    drop(clients);
    let (cpu, start) = (nodes.cpu(), Instant::now());
    let (mut before, mut rested) = (cpu, Duration::ZERO);
    while start.elapsed() < PATIENCE {
        tokio::time::sleep(GLANCE).await;
        let now = nodes.cpu();
        if now.saturating_sub(before) < REST {
            break;
        }
        (before, rested) = (now, start.elapsed());
    }
    Ok(Round {
        cpu_waited,
        cpu_after: before.saturating_sub(cpu),
        waited,
        after: rested,
    })
}

/// A client whose scan needs only to be sent.
async fn begin(address: SocketAddr) -> Result<Connection, Error> {
    let mut client = Connection::open(address).await?;
    let scan = Request::Query {
        query: format!("SELECT count(*) FROM {KEYSPACE}.cells"),
        parameters: QueryParameters::with_consistency(Consistency::Quorum),
    };
    client.queue(0, &scan.into())?;
    Ok(client)
}

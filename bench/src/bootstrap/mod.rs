//! How fast a new node gets its data, beside what the disk takes.
//!
//! Beside it stands what the `disk` takes in one file, and what the `transport` carries with nothing else to do: the same
//! bytes between two bare QUIC endpoints on the same cores.
//!
//! One node of a cluster is filled, then another joins it, on the same machine and disk: so each byte is read, sent,
//! written, checked and synced here, by both sides together. With two replicas the newcomer gets all that there is, in
//! whole tables; with one it gets half, and tables are cut.

mod disk;
mod pair;
pub mod transport;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use starling_cql::{
    QueryParameters, Values,
    protocol::{Request, RequestFrame},
    request::Bound,
};
use starling_model::Consistency;

use self::pair::Pair;
use crate::{
    cluster::server_beside_this_program,
    connection::{Connection, check},
    error::Error,
    scratch::Scratch,
    workload::{Generator, KEYSPACE, schema},
};

const MIB: u64 = 1 << 20;

/// Statements in flight while the first node is filled.
const WINDOW: u64 = 128;

/// Fills a node, lets another join it, and measures how fast the data came, beside the disk's sequential writes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The server's binary [default: `starling` beside this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// How much the first node has, in MiB
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Bytes of a row's value
    #[arg(long, default_value_t = 1000)]
    value_bytes: usize,
    /// Replicas, one measurement each: with 2 the newcomer gets all, with 1 half
    #[arg(long, value_delimiter = ',', default_value = "2,1")]
    replicas: Vec<u32>,
    /// Where the nodes' directories are made [default: the system's for temporary files]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Makes the measurements and prints them.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let server = arguments
        .server
        .clone()
        .map_or_else(server_beside_this_program, Ok)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    println!(
        "| replicas | fetched | until it served | rate | disk, sequential | of it | transport alone | of it |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for &replicas in &arguments.replicas {
        let dir = Scratch::new(arguments.dir.as_deref())?;
        let mut pair = Pair::prepare(&server, dir.path())?;
        pair.start(0)?;
        runtime.block_on(fill(&pair, replicas, arguments))?;
        let disk = disk::sequential_rate(&dir.path().join("probe"), arguments.mib * MIB)?;
        let transport = transport::rate(arguments.mib * MIB)?;
        let started = Instant::now();
        pair.start(1)?;
        let took = started.elapsed();
        let fetched = pair.fetched_bytes(1)?;
        println!("{}", row(replicas, fetched, took, (disk, transport)));
    }
    Ok(())
}

fn row(replicas: u32, fetched: u64, took: Duration, (disk, transport): (f64, f64)) -> String {
    let mb = |bytes: f64| bytes / 1e6;
    let rate = fetched as f64 / took.as_secs_f64().max(1e-9);
    format!(
        "| {replicas} | {:.0} MB | {:.1} s | {:.0} MB/s | {:.0} MB/s | {:.0} % | {:.0} MB/s | {:.0} % |",
        mb(fetched as f64),
        took.as_secs_f64(),
        mb(rate),
        mb(disk),
        100.0 * rate / disk.max(1.0),
        mb(transport),
        100.0 * rate / transport.max(1.0)
    )
}

/// Writes rows to the first node until it has as much as is asked for.
async fn fill(pair: &Pair, replicas: u32, arguments: &Arguments) -> Result<(), Error> {
    let mut connection = Connection::open(pair.cql(0)).await?;
    for statement in schema(replicas) {
        connection.run(&statement).await?;
    }
    let insert = format!("INSERT INTO {KEYSPACE}.rows (key, value) VALUES (?, ?)");
    let id = connection.prepare(&insert).await?;
    let rows = arguments.mib * MIB / arguments.value_bytes.max(1) as u64;
    let mut generator = Generator::new(1, rows);
    let mut waiting = 0;
    for number in 0..rows {
        let values = vec![
            Generator::key(number),
            value(&mut generator, arguments.value_bytes),
        ];
        connection.queue((number % WINDOW) as i16, &insert_of(id.clone(), values))?;
        waiting += 1;
        if waiting == WINDOW || number + 1 == rows {
            connection.flush().await?;
            for _ in 0..waiting {
                check(connection.next().await?, false)?;
            }
            waiting = 0;
        }
    }
    Ok(())
}

/// A value that does not compress.
fn value(generator: &mut Generator, bytes: usize) -> Bytes {
    let mut value = BytesMut::with_capacity(bytes + 128);
    while value.len() < bytes {
        value.put(generator.value());
    }
    value.truncate(bytes);
    value.freeze()
}

fn insert_of(id: Bytes, values: Vec<Bytes>) -> RequestFrame {
    // The other replica is not there yet.
    let mut parameters = QueryParameters::with_consistency(Consistency::One);
    let values = values.into_iter().map(|value| Bound::Value(Some(value)));
    parameters.values = Values::Positional(values.collect());
    parameters.skip_metadata = true;
    Request::Execute {
        id,
        result_id: None,
        parameters,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_report_says_what_part_of_the_disk_and_of_the_transport_it_was() {
        let row = row(2, 1_000_000_000, Duration::from_secs(2), (800e6, 1000e6));
        let expected = "| 2 | 1000 MB | 2.0 s | 500 MB/s | 800 MB/s | 62 % | 1000 MB/s | 50 % |";
        assert_eq!(row, expected);
    }

    #[test]
    fn values_are_as_long_as_asked_for() {
        let mut generator = Generator::new(1, 10);
        for bytes in [0, 1, 100, 1000] {
            assert_eq!(value(&mut generator, bytes).len(), bytes);
        }
    }
}

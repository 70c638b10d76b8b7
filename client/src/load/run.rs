//! Reads records and keeps inserts in flight.

use std::{
    io::Read,
    time::{Duration, Instant},
};

use csv::{ReaderBuilder, StringRecord};
use futures::{StreamExt, stream::FuturesUnordered};
use starling_cql::Values;

use super::{LoadOptions, LoadReport, Progress, record};
use crate::{
    Prepared, Session,
    error::{Error, ErrorKind},
};

/// How often the caller hears of progress.
const UPDATE: Duration = Duration::from_millis(100);

/// Loads CSV into a table. `table` is a name as in CQL (`keyspace.table`); `columns` are the columns that
/// the fields are for, in order: if there are none, those of the header.
///
/// A row that fails is in the report, not an error of the load: an error means that the load could not
/// begin (no such table or column, no connection) or that the input can't be read further. Rows written
/// until then stay.
pub async fn csv<R: Read>(
    session: &Session,
    table: &str,
    columns: &[String],
    reader: R,
    options: &LoadOptions,
    progress: &mut dyn Progress,
) -> Result<LoadReport, Error> {
    options.check()?;
    let mut input = Input::new(reader, options);
    let header = if options.header { input.next()? } else { None };
    let columns: Vec<String> = match (columns, header) {
        ([], Some((_, header))) => header.iter().map(|name| name.trim().to_owned()).collect(),
        ([], None) if options.header => return Err(Error::invalid("the input is empty: it has no header")),
        ([], None) => return Err(Error::invalid("name the columns, or read a header")),
        (columns, _) => columns.to_vec(),
    };
    let insert = prepare(session, table, &columns, options).await?;
    Load {
        session,
        insert,
        options,
        report: LoadReport::default(),
        started: Instant::now(),
    }
    .run(input, progress)
    .await
}

async fn prepare(
    session: &Session,
    table: &str,
    columns: &[String],
    options: &LoadOptions,
) -> Result<Prepared, Error> {
    let names: Vec<_> = columns
        .iter()
        .map(|name| starling_cql::parser::quoted(name))
        .collect();
    let markers = vec!["?"; columns.len()].join(", ");
    let text = format!("INSERT INTO {table} ({}) VALUES ({markers})", names.join(", "));
    let insert = session.prepare(text).await?.with_idempotent(true);
    Ok(match options.consistency {
        Some(consistency) => insert.with_consistency(consistency),
        None => insert,
    })
}

/// Records with the lines that they begin on.
struct Input<R> {
    reader: csv::Reader<R>,
    skip: u64,
    left: u64,
}

impl<R: Read> Input<R> {
    fn new(reader: R, options: &LoadOptions) -> Self {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(options.delimiter)
            .quote(options.quote)
            .escape(options.escape)
            .buffer_capacity(256 << 10)
            .from_reader(reader);
        Self {
            reader,
            skip: options.skip_rows,
            left: options.max_rows.unwrap_or(u64::MAX),
        }
    }

    /// The next record, whether header or row.
    fn next(&mut self) -> Result<Option<(u64, StringRecord)>, Error> {
        let mut record = StringRecord::new();
        match self.reader.read_record(&mut record) {
            Ok(true) => Ok(Some((record.position().map_or(0, csv::Position::line), record))),
            Ok(false) => Ok(None),
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                let text = format!("line {line}: the input can't be read: {error}");
                Err(Error::new(ErrorKind::Invalid, text).with_source(error))
            }
        }
    }

    fn next_row(&mut self) -> Result<Option<(u64, StringRecord)>, Error> {
        while self.skip > 0 {
            self.skip -= 1;
            if self.next()?.is_none() {
                return Ok(None);
            }
        }
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.next()
    }
}

struct Load<'a> {
    session: &'a Session,
    insert: Prepared,
    options: &'a LoadOptions,
    report: LoadReport,
    started: Instant,
}

impl Load<'_> {
    async fn run<R: Read>(
        mut self,
        mut input: Input<R>,
        progress: &mut dyn Progress,
    ) -> Result<LoadReport, Error> {
        let mut in_flight = FuturesUnordered::new();
        let mut told = self.started;
        let mut failure = None;
        loop {
            while in_flight.len() < self.options.concurrency && failure.is_none() && !self.report.stopped {
                match input.next_row() {
                    Ok(Some((line, row))) => {
                        match record::bind(self.insert.markers(), &row, &self.options.null) {
                            Ok(values) => in_flight.push(insert(
                                self.session.clone(),
                                self.insert.clone(),
                                values,
                                self.options.attempts,
                                line,
                            )),
                            Err(message) => self.fail(line, message),
                        }
                    }
                    Ok(None) => break,
                    Err(error) => failure = Some(error),
                }
            }
            match in_flight.next().await {
                None => break,
                Some((_, Ok(()))) => self.report.rows += 1,
                Some((line, Err(error))) => self.fail(line, error.to_string()),
            }
            if told.elapsed() >= UPDATE {
                told = Instant::now();
                self.report.elapsed = self.started.elapsed();
                progress.update(&self.report);
            }
        }
        self.report.elapsed = self.started.elapsed();
        self.report.errors.sort_by_key(|error| error.line);
        progress.finish(&self.report);
        match failure {
            Some(error) => Err(error),
            None => Ok(self.report),
        }
    }

    fn fail(&mut self, line: u64, message: String) {
        self.report.fail(line, message);
        self.report.stopped |= self
            .options
            .max_errors
            .is_some_and(|most| self.report.failed > most);
    }
}

/// Inserts one row, and tries again what may pass.
async fn insert(
    session: Session,
    prepared: Prepared,
    values: Values,
    attempts: u32,
    line: u64,
) -> (u64, Result<(), Error>) {
    let mut pause = Duration::from_millis(50);
    for attempt in 1.. {
        match session.execute_bound(&prepared, values.clone(), None).await {
            Ok(_) => return (line, Ok(())),
            Err(error) if attempt < attempts && is_passing(error.kind()) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) => return (line, Err(error)),
        }
    }
    unreachable!("the loop ends by returning")
}

/// Whether waiting may help.
fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Overloaded
            | ErrorKind::Timeout
            | ErrorKind::Unavailable
            | ErrorKind::Connection
            | ErrorKind::Server
    )
}

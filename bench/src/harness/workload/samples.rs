//! Rows of sample data that workloads take values from.

use std::{fs, io::Read, path::Path};

use super::file::Problem;

/// The flights of January 2013 (`data/README.md`): the part of the house's sample data that the harness carries.
const FLIGHTS: &[u8] = include_bytes!("../../../../data/flights-2013-01.csv.zst");

/// How the flights' table writes what is unknown.
const UNKNOWN: &str = "NA";

/// A table of text.
#[derive(Debug)]
pub struct Samples {
    columns: Vec<String>,
    rows: Vec<csv::StringRecord>,
}

impl Samples {
    /// `flights`, or a file (`.csv`, `.csv.zst`) with a line of column names.
    ///
    /// # Errors
    /// A sentence, if it can't be read.
    pub fn named(name: &str, folder: &Path) -> Result<Self, Problem> {
        if name == "flights" {
            return flights();
        }
        let path = folder.join(name);
        let failed = |error: String| Problem(format!("cannot read the data {}: {error}", path.display()));
        let bytes = fs::read(&path).map_err(|error| failed(error.to_string()))?;
        let packed = path.extension().is_some_and(|extension| extension == "zst");
        Self::read(&bytes, packed).map_err(failed)
    }

    fn read(bytes: &[u8], packed: bool) -> Result<Self, String> {
        let source: Box<dyn Read + '_> = if packed {
            Box::new(zstd::Decoder::new(bytes).map_err(|error| error.to_string())?)
        } else {
            Box::new(bytes)
        };
        let mut reader = csv::Reader::from_reader(source);
        let columns = reader.headers().map_err(|error| error.to_string())?;
        let columns = columns.iter().map(str::to_owned).collect();
        let rows: Result<Vec<_>, _> = reader.records().collect();
        let rows = rows.map_err(|error| error.to_string())?;
        if rows.is_empty() {
            return Err("it has no rows".into());
        }
        Ok(Self { columns, rows })
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row. There always is one.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The columns' names.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// A record's value: the rows are used again and again. `None` is unknown: empty, or NA.
    ///
    /// # Errors
    /// A sentence, if there is no such column.
    pub fn value(&self, record: u64, column: &str) -> Result<Option<&str>, String> {
        let place = self
            .columns
            .iter()
            .position(|name| name == column)
            .ok_or_else(|| {
                format!(
                    "the data has no column '{column}'; it has {}",
                    self.columns.join(", ")
                )
            })?;
        let row = &self.rows[(record % self.rows.len() as u64) as usize];
        Ok(row.get(place).filter(|text| !text.is_empty() && *text != UNKNOWN))
    }
}

/// The flights with a tail number, and a column `departure`: the scheduled one, in milliseconds since 1970, UTC.
fn flights() -> Result<Samples, Problem> {
    let mut samples = Samples::read(FLIGHTS, true).map_err(Problem)?;
    let place = |name: &str| samples.columns.iter().position(|column| column == name);
    let (Some(tail), Some(hour), Some(minute)) = (place("tailnum"), place("time_hour"), place("minute"))
    else {
        return Err(Problem("the flights lack a column".into()));
    };
    samples
        .rows
        .retain(|row| row.get(tail).is_some_and(|tail| tail != UNKNOWN));
    for row in &mut samples.rows {
        let minute: i64 = row.get(minute).and_then(|text| text.parse().ok()).unwrap_or(0);
        let hour = row.get(hour).and_then(milliseconds).unwrap_or(0);
        row.push_field(&(hour + minute * 60_000).to_string());
    }
    samples.columns.push("departure".into());
    Ok(samples)
}

/// `2013-01-01T10:00:00Z` as milliseconds since 1970.
fn milliseconds(text: &str) -> Option<i64> {
    let bytes = starling_cql::value::parse_text(&starling_client::CqlType::Timestamp, text).ok()?;
    Some(i64::from_be_bytes(bytes.as_ref().try_into().ok()?))
}

//! How CSV is read and written to a table.

use crate::{Consistency, error::Error};

/// How CSV is read, and how it is written to the table.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The first record names the columns, and is no row. If the caller names columns too, the header is
    /// skipped.
    pub header: bool,
    /// Between fields.
    pub delimiter: u8,
    /// Around fields that hold delimiters or line ends; inside such a field it is written twice.
    pub quote: u8,
    /// Makes the quote after it part of the field, beside writing it twice. `None`: nothing does.
    pub escape: Option<u8>,
    /// A field with exactly this text is null.
    pub null: String,
    /// Rows to pass over at the start, header not counted.
    pub skip_rows: u64,
    /// Rows to read at most; `None` is all.
    pub max_rows: Option<u64>,
    /// Rows in flight, 1 to 4096.
    pub concurrency: usize,
    /// Stop after this many rows failed; `None`: never.
    pub max_errors: Option<u64>,
    /// The level of the inserts; the session's by default.
    pub consistency: Option<Consistency>,
    /// How often a row is tried.
    pub attempts: u32,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            header: false,
            delimiter: b',',
            quote: b'"',
            escape: Some(b'\\'),
            null: String::new(),
            skip_rows: 0,
            max_rows: None,
            concurrency: 128,
            max_errors: Some(1000),
            consistency: None,
            attempts: 5,
        }
    }
}

/// The most rows in flight.
const MAX_CONCURRENCY: usize = 4096;

impl LoadOptions {
    /// Says what makes no sense.
    pub(super) fn check(&self) -> Result<(), Error> {
        if !(1..=MAX_CONCURRENCY).contains(&self.concurrency) {
            return Err(Error::invalid(format!(
                "rows in flight must be 1 to {MAX_CONCURRENCY}"
            )));
        }
        if self.attempts == 0 {
            return Err(Error::invalid("a row must be tried at least once"));
        }
        if self.delimiter == self.quote {
            return Err(Error::invalid("the delimiter and the quote must differ"));
        }
        Ok(())
    }
}

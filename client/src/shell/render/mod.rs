//! Rows as text, page by page.

mod csv;
mod expanded;
mod json;
mod table;

use std::io::{self, Write};

use starling_cql::{ColumnSpec, request::Value};

use super::options::Format;

/// Where the rows of one result go. Memory is bounded by a page.
pub(super) trait Renderer: Send {
    /// Prints a page. The columns are the same each time.
    fn page(&mut self, out: &mut dyn Write, columns: &[ColumnSpec], rows: &[Vec<Value>]) -> io::Result<()>;

    /// The result is over: prints what closes it, given the number of rows in all.
    fn end(&mut self, out: &mut dyn Write, rows: u64) -> io::Result<()>;
}

/// The renderer of a format.
pub(super) fn renderer(format: Format, expand: bool, colours: bool) -> Box<dyn Renderer> {
    match format {
        Format::Table if expand => Box::new(expanded::Expanded::new(colours)),
        Format::Table => Box::new(table::Table::new(colours)),
        Format::Csv => Box::new(csv::Csv::default()),
        Format::Json => Box::new(json::Json::default()),
    }
}

//! Comma-separated values with a header; null is an empty field.

use std::io::{self, Write};

use starling_cql::{ColumnSpec, request::Value};

use super::Renderer;
use crate::text;

#[derive(Debug, Default)]
pub(super) struct Csv {
    has_header: bool,
}

impl Renderer for Csv {
    fn page(&mut self, out: &mut dyn Write, columns: &[ColumnSpec], rows: &[Vec<Value>]) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        if !self.has_header {
            self.has_header = true;
            writer.write_record(columns.iter().map(|column| &column.name))?;
        }
        for row in rows {
            let fields = columns.iter().zip(row);
            writer.write_record(fields.map(|(column, value)| {
                value
                    .as_ref()
                    .map_or_else(String::new, |value| text::plain(&column.cql_type, value))
            }))?;
        }
        writer.flush()
    }

    fn end(&mut self, _: &mut dyn Write, _: u64) -> io::Result<()> {
        Ok(())
    }
}

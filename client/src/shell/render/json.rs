//! An array of objects, a row a line.

use std::io::{self, Write};

use starling_cql::{ColumnSpec, request::Value};

use super::Renderer;
use crate::text;

#[derive(Debug, Default)]
pub(super) struct Json {
    rows: u64,
    is_open: bool,
}

impl Renderer for Json {
    fn page(&mut self, out: &mut dyn Write, columns: &[ColumnSpec], rows: &[Vec<Value>]) -> io::Result<()> {
        if !self.is_open {
            self.is_open = true;
            write!(out, "[")?;
        }
        for row in rows {
            out.write_all(if self.rows == 0 { b"\n{" } else { b",\n{" })?;
            for (index, (column, value)) in columns.iter().zip(row).enumerate() {
                if index > 0 {
                    out.write_all(b", ")?;
                }
                serde_json::to_writer(&mut *out, &column.name)?;
                write!(out, ": {}", text::json(&column.cql_type, value.as_ref()))?;
            }
            out.write_all(b"}")?;
            self.rows += 1;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write, _: u64) -> io::Result<()> {
        writeln!(out, "{}", if self.rows == 0 { "]" } else { "\n]" })
    }
}

//! Each row as a small table of its own, for rows that are wider than the screen.

use std::io::{self, Write};

use starling_cql::{ColumnSpec, request::Value};

use super::Renderer;
use crate::shell::colour::Ink;
use crate::text;

#[derive(Debug)]
pub(super) struct Expanded {
    colours: bool,
    number: u64,
}

impl Expanded {
    pub(super) fn new(colours: bool) -> Self {
        Self { colours, number: 0 }
    }
}

impl Renderer for Expanded {
    fn page(&mut self, out: &mut dyn Write, columns: &[ColumnSpec], rows: &[Vec<Value>]) -> io::Result<()> {
        let names: Vec<String> = columns.iter().map(|column| text::visible(&column.name)).collect();
        let name_width = names.iter().map(|name| text::width(name)).max().unwrap_or(0);
        for row in rows {
            self.number += 1;
            let values: Vec<String> = columns
                .iter()
                .zip(row)
                .map(|(column, value)| text::display(&column.cql_type, value.as_ref()))
                .collect();
            let value_width = values.iter().map(|value| text::width(value)).max().unwrap_or(0);
            writeln!(out, "\n@ Row {}", self.number)?;
            writeln!(
                out,
                "{}+{}",
                "-".repeat(name_width + 2),
                "-".repeat(value_width + 2)
            )?;
            for (((column, name), value), raw) in columns.iter().zip(&names).zip(&values).zip(row) {
                let pad = " ".repeat(name_width - text::width(name));
                let name = Ink::Header.paint(name, self.colours);
                let value = Ink::of(&column.cql_type, raw.is_none()).paint(value, self.colours);
                writeln!(out, "{}", format!(" {name}{pad} | {value}").trim_end())?;
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write, rows: u64) -> io::Result<()> {
        writeln!(out, "\n({rows} {})", if rows == 1 { "row" } else { "rows" })
    }
}

//! Aligned columns, in the shape of cqlsh.

use std::io::{self, Write};

use starling_cql::{ColumnSpec, CqlType, request::Value};

use super::Renderer;
use crate::shell::colour::Ink;
use crate::text;

/// A table whose columns are as wide as their widest value so far.
#[derive(Debug)]
pub(super) struct Table {
    colours: bool,
    widths: Vec<usize>,
}

impl Table {
    pub(super) fn new(colours: bool) -> Self {
        Self {
            colours,
            widths: Vec::new(),
        }
    }

    fn header(&self, out: &mut dyn Write, columns: &[ColumnSpec]) -> io::Result<()> {
        let names: Vec<_> = columns
            .iter()
            .zip(&self.widths)
            .map(|(column, width)| {
                let name = text::visible(&column.name);
                let pad = " ".repeat(width - text::width(&name));
                format!(" {}{pad} ", Ink::Header.paint(&name, self.colours))
            })
            .collect();
        writeln!(out, "{}", names.join("|").trim_end())?;
        let rules: Vec<_> = self.widths.iter().map(|width| "-".repeat(width + 2)).collect();
        writeln!(out, "{}", rules.join("+"))
    }

    fn row(&self, out: &mut dyn Write, columns: &[ColumnSpec], cells: &[Cell]) -> io::Result<()> {
        let mut line = String::new();
        for (index, ((column, cell), width)) in columns.iter().zip(cells).zip(&self.widths).enumerate() {
            let pad = " ".repeat(width - cell.width);
            let shown = Ink::of(&column.cql_type, cell.is_null).paint(&cell.text, self.colours);
            if index > 0 {
                line.push('|');
            }
            line.push(' ');
            if is_right_aligned(&column.cql_type) {
                line.push_str(&pad);
                line.push_str(&shown);
            } else {
                line.push_str(&shown);
                line.push_str(&pad);
            }
            line.push(' ');
        }
        writeln!(out, "{}", line.trim_end())
    }
}

struct Cell {
    text: String,
    width: usize,
    is_null: bool,
}

impl Cell {
    fn new(cql_type: &CqlType, value: &Value) -> Self {
        let text = text::display(cql_type, value.as_ref());
        Self {
            width: text::width(&text),
            text,
            is_null: value.is_none(),
        }
    }
}

impl Renderer for Table {
    fn page(&mut self, out: &mut dyn Write, columns: &[ColumnSpec], rows: &[Vec<Value>]) -> io::Result<()> {
        let is_first = self.widths.is_empty();
        if is_first {
            self.widths = columns
                .iter()
                .map(|column| text::width(&text::visible(&column.name)))
                .collect();
        }
        let cells: Vec<Vec<Cell>> = rows
            .iter()
            .map(|row| {
                columns
                    .iter()
                    .zip(row)
                    .map(|(column, value)| Cell::new(&column.cql_type, value))
                    .collect()
            })
            .collect();
        for row in &cells {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width);
            }
        }
        if is_first {
            writeln!(out)?;
            self.header(out, columns)?;
        }
        cells.iter().try_for_each(|row| self.row(out, columns, row))
    }

    fn end(&mut self, out: &mut dyn Write, rows: u64) -> io::Result<()> {
        writeln!(out, "\n({rows} {})", if rows == 1 { "row" } else { "rows" })
    }
}

/// Numbers and everything else but text are aligned right, as cqlsh does.
fn is_right_aligned(cql_type: &CqlType) -> bool {
    !matches!(cql_type, CqlType::Ascii | CqlType::Text)
}

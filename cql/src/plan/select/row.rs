//! A row as read: its columns' values at a moment.

use std::collections::BTreeMap;

use bytes::Bytes;
use starling_model::{Cell, CellValue, ColumnId, Expiry, Row, Seconds, Timestamp, Token};

use crate::{
    error::Error,
    ordered_key,
    request::Value,
    schema::Table,
    value::{self, Collection},
};

/// The values of a table's columns in one row, by their places in the table.
#[derive(Debug, Clone)]
pub(super) struct ReadRow {
    pub(super) values: Vec<Value>,
    /// When each single-cell column was written, and its end.
    pub(super) stamps: Vec<Option<(Timestamp, Option<Expiry>)>>,
    pub(super) token: Token,
}

impl ReadRow {
    pub(super) fn new(columns: usize, token: Token) -> Self {
        Self {
            values: vec![None; columns],
            stamps: vec![None; columns],
            token,
        }
    }

    /// Takes in the live cells of a row, or of the static row.
    pub(super) fn take(
        &mut self,
        row: &Row,
        table: &Table,
        places: &BTreeMap<ColumnId, usize>,
        now: Seconds,
    ) -> Result<(), Error> {
        for cells in row.cells.chunk_by(|a, b| a.column == b.column) {
            let Some(place) = cells.first().and_then(|cell| places.get(&cell.column)).copied() else {
                continue;
            };
            let column = &table.columns[place];
            if column.cql_type.is_multi_cell() {
                self.values[place] = collection(&column.cql_type, cells, now)?;
            } else if let Some(cell) = cells.iter().find(|cell| cell.path.is_none() && cell.is_live(now))
                && let CellValue::Live { value, expiry } = &cell.value
            {
                self.values[place] = Some(value.clone());
                self.stamps[place] = Some((cell.timestamp, *expiry));
            }
        }
        Ok(())
    }
}

/// Whether a reader sees the row: by its marker, or by a cell of a column that the table still has.
pub(super) fn is_live(row: &Row, table: &Table, now: Seconds) -> bool {
    row.marker
        .is_some_and(|marker| marker.expiry.is_none_or(|expiry| expiry.at > now))
        || row
            .cells
            .iter()
            .any(|cell| cell.is_live(now) && table.column_by_id(cell.column).is_some())
}

/// A collection's live elements as one value; null if there are none.
fn collection(cql_type: &crate::types::CqlType, cells: &[Cell], now: Seconds) -> Result<Value, Error> {
    let live =
        cells
            .iter()
            .filter(|cell| cell.is_live(now))
            .filter_map(|cell| match (&cell.path, &cell.value) {
                (Some(path), CellValue::Live { value, .. }) => Some((path, value)),
                _ => None,
            });
    let decode = |cql_type, path: &Bytes| {
        let mut input = &path[..];
        ordered_key::take_component(cql_type, false, &mut input)
            .map_err(|_| Error::server("the place of a collection's element is malformed"))
    };
    let mut count = 0;
    let mut items: Vec<Bytes> = Vec::new();
    for (path, value) in live {
        count += 1;
        match Collection::of(cql_type) {
            Some(Collection::Set(element)) => items.push(decode(element, path)?),
            Some(Collection::Map(key, _)) => items.extend([decode(key, path)?, value.clone()]),
            _ => items.push(value.clone()),
        }
    }
    Ok((count > 0).then(|| value::write_elements(count, items.iter().map(|item| &item[..]))))
}

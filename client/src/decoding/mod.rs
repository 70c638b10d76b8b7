//! CQL values to Rust values, through serde: the reverse of [`binding`](crate::binding).
//!
//! A row becomes a struct or map by column name, a tuple by position, or, if it has one column, that
//! column's value. Columns that a struct doesn't name are passed over. Null becomes `None`, `()` or, as CQL
//! has it, an empty collection; anything else is an error that names the column.
//!
//! Integers fit into whichever Rust integer holds them. `uuid`, `inet`, `date`, `time`, `decimal` and
//! `duration` come as text, or as bytes or numbers where the Rust type asks for these; `timestamp` comes as
//! milliseconds for integers and as RFC 3339 text for types that read text (those of jiff, chrono and time do).

mod cell;
mod collection;
mod row;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use starling_cql::{ColumnSpec, request::Value};

use crate::error::Error;
use cell::CellDeserializer;

/// A row as `T`.
pub fn row<'r, T: Deserialize<'r>>(columns: &'r [ColumnSpec], values: &'r [Value]) -> Result<T, Error> {
    if columns.len() != values.len() {
        return Err(Error::types(format!(
            "the row has {} values for {} columns; the server's answer is malformed",
            values.len(),
            columns.len()
        )));
    }
    T::deserialize(row::RowDeserializer { columns, values }).map_err(|error| Error::types(error.message))
}

/// One column's value as `T`.
pub fn column<'r, T: Deserialize<'r>>(
    column: &'r ColumnSpec,
    value: Option<&'r bytes::Bytes>,
) -> Result<T, Error> {
    let deserializer = CellDeserializer {
        cql_type: &column.cql_type,
        value: value.map(|value| &value[..]),
    };
    T::deserialize(deserializer).map_err(|error| Error::types(error.at(column).message))
}

/// What does not fit.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct DecodeError {
    message: String,
}

impl DecodeError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }

    /// Says which column it is about.
    fn at(self, column: &ColumnSpec) -> Self {
        Self::new(format!(
            "column {} of type {}: {}",
            column.name, column.cql_type, self.message
        ))
    }
}

impl serde::de::Error for DecodeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

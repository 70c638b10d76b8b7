//! Rust values to CQL values, through serde, checked against the types of the bind markers.
//!
//! | CQL | Rust |
//! |---|---|
//! | `tinyint` `smallint` `int` `bigint` `varint` `counter` | any integer that fits |
//! | `float` | `f32` |
//! | `double` | `f64`, `f32` |
//! | `boolean` | `bool` |
//! | `text` `ascii` | `&str`, `String`, `char`, unit variants of enums |
//! | `blob` | bytes (`serde_bytes`), `Vec<u8>` |
//! | `uuid` `timeuuid` `inet` | `uuid::Uuid`, `std::net::IpAddr`, their text, or 16 (4) bytes |
//! | `timestamp` | milliseconds since the epoch as an integer, or text |
//! | `date` | days since the epoch as an integer, or text |
//! | `time` | nanoseconds since midnight as an integer, or text |
//! | `decimal` `varint` `duration` | text |
//! | `list` `set` | sequences; `map`: maps |
//! | null | `None`, `()` |
//! | not set | [`Unset`], [`Maybe::Unset`] |
//!
//! ```
//! # use starling_client::{ColumnSpec, CqlType, binding};
//! # let marker = |name: &str, cql_type| ColumnSpec {
//! #     keyspace: "k".into(), table: "t".into(), name: name.into(), cql_type,
//! # };
//! #[derive(serde::Serialize)]
//! struct Person<'a> {
//!     age: Option<u8>,
//!     name: &'a str,
//! }
//!
//! let markers = [marker("name", CqlType::Text), marker("age", CqlType::Int)];
//! let by_name = binding::bind(&markers, &Person { name: "Ada", age: Some(36) })?;
//! let by_position = binding::bind(&markers, &("Ada", 36))?;
//! assert_eq!(by_name, by_position);
//!
//! let error = binding::bind(&markers, &("Ada", "36")).unwrap_err();
//! assert_eq!(error.to_string(), "column age is of type int, which a string can't be bound to");
//! # Ok::<(), starling_client::Error>(())
//! ```

mod cell;
mod collection;
mod row;
mod shapes;
#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer};
use starling_cql::{ColumnSpec, Values};

use crate::error::Error;

/// Binds a value's fields to markers: a struct or a map by name, a tuple or a sequence by position, `()` to
/// no markers at all. Each marker must get a value, and each value a marker.
pub fn bind(markers: &[ColumnSpec], values: &impl Serialize) -> Result<Values, Error> {
    values
        .serialize(row::RowSerializer { markers })
        .map_err(Error::from)
}

/// Leaves a column as it is: neither a value nor null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unset;

/// What serde knows [`Unset`] by.
const UNSET: &str = "$starling_client::Unset";

impl Serialize for Unset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit_struct(UNSET)
    }
}

/// A value that may be left unset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Maybe<T> {
    /// Leaves the column as it is.
    #[default]
    Unset,
    /// Writes a value, or null.
    Set(T),
}

impl<T: Serialize> Serialize for Maybe<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unset => Unset.serialize(serializer),
            Self::Set(value) => value.serialize(serializer),
        }
    }
}

/// What does not fit.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BindError(String);

impl serde::ser::Error for BindError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl From<BindError> for Error {
    fn from(error: BindError) -> Self {
        Self::types(error.0)
    }
}

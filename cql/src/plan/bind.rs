//! Bind markers: their types when a statement is prepared, their values when it is executed.

use std::collections::BTreeMap;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    ast::Marker,
    error::Error,
    request::{Bound, Values},
    result::ColumnSpec,
    schema::{Column, Table},
    types::CqlType,
    value,
};

/// What a term is wanted for: where it goes, and as which type.
#[derive(Debug, Clone)]
pub(super) struct Target {
    spec: ColumnSpec,
}

impl Target {
    /// A column.
    pub(super) fn column(table: &Table, column: &Column) -> Self {
        Self::of(table, &column.name, column.cql_type.clone())
    }

    /// Something of a table's statement that is no column.
    pub(super) fn of(table: &Table, name: &str, cql_type: CqlType) -> Self {
        Self {
            spec: ColumnSpec {
                keyspace: table.keyspace.clone(),
                table: table.name.clone(),
                name: name.to_owned(),
                cql_type,
            },
        }
    }

    /// Something without a table.
    pub(super) fn named(name: &str, cql_type: &CqlType) -> Self {
        let spec = ColumnSpec {
            keyspace: String::new(),
            table: String::new(),
            name: name.to_owned(),
            cql_type: cql_type.clone(),
        };
        Self { spec }
    }

    /// The same place, for something of another type: `value(column)`, `key(column)`.
    pub(super) fn part(&self, part: &str, cql_type: &CqlType) -> Self {
        let name = format!("{part}({})", self.spec.name);
        Self {
            spec: ColumnSpec {
                name,
                cql_type: cql_type.clone(),
                ..self.spec.clone()
            },
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.spec.name
    }

    pub(super) fn cql_type(&self) -> &CqlType {
        &self.spec.cql_type
    }
}

/// Collects the markers of a statement.
#[derive(Debug, Default)]
pub(super) struct Markers {
    specs: BTreeMap<u16, ColumnSpec>,
}

impl Markers {
    /// Notes what a marker stands for.
    pub(super) fn note(&mut self, marker: &Marker, target: &Target) {
        let mut spec = target.spec.clone();
        if let Some(name) = &marker.name {
            spec.name.clone_from(name);
        }
        self.specs.insert(marker.index, spec);
    }

    /// All markers in order.
    pub(super) fn finish(self) -> Result<Vec<ColumnSpec>, Error> {
        let complete = self
            .specs
            .keys()
            .enumerate()
            .all(|(at, index)| usize::from(*index) == at);
        if !complete {
            return Err(Error::invalid(
                "a bind marker stands where its type can't be known",
            ));
        }
        Ok(self.specs.into_values().collect())
    }
}

/// What a value is when a statement is executed.
pub(super) type Evaluated = Bound;

/// The values of one execution, by the markers' positions. Each is checked, and in the form that is stored.
#[derive(Debug, Default)]
pub(super) struct BoundValues {
    values: Vec<Bound>,
}

impl BoundValues {
    /// Assigns values to markers and checks each against its type.
    pub(super) fn new(markers: &[ColumnSpec], values: &Values) -> Result<Self, Error> {
        let values = match values {
            Values::Positional(values) => {
                if values.len() != markers.len() {
                    return Err(Error::invalid(format!(
                        "Invalid amount of bind variables: {} are expected, {} were given",
                        markers.len(),
                        values.len()
                    )));
                }
                values.clone()
            }
            Values::Named(values) => markers
                .iter()
                .map(|marker| by_name(&marker.name, values))
                .collect(),
        };
        let checked = markers
            .iter()
            .zip(values)
            .map(|(marker, value)| check(marker, value));
        Ok(Self {
            values: checked.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn get(&self, index: u16) -> Evaluated {
        self.values
            .get(usize::from(index))
            .cloned()
            .unwrap_or(Bound::Unset)
    }

    /// Tells these values from others, with a statement's `seed`.
    pub(super) fn fingerprint(&self, seed: u64) -> u64 {
        self.values.iter().fold(seed, |hash, value| match value {
            Bound::Unset => xxh3_64_with_seed(b"", hash),
            Bound::Value(None) => xxh3_64_with_seed(b"", !hash),
            Bound::Value(Some(bytes)) => xxh3_64_with_seed(bytes, hash.wrapping_add(1 + bytes.len() as u64)),
        })
    }
}

/// A marker that no value is named for is not set.
fn by_name(name: &str, values: &[(String, Bound)]) -> Bound {
    values
        .iter()
        .find(|(given, _)| given == name)
        .map_or(Bound::Unset, |(_, value)| value.clone())
}

fn check(marker: &ColumnSpec, value: Bound) -> Result<Bound, Error> {
    match value {
        Bound::Value(Some(bytes)) => {
            let stored = check_value(&marker.name, &marker.cql_type, &bytes)?;
            Ok(Bound::Value(Some(stored)))
        }
        other => Ok(other),
    }
}

/// Checks one value's size and bytes.
pub(super) fn check_value(name: &str, cql_type: &CqlType, bytes: &Bytes) -> Result<Bytes, Error> {
    if bytes.len() > starling_model::cell::MAX_VALUE_BYTES {
        return Err(Error::invalid(format!(
            "the value for {name} has {} bytes; at most {} are taken",
            bytes.len(),
            starling_model::cell::MAX_VALUE_BYTES
        )));
    }
    value::normalize(cql_type, bytes)
        .map_err(|error| Error::invalid(format!("{} (value for {name} of type {cql_type})", error.message)))
}

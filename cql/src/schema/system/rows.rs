//! The rows of `system_schema` and `system_virtual_schema`.

use bytes::Bytes;

use super::{VIRTUAL_SCHEMA, text_map};
use crate::{
    request::Value,
    schema::{Column, ColumnKind, Keyspace, Schema, Setting, Table},
    value,
};

/// A row of a virtual table: columns by name, with their values in CQL's serialization. Columns that are
/// left out are null.
pub type SystemRow = Vec<(&'static str, Value)>;

/// The rows of a table of `system_schema` or `system_virtual_schema`; `None` for other tables.
pub fn rows(schema: &Schema, table: &Table) -> Option<Vec<SystemRow>> {
    let is_virtual = match table.keyspace.as_str() {
        "system_schema" => false,
        VIRTUAL_SCHEMA => true,
        _ => return None,
    };
    let listed = |keyspace: &Keyspace| keyspace.is_virtual() == is_virtual;
    let keyspaces = schema.keyspaces().filter(|keyspace| listed(keyspace));
    let tables = || {
        let keyspaces = schema.keyspaces().filter(|keyspace| listed(keyspace));
        keyspaces.flat_map(|keyspace| schema.tables(&keyspace.name))
    };
    Some(match (table.name.as_str(), is_virtual) {
        ("keyspaces", false) => keyspaces.map(|keyspace| keyspace_row(keyspace)).collect(),
        ("keyspaces", true) => keyspaces
            .map(|keyspace| vec![("keyspace_name", text(&keyspace.name))])
            .collect(),
        ("tables", false) => tables().map(|table| table_row(table)).collect(),
        ("tables", true) => tables()
            .map(|table| {
                let mut row = names(table);
                row.push(("comment", text(&table.options.text("comment"))));
                row
            })
            .collect(),
        ("columns", _) => tables()
            .flat_map(|table| table.columns.iter().map(|column| column_row(table, column)))
            .collect(),
        ("dropped_columns", false) => tables().flat_map(|table| dropped_rows(table)).collect(),
        // Kinds of objects that there are none of.
        _ => Vec::new(),
    })
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "it makes a value as rows have it, where null is possible"
)]
fn text(text: &str) -> Value {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "it makes a value as rows have it, where null is possible"
)]
fn boolean(value: bool) -> Value {
    Some(Bytes::copy_from_slice(&[u8::from(value)]))
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "it makes a value as rows have it, where null is possible"
)]
fn int(value: i32) -> Value {
    Some(Bytes::copy_from_slice(&value.to_be_bytes()))
}

fn names(table: &Table) -> SystemRow {
    vec![
        ("keyspace_name", text(&table.keyspace)),
        ("table_name", text(&table.name)),
    ]
}

fn keyspace_row(keyspace: &Keyspace) -> SystemRow {
    vec![
        ("keyspace_name", text(&keyspace.name)),
        ("durable_writes", boolean(keyspace.durable_writes)),
        ("replication", Some(text_map(&keyspace.replication.map()))),
    ]
}

fn table_row(table: &Table) -> SystemRow {
    let mut row = names(table);
    row.push(("id", Some(Bytes::copy_from_slice(&table.id.0.to_be_bytes()))));
    // Without it drivers take the table for one of COMPACT STORAGE.
    row.push(("flags", Some(value::write_elements(1, [&b"compound"[..]]))));
    row.push(("dclocal_read_repair_chance", double("0.0")));
    for (name, setting) in table.options.all() {
        let value = match (&setting, name) {
            (Setting::Map(_), "extensions") => Some(value::write_elements(0, [])),
            (Setting::Map(map), _) => Some(text_map(map)),
            (
                Setting::Scalar(scalar),
                "bloom_filter_fp_chance" | "crc_check_chance" | "read_repair_chance",
            ) => double(scalar),
            (Setting::Scalar(scalar), "cdc") => boolean(scalar == "true"),
            (Setting::Scalar(scalar), _) if table.options.is_text(name) => text(scalar),
            (Setting::Scalar(scalar), _) => int(scalar.parse().unwrap_or(0)),
        };
        row.push((name, value));
    }
    row
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "it makes a value as rows have it, where null is possible"
)]
fn double(number: &str) -> Value {
    let number: f64 = number.parse().unwrap_or(0.0);
    Some(Bytes::copy_from_slice(&number.to_be_bytes()))
}

fn column_row(table: &Table, column: &Column) -> SystemRow {
    let order = match column.kind {
        ColumnKind::Clustering { descending: true } => "desc",
        ColumnKind::Clustering { descending: false } => "asc",
        _ => "none",
    };
    let mut row = names(table);
    row.extend([
        ("column_name", text(&column.name)),
        ("clustering_order", text(order)),
        ("column_name_bytes", text(&column.name)),
        ("kind", text(column.kind.name())),
        ("position", int(table.position(column))),
        ("type", text(&column.cql_type.to_string())),
    ]);
    row
}

/// A column that was dropped more than once is listed as it was last.
fn dropped_rows(table: &Table) -> Vec<SystemRow> {
    let mut rows = std::collections::BTreeMap::new();
    for dropped in &table.dropped {
        let mut row = names(table);
        row.extend([
            ("column_name", text(&dropped.column.name)),
            (
                "dropped_time",
                Some(Bytes::copy_from_slice(&(dropped.dropped.0 / 1000).to_be_bytes())),
            ),
            ("kind", text(dropped.column.kind.name())),
            ("type", text(&dropped.column.cql_type.to_string())),
        ]);
        rows.insert(dropped.column.name.as_str(), row);
    }
    rows.into_values().collect()
}

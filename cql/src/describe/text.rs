//! CREATE statements.

use std::{collections::BTreeMap, fmt::Write};

use crate::{
    parser::quoted,
    schema::{Column, ColumnKind, Keyspace, Setting, Table},
};

fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn map(pairs: &BTreeMap<String, String>) -> String {
    // The class comes first, as a reader expects it.
    let class = pairs.get_key_value("class");
    let rest = pairs.iter().filter(|(key, _)| *key != "class");
    let items: Vec<String> = class
        .into_iter()
        .chain(rest)
        .map(|(key, value)| format!("{}: {}", string(key), string(value)))
        .collect();
    format!("{{{}}}", items.join(", "))
}

/// `CREATE KEYSPACE ...;`
pub fn create_keyspace(keyspace: &Keyspace) -> String {
    let mut replication = keyspace.replication.map();
    replication.insert("class".to_owned(), keyspace.replication.short_class().to_owned());
    format!(
        "CREATE KEYSPACE {} WITH replication = {} AND durable_writes = {};",
        quoted(&keyspace.name),
        map(&replication),
        keyspace.durable_writes
    )
}

fn names(columns: &[Column]) -> String {
    columns
        .iter()
        .map(|column| quoted(&column.name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// `CREATE TABLE ...;` with all options.
pub fn create_table(table: &Table) -> String {
    let mut out = format!(
        "CREATE TABLE {}.{} (\n",
        quoted(&table.keyspace),
        quoted(&table.name)
    );
    let single = table.partition_key().len() == 1 && table.clustering().is_empty();
    for column in &table.columns {
        let _ = write!(out, "    {} {}", quoted(&column.name), column.cql_type);
        if column.kind == ColumnKind::Static {
            out.push_str(" static");
        }
        let is_whole_key = single && column.kind == ColumnKind::PartitionKey;
        let last = table.columns.last().is_some_and(|last| last.id == column.id);
        out.push_str(if is_whole_key { " PRIMARY KEY" } else { "" });
        out.push_str(if single && last { "\n" } else { ",\n" });
    }
    if !single {
        let partition_key = names(table.partition_key());
        let partition_key = if table.partition_key().len() > 1 {
            format!("({partition_key})")
        } else {
            partition_key
        };
        let comma = if table.clustering().is_empty() { "" } else { ", " };
        let partition_key = if table.clustering().is_empty() && table.partition_key().len() > 1 {
            partition_key
        } else {
            format!("{partition_key}{comma}{}", names(table.clustering()))
        };
        let _ = writeln!(out, "    PRIMARY KEY ({partition_key})");
    }
    out.push(')');
    let mut options = Vec::new();
    if !table.clustering().is_empty() {
        let order: Vec<String> = table
            .clustering()
            .iter()
            .map(|column| {
                format!(
                    "{} {}",
                    quoted(&column.name),
                    if column.is_descending() { "DESC" } else { "ASC" }
                )
            })
            .collect();
        options.push(format!("CLUSTERING ORDER BY ({})", order.join(", ")));
    }
    for (name, setting) in table.options.all() {
        let value = match &setting {
            Setting::Map(pairs) => map(pairs),
            Setting::Scalar(text) if table.options.is_text(name) => string(text),
            Setting::Scalar(text) => text.clone(),
        };
        options.push(format!("{name} = {value}"));
    }
    let _ = write!(out, " WITH {};", options.join("\n    AND "));
    out
}

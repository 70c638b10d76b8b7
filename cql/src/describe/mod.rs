//! DESCRIBE, answered by the server: lists of objects, and CREATE statements that parse back to the same schema.

mod text;

pub use text::{create_keyspace, create_table};

use bytes::Bytes;

use crate::{
    ast::{Describe, TableName},
    error::Error,
    request::Value,
    result::{ColumnSpec, Rows},
    schema::{Keyspace, Schema, Table},
    types::CqlType,
};

/// What DESCRIBE CLUSTER returns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterInfo {
    /// The cluster's name.
    pub cluster: String,
    /// The partitioner's class name.
    pub partitioner: String,
    /// What Cassandra calls the snitch: who knows the racks and datacenters.
    pub snitch: String,
    /// For each range of the ring, its end token and the replicas' addresses; of the connection's
    /// keyspace. May be empty.
    pub range_ownership: Vec<(String, Vec<String>)>,
}

/// A DESCRIBE that is ready to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribePlan {
    statement: Describe,
    keyspace: Option<String>,
}

impl DescribePlan {
    pub(crate) fn new(statement: &Describe, keyspace: Option<&str>) -> Self {
        Self {
            statement: statement.clone(),
            keyspace: keyspace.map(str::to_owned),
        }
    }

    /// The answer. Objects that don't exist are Invalid errors, as Cassandra has them.
    pub fn rows(&self, schema: &Schema, cluster: ClusterInfo) -> Result<Rows, Error> {
        match &self.statement {
            Describe::Cluster => Ok(cluster_rows(&cluster)),
            Describe::Schema { full } => {
                let mut rows = Vec::new();
                for keyspace in schema
                    .keyspaces()
                    .filter(|keyspace| *full || !keyspace.is_system())
                {
                    push_keyspace(&mut rows, schema, keyspace, false);
                }
                Ok(statements(rows))
            }
            Describe::Keyspaces => {
                let rows = schema
                    .keyspaces()
                    .map(|keyspace| object(&keyspace.name, "keyspace", &keyspace.name));
                Ok(list(rows.collect()))
            }
            Describe::Tables => self.tables(schema),
            Describe::Keyspace { name, only } => {
                let name = name
                    .as_deref()
                    .or(self.keyspace.as_deref())
                    .ok_or_else(no_keyspace)?;
                let keyspace = schema.keyspace(name).ok_or_else(|| missing_keyspace(name))?;
                let mut rows = Vec::new();
                push_keyspace(&mut rows, schema, keyspace, *only);
                Ok(statements(rows))
            }
            Describe::Table(name) => {
                let keyspace = self.keyspace_of(schema, name)?;
                let table = schema.table(keyspace, &name.name);
                let table = table.ok_or_else(|| {
                    Error::invalid(format!(
                        "Table '{}' not found in keyspace '{keyspace}'",
                        name.name
                    ))
                })?;
                Ok(statements(vec![table_row(table)]))
            }
            Describe::None => Ok(list(Vec::new())),
            Describe::Missing { kind, name } => {
                let keyspace = self.keyspace_of(schema, name)?;
                let mut kind = (*kind).to_owned();
                kind[..1].make_ascii_uppercase();
                Err(Error::invalid(format!(
                    "{kind} '{}' not found in '{keyspace}'",
                    name.name
                )))
            }
            Describe::Any(name) => self.any(schema, name),
        }
    }

    fn keyspace_of<'a>(&'a self, schema: &Schema, name: &'a TableName) -> Result<&'a str, Error> {
        let keyspace = name
            .keyspace
            .as_deref()
            .or(self.keyspace.as_deref())
            .ok_or_else(no_keyspace)?;
        if schema.keyspace(keyspace).is_none() {
            return Err(missing_keyspace(keyspace));
        }
        Ok(keyspace)
    }

    /// All tables, or those of the connection's keyspace.
    fn tables(&self, schema: &Schema) -> Result<Rows, Error> {
        if let Some(keyspace) = &self.keyspace
            && schema.keyspace(keyspace).is_none()
        {
            return Err(missing_keyspace(keyspace));
        }
        let wanted = |table: &Table| {
            self.keyspace
                .as_ref()
                .is_none_or(|keyspace| table.keyspace == *keyspace)
        };
        let rows = schema
            .all_tables()
            .filter(|table| wanted(table))
            .map(|table| object(&table.keyspace, "table", &table.name));
        Ok(list(rows.collect()))
    }

    /// A keyspace of this name, else a table.
    fn any(&self, schema: &Schema, name: &TableName) -> Result<Rows, Error> {
        if name.keyspace.is_none()
            && let Some(keyspace) = schema.keyspace(&name.name)
        {
            let mut rows = Vec::new();
            push_keyspace(&mut rows, schema, keyspace, false);
            return Ok(statements(rows));
        }
        let keyspace = name.keyspace.as_deref().or(self.keyspace.as_deref());
        if let Some(keyspace) = keyspace
            && let Some(table) = schema.table(keyspace, &name.name)
        {
            return Ok(statements(vec![table_row(table)]));
        }
        let place = keyspace.map_or_else(
            || "no keyspace is in use".to_owned(),
            |keyspace| format!("keyspace '{keyspace}'"),
        );
        Err(Error::invalid(format!(
            "'{}' not found in keyspaces, nor as a table ({place})",
            name.name
        )))
    }
}

fn no_keyspace() -> Error {
    Error::invalid("No keyspace specified and no current keyspace")
}

fn missing_keyspace(name: &str) -> Error {
    Error::invalid(format!("'{name}' not found in keyspaces"))
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "it makes a value as rows have it, where null is possible"
)]
fn text(text: &str) -> Value {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

fn object(keyspace: &str, kind: &str, name: &str) -> Vec<Value> {
    // As Cassandra: names as they have to be written in CQL.
    let quoted = crate::parser::quoted;
    vec![text(&quoted(keyspace)), text(kind), text(&quoted(name))]
}

fn table_row(table: &Table) -> Vec<Value> {
    let mut row = object(&table.keyspace, "table", &table.name);
    row.push(text(&create_table(table)));
    row
}

fn push_keyspace(rows: &mut Vec<Vec<Value>>, schema: &Schema, keyspace: &Keyspace, only: bool) {
    let mut row = object(&keyspace.name, "keyspace", &keyspace.name);
    row.push(text(&create_keyspace(keyspace)));
    rows.push(row);
    if !only {
        rows.extend(schema.tables(&keyspace.name).map(|table| table_row(table)));
    }
}

/// The columns of every DESCRIBE are of this place, as in Cassandra.
fn spec(name: &str, cql_type: CqlType) -> ColumnSpec {
    ColumnSpec {
        keyspace: "system".to_owned(),
        table: "describe".to_owned(),
        name: name.to_owned(),
        cql_type,
    }
}

fn list(rows: Vec<Vec<Value>>) -> Rows {
    texts(&["keyspace_name", "type", "name"], rows)
}

fn statements(rows: Vec<Vec<Value>>) -> Rows {
    texts(&["keyspace_name", "type", "name", "create_statement"], rows)
}

fn texts(columns: &[&str], rows: Vec<Vec<Value>>) -> Rows {
    Rows {
        columns: columns.iter().map(|name| spec(name, CqlType::Text)).collect(),
        rows,
        paging_state: None,
    }
}

fn cluster_rows(cluster: &ClusterInfo) -> Rows {
    let mut columns = ["cluster", "partitioner", "snitch"]
        .map(|name| spec(name, CqlType::Text))
        .to_vec();
    let mut row = vec![
        text(&cluster.cluster),
        text(&cluster.partitioner),
        text(&cluster.snitch),
    ];
    if !cluster.range_ownership.is_empty() {
        let replicas = CqlType::List {
            element: Box::new(CqlType::Text),
            frozen: true,
        };
        let ranges = CqlType::Map {
            key: Box::new(CqlType::Text),
            value: Box::new(replicas),
            frozen: false,
        };
        columns.push(spec("range_ownership", ranges));
        row.push(Some(ownership(&cluster.range_ownership)));
    }
    Rows {
        columns: columns.into(),
        rows: vec![row],
        paging_state: None,
    }
}

fn ownership(ranges: &[(String, Vec<String>)]) -> Bytes {
    let encoded: Vec<(&str, Bytes)> = ranges
        .iter()
        .map(|(token, replicas)| {
            let replicas =
                crate::value::write_elements(replicas.len(), replicas.iter().map(String::as_bytes));
            (token.as_str(), replicas)
        })
        .collect();
    let items = encoded
        .iter()
        .flat_map(|(token, replicas)| [token.as_bytes(), &replicas[..]]);
    crate::value::write_elements(encoded.len(), items)
}

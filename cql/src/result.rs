//! What a request that succeeded returns, whichever wire it goes by.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{request::Value, types::CqlType};

/// A column of a result, or a bind marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSpec {
    /// The keyspace it is from.
    pub keyspace: String,
    /// The table it is from.
    pub table: String,
    /// Its name or the expression's text.
    pub name: String,
    /// Its type.
    pub cql_type: CqlType,
}

/// Rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// The columns: the statement's own, which all its executions share.
    pub columns: Arc<[ColumnSpec]>,
    /// One value for each column.
    pub rows: Vec<Vec<Value>>,
    /// Where the next page begins; `None`: there is none.
    pub paging_state: Option<Bytes>,
}

/// What PREPARE returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedMetadata {
    /// By which the statement is executed.
    pub id: Bytes,
    /// Changes when the result's columns do (v5).
    pub result_id: Bytes,
    /// The bind markers.
    pub markers: Vec<ColumnSpec>,
    /// Which markers are the partition key's components, in order; empty if some component is not bound.
    pub partition_key: Vec<u16>,
    /// The result's columns; empty for statements that return none.
    pub columns: Vec<ColumnSpec>,
}

/// What a schema change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// It is different.
    Updated,
    /// It is gone.
    Dropped,
}

/// What a schema change is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchemaTarget {
    /// A keyspace.
    Keyspace,
    /// A table, by name.
    Table(String),
}

/// A schema change, as result and as event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaChange {
    /// What was done.
    pub change: ChangeKind,
    /// The keyspace.
    pub keyspace: String,
    /// What in it.
    pub target: SchemaTarget,
}

/// The outcome of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueryResult {
    /// Done; nothing to return.
    Void,
    /// Rows.
    Rows(Rows),
    /// USE: the connection's keyspace is now this.
    SetKeyspace(String),
    /// The schema changed.
    SchemaChange(SchemaChange),
}

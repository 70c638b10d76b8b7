//! A request to carry out statements, whichever wire it came by.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use starling_model::{Consistency, Timestamp};

/// A bound value: `None` is null.
pub type Value = Option<Bytes>;

/// A value for a bind marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound {
    /// A value in its CQL serialization, or null.
    Value(Value),
    /// Not set: the column is left as it is (protocol v4, section 4.1.4).
    Unset,
}

/// Values for bind markers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Values {
    /// By position.
    Positional(Vec<Bound>),
    /// By name.
    Named(Vec<(String, Bound)>),
}

impl Default for Values {
    fn default() -> Self {
        Self::Positional(Vec::new())
    }
}

/// What comes with a statement (protocol v5, section 4.1.4 `<query_parameters>`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryParameters {
    /// How many replicas must answer.
    pub consistency: Consistency,
    /// For conditional writes; SERIAL if absent.
    pub serial_consistency: Option<Consistency>,
    /// Values for the bind markers.
    pub values: Values,
    /// Rows a page; `None` is all in one.
    pub page_size: Option<u32>,
    /// Where the last page ended, as the server gave it.
    pub paging_state: Option<Bytes>,
    /// Timestamp of writes that have no USING TIMESTAMP, in microseconds.
    pub timestamp: Option<Timestamp>,
    /// The keyspace of unqualified names, instead of the connection's.
    pub keyspace: Option<String>,
    /// The present second, for tests of TTL (v5).
    pub now_in_seconds: Option<i32>,
    /// The client knows the columns already: metadata may be left out.
    pub skip_metadata: bool,
}

impl QueryParameters {
    /// Parameters with a level and nothing else.
    pub fn with_consistency(consistency: Consistency) -> Self {
        Self {
            consistency,
            serial_consistency: None,
            values: Values::default(),
            page_size: None,
            paging_state: None,
            timestamp: None,
            keyspace: None,
            now_in_seconds: None,
            skip_metadata: false,
        }
    }
}

/// A statement as text, or the id of a prepared one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statement {
    /// CQL text.
    Text(String),
    /// The id that PREPARE gave.
    Prepared(Bytes),
}

/// How a batch behaves when its coordinator dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchKind {
    /// All of it is applied, in the end.
    Logged,
    /// Each part on its own.
    Unlogged,
    /// Counter updates.
    Counter,
}

/// A part of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchEntry {
    /// An INSERT, UPDATE or DELETE.
    pub statement: Statement,
    /// Its values.
    pub values: Values,
}

/// A BATCH message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRequest {
    /// Logged or not.
    pub kind: BatchKind,
    /// Its parts, in order.
    pub entries: Vec<BatchEntry>,
    /// Level, timestamp, keyspace; values and paging do not apply.
    pub parameters: QueryParameters,
}

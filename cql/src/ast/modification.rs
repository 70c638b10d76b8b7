//! INSERT, UPDATE, DELETE, and batches of them.

use super::{Relation, Statement, TableName, Term};
use crate::request::BatchKind;

/// USING TIMESTAMP and USING TTL.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Using {
    /// Microseconds.
    pub timestamp: Option<Term>,
    /// Seconds.
    pub ttl: Option<Term>,
}

/// INSERT.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// Where to.
    pub table: TableName,
    /// The columns.
    pub columns: Vec<String>,
    /// As many values.
    pub values: Vec<Term>,
    /// USING.
    pub using: Using,
}

/// UPDATE.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The table.
    pub table: TableName,
    /// USING.
    pub using: Using,
    /// SET.
    pub assignments: Vec<Assignment>,
    /// WHERE.
    pub relations: Vec<Relation>,
}

/// One assignment of SET.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The column.
    pub column: String,
    /// What happens to it.
    pub change: Change,
}

/// What an assignment does to its column.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// `c = value`.
    Set(Term),
    /// `c = c + value` or `c += value`.
    Add(Term),
    /// `c = c - value` or `c -= value`.
    Subtract(Term),
    /// `c = value + c`.
    Prepend(Term),
    /// `c[key] = value`.
    Element {
        /// Map key or list index.
        key: Term,
        /// The value.
        value: Term,
    },
}

/// DELETE.
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    /// Which columns; none: whole rows.
    pub targets: Vec<DeleteTarget>,
    /// From where.
    pub table: TableName,
    /// USING TIMESTAMP.
    pub using: Using,
    /// WHERE.
    pub relations: Vec<Relation>,
}

/// A column or an element to delete.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteTarget {
    /// The column.
    pub column: String,
    /// Which element of it.
    pub element: Option<Term>,
}

/// BEGIN BATCH ... APPLY BATCH.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Logged or not.
    pub kind: BatchKind,
    /// USING TIMESTAMP for all parts without their own.
    pub using: Using,
    /// INSERT, UPDATE and DELETE statements.
    pub statements: Vec<Statement>,
}

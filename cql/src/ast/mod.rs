//! What a statement says, before it is checked against the schema.
//!
//! Identifiers are in their final form: lower case unless they were quoted. Bind markers carry their
//! position in the statement, counted from 0 in the order of the text.

mod definition;
mod modification;
mod select;
mod term;

pub use definition::{
    AlterKeyspace, AlterTable, ColumnDefinition, CreateKeyspace, CreateTable, Describe, DropKeyspace,
    DropTable, OptionValue, TableChange,
};
pub use modification::{Assignment, Batch, Change, Delete, DeleteTarget, Insert, Update, Using};
pub use select::{InValues, Operator, Relation, Select, Selectable, Selection, Selector};
pub use term::{Literal, Marker, Term};

/// A table's name, with its keyspace if the statement gives one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The keyspace; `None`: the connection's.
    pub keyspace: Option<String>,
    /// The table.
    pub name: String,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// SELECT.
    Select(Select),
    /// INSERT.
    Insert(Insert),
    /// UPDATE.
    Update(Update),
    /// DELETE.
    Delete(Delete),
    /// BEGIN BATCH ... APPLY BATCH.
    Batch(Batch),
    /// CREATE KEYSPACE.
    CreateKeyspace(CreateKeyspace),
    /// ALTER KEYSPACE.
    AlterKeyspace(AlterKeyspace),
    /// DROP KEYSPACE.
    DropKeyspace(DropKeyspace),
    /// CREATE TABLE.
    CreateTable(CreateTable),
    /// ALTER TABLE.
    AlterTable(AlterTable),
    /// DROP TABLE.
    DropTable(DropTable),
    /// USE.
    Use(String),
    /// TRUNCATE.
    Truncate(TableName),
    /// DESCRIBE.
    Describe(Describe),
}

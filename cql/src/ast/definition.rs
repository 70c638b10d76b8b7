//! Schema definition: CREATE, ALTER, DROP, and DESCRIBE.

use super::TableName;
use crate::types::CqlType;

/// A value after WITH name =.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// A constant, without quotes.
    Literal(String),
    /// `{'a': 'b'}`, keys and values without quotes.
    Map(Vec<(String, String)>),
}

/// CREATE KEYSPACE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateKeyspace {
    /// Its name.
    pub name: String,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// WITH.
    pub options: Vec<(String, OptionValue)>,
}

/// ALTER KEYSPACE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterKeyspace {
    /// Its name.
    pub name: String,
    /// IF EXISTS.
    pub if_exists: bool,
    /// WITH.
    pub options: Vec<(String, OptionValue)>,
}

/// DROP KEYSPACE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropKeyspace {
    /// Its name.
    pub name: String,
    /// IF EXISTS.
    pub if_exists: bool,
}

/// A column in CREATE TABLE or ALTER TABLE ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type.
    pub cql_type: CqlType,
    /// STATIC.
    pub is_static: bool,
}

/// CREATE TABLE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTable {
    /// Its name.
    pub table: TableName,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// Its columns, as written.
    pub columns: Vec<ColumnDefinition>,
    /// The partition key's columns, in order.
    pub partition_key: Vec<String>,
    /// The clustering columns, in order.
    pub clustering: Vec<String>,
    /// CLUSTERING ORDER BY: column and whether it descends.
    pub clustering_order: Vec<(String, bool)>,
    /// The rest of WITH.
    pub options: Vec<(String, OptionValue)>,
}

/// ALTER TABLE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterTable {
    /// The table.
    pub table: TableName,
    /// IF EXISTS.
    pub if_exists: bool,
    /// What is done to it.
    pub change: TableChange,
}

/// What ALTER TABLE does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableChange {
    /// ADD.
    Add {
        /// IF NOT EXISTS: skip columns that exist.
        if_not_exists: bool,
        /// The new columns.
        columns: Vec<ColumnDefinition>,
    },
    /// DROP.
    Drop {
        /// IF EXISTS: skip columns that don't.
        if_exists: bool,
        /// The columns.
        columns: Vec<String>,
    },
    /// RENAME, from and to.
    Rename {
        /// IF EXISTS: skip columns that don't.
        if_exists: bool,
        /// Old and new names.
        columns: Vec<(String, String)>,
    },
    /// WITH.
    With(Vec<(String, OptionValue)>),
}

/// DROP TABLE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropTable {
    /// The table.
    pub table: TableName,
    /// IF EXISTS.
    pub if_exists: bool,
}

/// DESCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Describe {
    /// CLUSTER.
    Cluster,
    /// SCHEMA, or FULL SCHEMA with the system keyspaces.
    Schema {
        /// With the system keyspaces.
        full: bool,
    },
    /// KEYSPACES.
    Keyspaces,
    /// KEYSPACE x; without a name the connection's. With `only`, without its tables.
    Keyspace {
        /// Which.
        name: Option<String>,
        /// Without its tables.
        only: bool,
    },
    /// TABLES.
    Tables,
    /// TABLE x.
    Table(TableName),
    /// A list of a kind of object that Starling doesn't have: TYPES, FUNCTIONS, AGGREGATES, ...
    None,
    /// One object of such a kind: TYPE x, INDEX x, ...
    Missing {
        /// The kind, lower case.
        kind: &'static str,
        /// Its name.
        name: TableName,
    },
    /// Whatever has this name: a keyspace or a table.
    Any(TableName),
}

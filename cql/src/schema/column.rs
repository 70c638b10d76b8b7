//! Columns.

use serde::{Deserialize, Serialize};
use starling_model::{ColumnId, Timestamp};

use crate::types::CqlType;

/// What a column is to its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ColumnKind {
    /// Part of the partition key.
    PartitionKey,
    /// Part of the clustering key.
    Clustering {
        /// Rows are ordered from the largest value to the smallest.
        descending: bool,
    },
    /// One value for the whole partition.
    Static,
    /// One value for each row.
    Regular,
}

impl ColumnKind {
    /// As `system_schema.columns` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PartitionKey => "partition_key",
            Self::Clustering { .. } => "clustering",
            Self::Static => "static",
            Self::Regular => "regular",
        }
    }

    /// Whether it is part of the primary key.
    pub fn is_key(self) -> bool {
        matches!(self, Self::PartitionKey | Self::Clustering { .. })
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Column {
    /// Its name, in its final form.
    pub name: String,
    /// What its cells are stored under. Never given to another column of the table, also after a drop.
    pub id: ColumnId,
    /// Its type.
    pub cql_type: CqlType,
    /// What it is to its table.
    pub kind: ColumnKind,
}

impl Column {
    /// Whether rows are ordered by it from the largest value to the smallest.
    pub fn is_descending(&self) -> bool {
        matches!(self.kind, ColumnKind::Clustering { descending: true })
    }
}

/// A column that was dropped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DroppedColumn {
    /// As it was.
    pub column: Column,
    /// When it was dropped, in microseconds.
    pub dropped: Timestamp,
}

//! What nodes tell each other of the schema.

use std::{cmp::Ordering, sync::Arc};

use serde::{Deserialize, Serialize};
use starling_model::Timestamp;

use super::{Keyspace, Table};

/// Names an object of the schema. Orders keyspaces before tables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectName {
    /// A keyspace.
    Keyspace(String),
    /// A table: its keyspace and its name.
    Table(String, String),
}

impl ObjectName {
    /// The keyspace it is, or is in.
    pub fn keyspace(&self) -> &str {
        match self {
            Self::Keyspace(keyspace) | Self::Table(keyspace, _) => keyspace,
        }
    }
}

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Definition {
    /// A keyspace.
    Keyspace(Arc<Keyspace>),
    /// A table.
    Table(Arc<Table>),
}

/// A state of one object: its definition at a version, or its drop.
///
/// Orders by version, then drops after definitions, then by definition: of two entries of one object the
/// greater one stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaEntry {
    /// Which object.
    pub name: ObjectName,
    /// When it was defined or dropped, by a hybrid logical clock.
    pub version: Timestamp,
    /// What it is; `None`: it was dropped.
    pub definition: Option<Definition>,
}

impl SchemaEntry {
    /// The entry of a keyspace.
    pub fn keyspace(keyspace: Keyspace, version: Timestamp) -> Self {
        Self {
            name: ObjectName::Keyspace(keyspace.name.clone()),
            version,
            definition: Some(Definition::Keyspace(Arc::new(keyspace))),
        }
    }

    /// The entry of a table.
    pub fn table(table: Table, version: Timestamp) -> Self {
        Self {
            name: ObjectName::Table(table.keyspace.clone(), table.name.clone()),
            version,
            definition: Some(Definition::Table(Arc::new(table))),
        }
    }

    /// The entry of a drop.
    pub fn drop(name: ObjectName, version: Timestamp) -> Self {
        Self {
            name,
            version,
            definition: None,
        }
    }

    /// Whether it is a drop.
    pub fn is_dropped(&self) -> bool {
        self.definition.is_none()
    }

    /// Whether name and definition belong together, and the definition keeps its invariants.
    pub fn is_sound(&self) -> bool {
        match (&self.name, &self.definition) {
            (_, None) => true,
            (ObjectName::Keyspace(name), Some(Definition::Keyspace(keyspace))) => keyspace.name == *name,
            (ObjectName::Table(keyspace, name), Some(Definition::Table(table))) => {
                table.keyspace == *keyspace && table.name == *name && table.is_sound()
            }
            _ => false,
        }
    }
}

impl Ord for SchemaEntry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name
            .cmp(&other.name)
            .then_with(|| self.version.cmp(&other.version))
            .then_with(|| self.is_dropped().cmp(&other.is_dropped()))
            .then_with(|| self.definition.cmp(&other.definition))
    }
}

impl PartialOrd for SchemaEntry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

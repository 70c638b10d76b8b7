//! Keyspaces.

use serde::{Deserialize, Serialize};
use starling_model::Timestamp;

use super::{Replication, system};

/// A keyspace, without its tables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Keyspace {
    /// Its name.
    pub name: String,
    /// When it was created: tables whose newest entry is older are not in it.
    pub created: Timestamp,
    /// Where its data is kept.
    pub replication: Replication,
    /// Whether its writes go through the log. Kept and returned; Starling's always do.
    pub durable_writes: bool,
}

impl Keyspace {
    /// Whether it is built in.
    pub fn is_system(&self) -> bool {
        system::is_system_keyspace(&self.name)
    }

    /// Whether its tables are computed when they are read: they are listed in `system_virtual_schema`
    /// rather than in `system_schema`.
    pub fn is_virtual(&self) -> bool {
        self.name == system::VIRTUAL_SCHEMA
    }
}

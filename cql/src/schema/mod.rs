//! The schema: keyspaces and tables, as an immutable snapshot, and the law by which two states of it merge.

mod column;
pub(crate) mod define;
mod digest;
mod entry;
mod keyspace;
mod options;
mod replication;
mod table;
mod view;

pub mod system;

use std::{collections::BTreeMap, sync::Arc};

use starling_model::{TableId, Timestamp};

pub use column::{Column, ColumnKind, DroppedColumn};
pub use entry::{Definition, ObjectName, SchemaEntry};
pub use keyspace::Keyspace;
pub use options::{MAX_TTL, Setting, TableOptions};
pub use replication::Replication;
pub use table::Table;

use crate::{
    error::{Error, ErrorKind},
    result::SchemaChange,
};
use view::View;

/// The most keyspaces and tables, live or dropped, that a schema takes from users.
pub const MAX_ENTRIES: usize = 20_000;

/// A snapshot of the schema. Cheap to clone: definitions are shared.
///
/// Contract:
/// 1. [`merge`](Self::merge) is commutative, associative and idempotent: nodes that have seen the same
///    entries, in any order, hold equal schemas with equal [`version`](Self::version)s.
/// 2. A table is visible if its newest entry is no drop, its keyspace is visible, and the keyspace was
///    not created after the table's entry: a keyspace that is dropped and created again starts empty.
/// 3. The built-in keyspaces are always there and can't be changed.
#[derive(Debug, Clone)]
pub struct Schema {
    entries: BTreeMap<ObjectName, SchemaEntry>,
    view: Arc<View>,
    version: u128,
}

impl Default for Schema {
    /// Only the built-in keyspaces.
    fn default() -> Self {
        let entries = BTreeMap::new();
        let view = View::new(&entries);
        let version = digest::version(&view);
        Self {
            entries,
            view: Arc::new(view),
            version,
        }
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for Schema {}

impl Schema {
    /// Takes in what another node, or a statement, says. Returns what became different for users.
    ///
    /// For each object the newest entry stays; at equal versions a drop, then the greater definition.
    /// Entries that can't be right (see [`SchemaEntry::is_sound`]) are left out.
    pub fn merge(&mut self, entries: impl IntoIterator<Item = SchemaEntry>) -> Vec<SchemaChange> {
        let mut changed = false;
        for entry in entries {
            if !entry.is_sound() || system::is_system_keyspace(entry.name.keyspace()) {
                continue;
            }
            match self.entries.get_mut(&entry.name) {
                Some(own) if *own >= entry => {}
                Some(own) => {
                    *own = entry;
                    changed = true;
                }
                None => {
                    self.entries.insert(entry.name.clone(), entry);
                    changed = true;
                }
            }
        }
        if !changed {
            return Vec::new();
        }
        let view = View::new(&self.entries);
        let changes = view.changes_since(&self.view);
        self.version = digest::version(&view);
        self.view = Arc::new(view);
        changes
    }

    /// Everything that another node must know: definitions and drops.
    pub fn entries(&self) -> impl Iterator<Item = &SchemaEntry> {
        self.entries.values()
    }

    /// One object's newest entry.
    pub fn entry(&self, name: &ObjectName) -> Option<&SchemaEntry> {
        self.entries.get(name)
    }

    /// A digest of all that is visible (a UUID): equal on nodes that agree.
    pub fn version(&self) -> u128 {
        self.version
    }

    /// All keyspaces by name, the built-in ones too.
    pub fn keyspaces(&self) -> impl Iterator<Item = &Arc<Keyspace>> {
        self.view.keyspaces.values().map(|content| &content.definition)
    }

    /// A keyspace.
    pub fn keyspace(&self, name: &str) -> Option<&Arc<Keyspace>> {
        self.view.keyspaces.get(name).map(|content| &content.definition)
    }

    /// A keyspace, or the error that says that there is none.
    pub fn known_keyspace(&self, name: &str) -> Result<&Arc<Keyspace>, Error> {
        self.keyspace(name)
            .ok_or_else(|| Error::invalid(format!("Keyspace '{name}' does not exist")))
    }

    /// A keyspace's tables by name; none if there is no such keyspace.
    pub fn tables(&self, keyspace: &str) -> impl Iterator<Item = &Arc<Table>> {
        self.view
            .keyspaces
            .get(keyspace)
            .into_iter()
            .flat_map(|content| content.tables.values())
    }

    /// Every table of every keyspace.
    pub fn all_tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.view
            .keyspaces
            .values()
            .flat_map(|content| content.tables.values())
    }

    /// A table by name.
    pub fn table(&self, keyspace: &str, name: &str) -> Option<&Arc<Table>> {
        self.view.keyspaces.get(keyspace)?.tables.get(name)
    }

    /// A table by name, or the error that says what is missing.
    pub fn known_table(&self, keyspace: &str, name: &str) -> Result<&Arc<Table>, Error> {
        self.known_keyspace(keyspace)?;
        self.table(keyspace, name)
            .ok_or_else(|| Error::invalid(format!("table '{keyspace}.{name}' does not exist")))
    }

    /// A table by id; `None` if it was dropped or is not known yet.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<Table>> {
        self.view.by_id.get(&id)
    }

    /// A version for a new entry of an object: `version`, or later if the object's newest entry is.
    pub(crate) fn version_after(&self, name: &ObjectName, version: Timestamp) -> Timestamp {
        self.entries.get(name).map_or(version, |entry| {
            version.max(Timestamp(entry.version.0.saturating_add(1)))
        })
    }

    /// Fails if no more objects can be made.
    pub(crate) fn has_room(&self) -> Result<(), Error> {
        if self.entries.len() >= MAX_ENTRIES {
            return Err(Error::invalid(format!(
                "the schema holds {MAX_ENTRIES} keyspaces and tables (dropped ones count) and takes no more"
            )));
        }
        Ok(())
    }
}

/// The error for a change of a built-in keyspace.
pub(crate) fn not_modifiable(keyspace: &str) -> Error {
    Error::new(
        ErrorKind::Unauthorized,
        format!("{keyspace} keyspace is not user-modifiable."),
    )
}

//! The schema: keyspaces and tables, as an immutable snapshot, and the law by which two states of it merge.

mod column;
pub(crate) mod define;
mod digest;
mod entry;
mod keyspace;
mod options;
mod replication;
mod replications;
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
pub use replications::Replications;
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
/// 4. An entry says what its keyspace was created with; what is shown is what it is replicated by:
///    [`replicate_by`](Self::replicate_by). That is no part of what merges.
#[derive(Debug, Clone)]
pub struct Schema {
    entries: BTreeMap<ObjectName, SchemaEntry>,
    replications: Replications,
    view: Arc<View>,
    version: u128,
}

impl Default for Schema {
    /// Only the built-in keyspaces.
    fn default() -> Self {
        let entries = BTreeMap::new();
        let replications = Replications::default();
        let view = View::new(&entries, &replications);
        let version = digest::version(&view);
        Self {
            entries,
            replications,
            view: Arc::new(view),
            version,
        }
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries && self.replications == other.replications
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
        self.arrange()
    }

    /// Shows keyspaces with what they are replicated by. Returns what became different for users.
    pub fn replicate_by(&mut self, replications: &Replications) -> Vec<SchemaChange> {
        if self.replications == *replications {
            return Vec::new();
        }
        self.replications.clone_from(replications);
        self.arrange()
    }

    fn arrange(&mut self) -> Vec<SchemaChange> {
        let view = View::new(&self.entries, &self.replications);
        let changes = view.changes_since(&self.view);
        self.version = digest::version(&view);
        self.view = Arc::new(view);
        changes
    }

    /// What altered keyspaces are shown with.
    pub fn replications(&self) -> &Replications {
        &self.replications
    }

    /// What the keyspace of this name and time was created with; `None` if there is none.
    pub fn created_with(&self, keyspace: &str, created: Timestamp) -> Option<&Replication> {
        match &self
            .entries
            .get(&ObjectName::Keyspace(keyspace.to_owned()))?
            .definition
        {
            Some(Definition::Keyspace(known)) if known.created == created => Some(&known.replication),
            _ => None,
        }
    }

    /// What a keyspace would be replicated by if these were what altered ones have; `None` if there is no such keyspace.
    pub fn replication_by<'a>(
        &'a self,
        keyspace: &str,
        replications: &'a Replications,
    ) -> Option<&'a Replication> {
        let name = ObjectName::Keyspace(keyspace.to_owned());
        match self.entries.get(&name).map(|entry| &entry.definition) {
            Some(Some(Definition::Keyspace(created))) => Some(replications.of(created)),
            Some(_) => None,
            None => self.keyspace(keyspace).map(|built_in| &built_in.replication),
        }
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

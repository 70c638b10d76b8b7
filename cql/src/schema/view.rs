//! What of the entries is visible, arranged for look-ups.

use std::{collections::BTreeMap, sync::Arc};

use starling_model::TableId;

use super::{Definition, Keyspace, ObjectName, Replications, SchemaEntry, Table, system};
use crate::result::{ChangeKind, SchemaChange, SchemaTarget};

/// A keyspace and its tables.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) definition: Arc<Keyspace>,
    pub(super) tables: BTreeMap<String, Arc<Table>>,
}

/// All that is visible.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) keyspaces: BTreeMap<String, Content>,
    pub(super) by_id: BTreeMap<TableId, Arc<Table>>,
}

impl View {
    pub(super) fn new(entries: &BTreeMap<ObjectName, SchemaEntry>, replications: &Replications) -> Self {
        let mut keyspaces: BTreeMap<String, Content> = system::keyspaces()
            .iter()
            .map(|(definition, tables)| {
                let tables = tables
                    .iter()
                    .map(|table| (table.name.clone(), table.clone()))
                    .collect();
                (
                    definition.name.clone(),
                    Content {
                        definition: definition.clone(),
                        tables,
                    },
                )
            })
            .collect();
        // Keyspaces come before tables in the order of names.
        for entry in entries.values() {
            match &entry.definition {
                Some(Definition::Keyspace(definition)) => {
                    let content = Content {
                        definition: replicated(definition, replications),
                        tables: BTreeMap::new(),
                    };
                    keyspaces.insert(definition.name.clone(), content);
                }
                Some(Definition::Table(table)) => {
                    if let Some(content) = keyspaces.get_mut(&table.keyspace)
                        && content.definition.created <= entry.version
                    {
                        content.tables.insert(table.name.clone(), table.clone());
                    }
                }
                None => {}
            }
        }
        let by_id = keyspaces
            .values()
            .flat_map(|content| content.tables.values())
            .map(|table| (table.id, table.clone()))
            .collect();
        Self { keyspaces, by_id }
    }

    /// What users of `old` must hear of: drops of tables, then of keyspaces, then keyspaces and tables
    /// that are new or different.
    pub(super) fn changes_since(&self, old: &Self) -> Vec<SchemaChange> {
        let mut changes = Vec::new();
        let mut note = |change, keyspace: &str, table: Option<&str>| {
            let target = table.map_or(SchemaTarget::Keyspace, |table| {
                SchemaTarget::Table(table.to_owned())
            });
            changes.push(SchemaChange {
                change,
                keyspace: keyspace.to_owned(),
                target,
            });
        };
        for (name, content) in &old.keyspaces {
            let new = self.keyspaces.get(name);
            for table in content.tables.values() {
                let still = new.and_then(|new| new.tables.get(&table.name));
                if still.is_none_or(|still| still.id != table.id) {
                    note(ChangeKind::Dropped, name, Some(&table.name));
                }
            }
            if new.is_none() {
                note(ChangeKind::Dropped, name, None);
            }
        }
        for (name, content) in &self.keyspaces {
            let before = old.keyspaces.get(name);
            match before {
                None => note(ChangeKind::Created, name, None),
                Some(before) if before.definition != content.definition => {
                    note(ChangeKind::Updated, name, None);
                }
                Some(_) => {}
            }
            for table in content.tables.values() {
                match before.and_then(|before| before.tables.get(&table.name)) {
                    Some(before) if before == table => {}
                    Some(before) if before.id == table.id => {
                        note(ChangeKind::Updated, name, Some(&table.name));
                    }
                    _ => note(ChangeKind::Created, name, Some(&table.name)),
                }
            }
        }
        changes
    }
}

/// A keyspace as it is, given what it was created with.
fn replicated(created: &Arc<Keyspace>, replications: &Replications) -> Arc<Keyspace> {
    let replication = replications.of(created);
    if *replication == created.replication {
        return Arc::clone(created);
    }
    let mut keyspace = Keyspace::clone(created);
    keyspace.replication = replication.clone();
    Arc::new(keyspace)
}

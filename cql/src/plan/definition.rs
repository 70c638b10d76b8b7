//! CREATE, ALTER, DROP: from statements to schema entries.

use std::sync::Arc;

use starling_model::{TableId, Timestamp};

use crate::{
    ast::{
        AlterKeyspace, AlterTable, CreateKeyspace, CreateTable, DropKeyspace, DropTable, OptionValue,
        Statement, TableName,
    },
    error::{Error, ErrorKind},
    result::{ChangeKind, SchemaChange, SchemaTarget},
    schema::{Keyspace, ObjectName, Replication, Schema, SchemaEntry, define, not_modifiable, system},
};

/// What a change of the schema comes to: the entries to spread, and what clients hear of. No change: a
/// no-op by IF EXISTS or IF NOT EXISTS.
type Outcome = (Vec<SchemaEntry>, Option<SchemaChange>);

/// A change of the schema, ready.
#[derive(Debug, Clone)]
pub struct SchemaPlan {
    statement: Statement,
    keyspace: Option<String>,
    datacenters: Vec<String>,
}

impl SchemaPlan {
    pub(super) fn new(statement: &Statement, keyspace: Option<&str>) -> Result<Self, Error> {
        let plan = Self {
            statement: statement.clone(),
            keyspace: keyspace.map(str::to_owned),
            datacenters: Vec::new(),
        };
        let changed = plan.keyspace()?;
        if system::is_system_keyspace(&changed) {
            return Err(not_modifiable(&changed));
        }
        Ok(plan)
    }

    /// Names the cluster's datacenters, to which `NetworkTopologyStrategy` with `replication_factor` is
    /// spread. Without them it is an error.
    #[must_use]
    pub fn with_datacenters(mut self, datacenters: &[String]) -> Self {
        self.datacenters = datacenters.to_vec();
        self
    }

    /// The keyspace that is changed, or that a table is changed in.
    pub fn keyspace(&self) -> Result<String, Error> {
        let table = match &self.statement {
            Statement::CreateKeyspace(create) => return Ok(create.name.clone()),
            Statement::AlterKeyspace(alter) => return Ok(alter.name.clone()),
            Statement::DropKeyspace(drop) => return Ok(drop.name.clone()),
            Statement::CreateTable(create) => &create.table,
            Statement::AlterTable(alter) => &alter.table,
            Statement::DropTable(drop) => &drop.table,
            _ => return Err(Error::server("not a change of the schema")),
        };
        self.of(table)
    }

    fn of(&self, table: &TableName) -> Result<String, Error> {
        table
            .keyspace
            .clone()
            .or_else(|| self.keyspace.clone())
            .ok_or_else(super::no_keyspace)
    }

    /// Checks the change against the schema and says what it comes to. `version` is the present time by a
    /// hybrid logical clock; entries get it, or a later one where the object's last entry is not older.
    ///
    /// Changes nothing itself: merge the entries into the schema of every node.
    pub fn entries(
        &self,
        schema: &Schema,
        version: Timestamp,
        random: &mut dyn FnMut() -> u64,
    ) -> Result<Outcome, Error> {
        match &self.statement {
            Statement::CreateKeyspace(create) => self.create_keyspace(create, schema, version),
            Statement::AlterKeyspace(alter) => self.alter_keyspace(alter, schema, version),
            Statement::DropKeyspace(drop) => drop_keyspace(drop, schema, version),
            Statement::CreateTable(create) => {
                create_table(create, &self.of(&create.table)?, schema, version, random)
            }
            Statement::AlterTable(alter) => {
                alter_table(alter, &self.of(&alter.table)?, schema, version, random)
            }
            Statement::DropTable(drop) => drop_table(drop, &self.of(&drop.table)?, schema, version),
            _ => Err(Error::server("not a change of the schema")),
        }
    }

    /// The keyspace, as it is, that ALTER KEYSPACE replicates by something else, and by what; `None` if the statement does not.
    /// [`entries`](Self::entries) say the same, without any care for data.
    pub fn altered_replication(
        &self,
        schema: &Schema,
    ) -> Result<Option<(Arc<Keyspace>, Replication)>, Error> {
        let Statement::AlterKeyspace(alter) = &self.statement else {
            return Ok(None);
        };
        let options = KeyspaceOptions::parse(&alter.options, &self.datacenters)?;
        let altered = schema.keyspace(&alter.name).zip(options.replication);
        let altered = altered.filter(|(keyspace, replication)| keyspace.replication != *replication);
        Ok(altered.map(|(keyspace, replication)| (Arc::clone(keyspace), replication)))
    }

    fn create_keyspace(
        &self,
        create: &CreateKeyspace,
        schema: &Schema,
        version: Timestamp,
    ) -> Result<Outcome, Error> {
        define::check_name("Keyspace", &create.name)?;
        let options = KeyspaceOptions::parse(&create.options, &self.datacenters)?;
        let replication = options.replication.ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                "Missing mandatory option 'replication' of CREATE KEYSPACE",
            )
        })?;
        if schema.keyspace(&create.name).is_some() {
            return already_exists(create.if_not_exists, &create.name, "");
        }
        schema.has_room()?;
        let version = schema.version_after(&ObjectName::Keyspace(create.name.clone()), version);
        let keyspace = Keyspace {
            name: create.name.clone(),
            created: version,
            replication,
            durable_writes: options.durable_writes.unwrap_or(true),
        };
        let change = keyspace_change(ChangeKind::Created, &create.name);
        Ok((vec![SchemaEntry::keyspace(keyspace, version)], Some(change)))
    }

    fn alter_keyspace(
        &self,
        alter: &AlterKeyspace,
        schema: &Schema,
        version: Timestamp,
    ) -> Result<Outcome, Error> {
        let options = KeyspaceOptions::parse(&alter.options, &self.datacenters)?;
        let Some(keyspace) = schema.keyspace(&alter.name) else {
            return missing(
                alter.if_exists,
                format!("Keyspace '{}' doesn't exist", alter.name),
            );
        };
        let mut keyspace = Keyspace::clone(keyspace);
        if let Some(replication) = options.replication {
            keyspace.replication = replication;
        }
        if let Some(durable_writes) = options.durable_writes {
            keyspace.durable_writes = durable_writes;
        }
        let version = schema.version_after(&ObjectName::Keyspace(alter.name.clone()), version);
        let change = keyspace_change(ChangeKind::Updated, &alter.name);
        Ok((vec![SchemaEntry::keyspace(keyspace, version)], Some(change)))
    }
}

#[derive(Default)]
struct KeyspaceOptions {
    replication: Option<Replication>,
    durable_writes: Option<bool>,
}

impl KeyspaceOptions {
    fn parse(options: &[(String, OptionValue)], datacenters: &[String]) -> Result<Self, Error> {
        let mut parsed = Self::default();
        for (at, (name, value)) in options.iter().enumerate() {
            if options[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Error::invalid(format!(
                    "Multiple definitions for property '{name}'"
                )));
            }
            match (name.as_str(), value) {
                ("replication", OptionValue::Map(map)) => {
                    parsed.replication = Some(Replication::parse(map, datacenters)?);
                }
                ("replication", OptionValue::Literal(_)) => {
                    return Err(Error::invalid(
                        "Invalid value for property 'replication'. It should be a map.",
                    ));
                }
                ("durable_writes", OptionValue::Literal(text)) if text.eq_ignore_ascii_case("true") => {
                    parsed.durable_writes = Some(true);
                }
                ("durable_writes", OptionValue::Literal(text)) if text.eq_ignore_ascii_case("false") => {
                    parsed.durable_writes = Some(false);
                }
                ("durable_writes", _) => {
                    return Err(Error::invalid(
                        "Invalid value for property 'durable_writes'. It should be true or false.",
                    ));
                }
                _ => return Err(Error::syntax(format!("Unknown property '{name}'"))),
            }
        }
        Ok(parsed)
    }
}

fn keyspace_change(change: ChangeKind, keyspace: &str) -> SchemaChange {
    SchemaChange {
        change,
        keyspace: keyspace.to_owned(),
        target: SchemaTarget::Keyspace,
    }
}

fn table_change(change: ChangeKind, keyspace: &str, table: &str) -> SchemaChange {
    SchemaChange {
        change,
        keyspace: keyspace.to_owned(),
        target: SchemaTarget::Table(table.to_owned()),
    }
}

/// A no-op or an error, for something that exists.
fn already_exists(if_not_exists: bool, keyspace: &str, table: &str) -> Result<Outcome, Error> {
    if if_not_exists {
        return Ok((Vec::new(), None));
    }
    let message = if table.is_empty() {
        format!("Cannot add existing keyspace \"{keyspace}\"")
    } else {
        format!("Cannot add already existing table \"{table}\" to keyspace \"{keyspace}\"")
    };
    let kind = ErrorKind::AlreadyExists {
        keyspace: keyspace.to_owned(),
        table: table.to_owned(),
    };
    Err(Error::new(kind, message))
}

/// A no-op or an error, for something that does not exist.
fn missing(if_exists: bool, message: String) -> Result<Outcome, Error> {
    if if_exists {
        Ok((Vec::new(), None))
    } else {
        Err(Error::invalid(message))
    }
}

fn drop_keyspace(drop: &DropKeyspace, schema: &Schema, version: Timestamp) -> Result<Outcome, Error> {
    if schema.keyspace(&drop.name).is_none() {
        return missing(drop.if_exists, format!("Keyspace '{}' doesn't exist", drop.name));
    }
    let tables = schema
        .tables(&drop.name)
        .map(|table| ObjectName::Table(table.keyspace.clone(), table.name.clone()));
    let names = std::iter::once(ObjectName::Keyspace(drop.name.clone())).chain(tables);
    let entries = names
        .map(|name| {
            let version = schema.version_after(&name, version);
            SchemaEntry::drop(name, version)
        })
        .collect();
    Ok((entries, Some(keyspace_change(ChangeKind::Dropped, &drop.name))))
}

fn create_table(
    create: &CreateTable,
    keyspace: &str,
    schema: &Schema,
    version: Timestamp,
    random: &mut dyn FnMut() -> u64,
) -> Result<Outcome, Error> {
    let holder = schema.known_keyspace(keyspace)?;
    let id = TableId(fresh_uuid(random));
    let table = define::table(create, keyspace, id)?;
    if schema.table(keyspace, &table.name).is_some() {
        return already_exists(create.if_not_exists, keyspace, &table.name);
    }
    schema.has_room()?;
    let name = ObjectName::Table(keyspace.to_owned(), table.name.clone());
    let version = schema.version_after(&name, version).max(holder.created);
    let change = table_change(ChangeKind::Created, keyspace, &table.name);
    Ok((vec![SchemaEntry::table(table, version)], Some(change)))
}

/// 122 random bits as a UUID of version 4.
fn fresh_uuid(random: &mut dyn FnMut() -> u64) -> u128 {
    let bits = u128::from(random()) << 64 | u128::from(random());
    (bits & !(0xF << 76) & !(0b11 << 62)) | 0x4 << 76 | 0b10 << 62
}

fn alter_table(
    alter: &AlterTable,
    keyspace: &str,
    schema: &Schema,
    version: Timestamp,
    random: &mut dyn FnMut() -> u64,
) -> Result<Outcome, Error> {
    let Some(table) = schema.table(keyspace, &alter.table.name) else {
        return missing(
            alter.if_exists,
            format!("Table '{keyspace}.{}' doesn't exist", alter.table.name),
        );
    };
    let name = ObjectName::Table(keyspace.to_owned(), table.name.clone());
    let version = schema.version_after(&name, version);
    let Some(altered) = define::altered(table, &alter.change, version, random)? else {
        // Nothing is different, but clients wait for an answer that says "updated".
        return Ok((
            Vec::new(),
            Some(table_change(ChangeKind::Updated, keyspace, &table.name)),
        ));
    };
    let change = table_change(ChangeKind::Updated, keyspace, &altered.name);
    Ok((vec![SchemaEntry::table(altered, version)], Some(change)))
}

fn drop_table(
    drop: &DropTable,
    keyspace: &str,
    schema: &Schema,
    version: Timestamp,
) -> Result<Outcome, Error> {
    if schema.table(keyspace, &drop.table.name).is_none() {
        return missing(
            drop.if_exists,
            format!("Table '{keyspace}.{}' doesn't exist", drop.table.name),
        );
    }
    let name = ObjectName::Table(keyspace.to_owned(), drop.table.name.clone());
    let version = schema.version_after(&name, version);
    let change = table_change(ChangeKind::Dropped, keyspace, &drop.table.name);
    Ok((vec![SchemaEntry::drop(name, version)], Some(change)))
}

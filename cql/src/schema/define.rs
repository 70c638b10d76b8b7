//! Makes tables from CREATE TABLE, and changes them by ALTER TABLE.

use std::collections::BTreeSet;

use starling_model::{ColumnId, TableId, Timestamp};

use super::{Column, ColumnKind, DroppedColumn, Table, TableOptions, table::MAX_COLUMNS};
use crate::{
    ast::{ColumnDefinition, CreateTable, OptionValue, TableChange},
    error::Error,
    types::CqlType,
};

/// The longest name of a keyspace or a table, in characters (Cassandra's limit).
const MAX_NAME: usize = 48;

/// Checks the name of a new keyspace or table.
pub(crate) fn check_name(kind: &str, name: &str) -> Result<(), Error> {
    let plain = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain && name.len() <= MAX_NAME {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{kind} name must not be empty, more than {MAX_NAME} characters long, or contain non-alphanumeric-underscore characters (got \"{}\")",
        crate::lexer::excerpt(name)
    )))
}

/// Makes a table. `keyspace` is where it goes.
pub(crate) fn table(create: &CreateTable, keyspace: &str, id: TableId) -> Result<Table, Error> {
    check_name("Table", &create.table.name)?;
    check_key_names(create)?;
    let mut table = Table {
        keyspace: keyspace.to_owned(),
        name: create.table.name.clone(),
        id,
        columns: Vec::new(),
        options: TableOptions::default(),
        dropped: Vec::new(),
    };
    // Key columns in the order of the key, then the others.
    let key = create.partition_key.iter().chain(&create.clustering);
    let others = create.columns.iter().map(|column| &column.name);
    let others =
        others.filter(|name| !create.partition_key.contains(name) && !create.clustering.contains(name));
    for name in key.chain(others) {
        let definition = create
            .columns
            .iter()
            .find(|column| column.name == *name)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "Unknown column '{name}' referenced in PRIMARY KEY for table '{}'",
                    table.name
                ))
            })?;
        let kind = kind_of(create, definition)?;
        check_type(definition, kind)?;
        table.columns.push(Column {
            name: name.clone(),
            id: ColumnId(0),
            cql_type: definition.cql_type.clone(),
            kind,
        });
    }
    table.sort_columns();
    for (at, column) in table.columns.iter_mut().enumerate() {
        column.id = ColumnId(at as u32);
    }
    table.options.apply(&create.options)?;
    if table.columns.len() > MAX_COLUMNS {
        return Err(too_many_columns());
    }
    if table.clustering().is_empty() && !table.statics().is_empty() {
        return Err(Error::invalid(
            "Static columns are only useful (and thus allowed) if the table has at least one clustering column",
        ));
    }
    Ok(table)
}

fn too_many_columns() -> Error {
    Error::invalid(format!(
        "a table has at most {MAX_COLUMNS} columns (dropped ones count)"
    ))
}

fn check_key_names(create: &CreateTable) -> Result<(), Error> {
    let table = &create.table.name;
    let mut names = BTreeSet::new();
    for column in &create.columns {
        if !names.insert(&column.name) {
            return Err(Error::invalid(format!(
                "Duplicate column '{}' declaration for table '{table}'",
                column.name
            )));
        }
    }
    if create.partition_key.is_empty() {
        return Err(Error::invalid(format!(
            "No PRIMARY KEY specified for table '{table}' (exactly one required)"
        )));
    }
    let mut keys = BTreeSet::new();
    for name in create.partition_key.iter().chain(&create.clustering) {
        if !keys.insert(name) {
            return Err(Error::invalid(format!(
                "Duplicate column '{name}' in PRIMARY KEY clause for table '{table}'"
            )));
        }
    }
    if !create.clustering_order.is_empty() {
        let ordered: Vec<&String> = create.clustering_order.iter().map(|(name, _)| name).collect();
        let stated: Vec<&String> = create.clustering.iter().collect();
        if let Some(stranger) = ordered.iter().find(|name| !stated.contains(name)) {
            return Err(Error::invalid(format!(
                "CLUSTERING ORDER BY names '{stranger}', which is no clustering column"
            )));
        }
        if ordered != stated {
            return Err(Error::invalid(
                "Clustering key columns must exactly match columns in CLUSTERING ORDER BY directive",
            ));
        }
    }
    Ok(())
}

fn kind_of(create: &CreateTable, definition: &ColumnDefinition) -> Result<ColumnKind, Error> {
    let name = &definition.name;
    let kind = if create.partition_key.contains(name) {
        ColumnKind::PartitionKey
    } else if create.clustering.contains(name) {
        let descending = create
            .clustering_order
            .iter()
            .any(|(column, descending)| column == name && *descending);
        ColumnKind::Clustering { descending }
    } else if definition.is_static {
        return Ok(ColumnKind::Static);
    } else {
        return Ok(ColumnKind::Regular);
    };
    if definition.is_static {
        return Err(Error::invalid(format!(
            "Static column {name} cannot be part of the PRIMARY KEY"
        )));
    }
    Ok(kind)
}

/// Checks a column's type: what stands in collections is frozen, keys have an order.
fn check_type(definition: &ColumnDefinition, kind: ColumnKind) -> Result<(), Error> {
    let (name, cql_type) = (&definition.name, &definition.cql_type);
    if cql_type.contains(&|inner| *inner == CqlType::Counter) {
        return Err(Error::unsupported("a counter column"));
    }
    check_nested(cql_type)?;
    if !kind.is_key() {
        return Ok(());
    }
    if cql_type.is_multi_cell() {
        return Err(Error::invalid(format!(
            "Invalid non-frozen collection type {cql_type} for PRIMARY KEY column '{name}'"
        )));
    }
    if !cql_type.has_order() {
        return Err(Error::invalid(format!(
            "duration type is not supported for PRIMARY KEY column '{name}'"
        )));
    }
    Ok(())
}

fn check_nested(cql_type: &CqlType) -> Result<(), Error> {
    let inner: Vec<&CqlType> = match cql_type {
        CqlType::List { element, .. } => vec![element],
        CqlType::Set { element, .. } => {
            if !element.has_order() {
                return Err(Error::invalid(format!(
                    "Durations are not allowed inside sets: {cql_type}"
                )));
            }
            vec![element]
        }
        CqlType::Map { key, value, .. } => {
            if !key.has_order() {
                return Err(Error::invalid(format!(
                    "Durations are not allowed as map keys: {cql_type}"
                )));
            }
            vec![key, value]
        }
        _ => return Ok(()),
    };
    for element in inner {
        if element.is_multi_cell() {
            return Err(Error::invalid(format!(
                "Non-frozen collections are not allowed inside collections: {cql_type}"
            )));
        }
        check_nested(element)?;
    }
    Ok(())
}

/// A table after ALTER TABLE. `None` if nothing changes.
pub(crate) fn altered(
    table: &Table,
    change: &TableChange,
    version: Timestamp,
    random: &mut dyn FnMut() -> u64,
) -> Result<Option<Table>, Error> {
    let mut altered = table.clone();
    match change {
        TableChange::Add {
            if_not_exists,
            columns,
        } => add(&mut altered, columns, *if_not_exists, random)?,
        TableChange::Drop { if_exists, columns } => drop_columns(&mut altered, columns, *if_exists, version)?,
        TableChange::Rename { if_exists, columns } => rename(&mut altered, columns, *if_exists)?,
        TableChange::With(options) => with(&mut altered, options)?,
    }
    Ok((altered != *table).then_some(altered))
}

fn with(table: &mut Table, options: &[(String, OptionValue)]) -> Result<(), Error> {
    table.options.apply(options)
}

fn add(
    table: &mut Table,
    columns: &[ColumnDefinition],
    if_not_exists: bool,
    random: &mut dyn FnMut() -> u64,
) -> Result<(), Error> {
    for definition in columns {
        if table.column(&definition.name).is_some() {
            if if_not_exists {
                continue;
            }
            return Err(Error::invalid(format!(
                "Column with name '{}' already exists",
                definition.name
            )));
        }
        let kind = if definition.is_static {
            ColumnKind::Static
        } else {
            ColumnKind::Regular
        };
        if kind == ColumnKind::Static && table.clustering().is_empty() {
            return Err(Error::invalid(format!(
                "Static columns are only useful (and thus allowed) if the table has at least one clustering column: {}",
                definition.name
            )));
        }
        check_type(definition, kind)?;
        let former = table
            .dropped
            .iter()
            .rev()
            .find(|dropped| dropped.column.name == definition.name);
        if let Some(former) = former
            && former.column.kind != kind
        {
            return Err(Error::invalid(format!(
                "Cannot re-add previously dropped column '{}' of kind {}, incompatible with previous kind {}",
                definition.name,
                kind.name().to_uppercase(),
                former.column.kind.name().to_uppercase()
            )));
        }
        if table.columns.len() + table.dropped.len() >= MAX_COLUMNS {
            return Err(too_many_columns());
        }
        let id = fresh_id(table, random);
        table.columns.push(Column {
            name: definition.name.clone(),
            id,
            cql_type: definition.cql_type.clone(),
            kind,
        });
        table.sort_columns();
    }
    Ok(())
}

/// Added columns have random ids: should two nodes add different columns at once, only one addition
/// stays, and what was written under the other must not show up in its column.
fn fresh_id(table: &Table, random: &mut dyn FnMut() -> u64) -> ColumnId {
    loop {
        // 28 bits: four bytes on disk. The first ids are those of CREATE TABLE.
        let id = ColumnId((random() >> 36) as u32 | MAX_COLUMNS as u32);
        let taken =
            table.column_by_id(id).is_some() || table.dropped.iter().any(|dropped| dropped.column.id == id);
        if !taken {
            return id;
        }
    }
}

fn drop_columns(
    table: &mut Table,
    columns: &[String],
    if_exists: bool,
    version: Timestamp,
) -> Result<(), Error> {
    for name in columns {
        let Some(at) = table.columns.iter().position(|column| column.name == *name) else {
            if if_exists {
                continue;
            }
            return Err(Error::invalid(format!(
                "Column {name} was not found in table '{}'",
                table.full_name()
            )));
        };
        if table.columns[at].kind.is_key() {
            return Err(Error::invalid(format!("Cannot drop PRIMARY KEY column {name}")));
        }
        let column = table.columns.remove(at);
        table.dropped.push(DroppedColumn {
            column,
            dropped: version,
        });
    }
    Ok(())
}

fn rename(table: &mut Table, columns: &[(String, String)], if_exists: bool) -> Result<(), Error> {
    for (from, to) in columns {
        let Some(at) = table.columns.iter().position(|column| column.name == *from) else {
            if if_exists {
                continue;
            }
            return Err(Error::invalid(format!(
                "Column {from} was not found in table '{}'",
                table.full_name()
            )));
        };
        if !table.columns[at].kind.is_key() {
            return Err(Error::invalid(format!(
                "Cannot rename non PRIMARY KEY column {from}"
            )));
        }
        if table.column(to).is_some() {
            return Err(Error::invalid(format!(
                "Cannot rename column {from} to {to} in table '{}'; another column with that name already exists",
                table.full_name()
            )));
        }
        table.columns[at].name.clone_from(to);
    }
    Ok(())
}

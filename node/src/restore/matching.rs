//! Which table of the present schema takes what a kept one holds.

use std::collections::{BTreeMap, BTreeSet};

use starling_cql::schema::{ColumnKind, Schema, Table};
use starling_model::{Cell, ColumnId, Row, TableId};

use super::age::short_grace;

/// Where the content of kept tables goes.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// By the id that a table had.
    pub(super) targets: BTreeMap<TableId, Target>,
    /// What is left out, in sentences.
    pub(super) notes: Vec<String>,
}

impl Places {
    /// Finds a place for each of `wanted` among `kept`. Backups keep the definitions of dropped tables: what was dropped and
    /// made anew must not come back in its successor, and with `lenient` what is no more does not hold up the others.
    pub(super) fn find(
        wanted: &BTreeSet<TableId>,
        kept: &BTreeMap<TableId, Table>,
        schema: &Schema,
        lenient: bool,
    ) -> Result<Self, String> {
        let mut places = Self::default();
        let mut missing = None;
        for table in wanted.iter().filter_map(|id| kept.get(id)) {
            let name = table.full_name();
            let present = schema.table(&table.keyspace, &table.name);
            let is_gone = schema.table_by_id(table.id).is_none();
            if is_gone && present.is_some_and(|present| kept.contains_key(&present.id)) {
                places.notes.push(format!(
                    "a former table {name} is left out: it was dropped, and the present one is another; a copy from before \
                     the present one was made restores it"
                ));
                continue;
            }
            match Target::find(table, schema) {
                Ok(target) => {
                    let present = schema.table_by_id(target.table);
                    let grace = present.map(|present| present.options.gc_grace_seconds());
                    let note = grace.and_then(|grace| short_grace(&name, grace));
                    places.notes.extend(note);
                    places.targets.insert(table.id, target);
                }
                Err(reason) if lenient && is_gone && present.is_none() => {
                    places
                        .notes
                        .push(format!("table {name} does not exist any more and is left out"));
                    missing.get_or_insert(reason);
                }
                Err(reason) => return Err(reason),
            }
        }
        match missing {
            // Rather a cluster without its schema than one that dropped everything.
            Some(reason) if places.targets.is_empty() => Err(reason),
            _ => Ok(places),
        }
    }
}

/// Where a kept table's content goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The table.
    pub(super) table: TableId,
    /// The present ids of its columns; what is not among them is left out. `None`: they are the same.
    columns: Option<BTreeMap<ColumnId, ColumnId>>,
}

impl Target {
    /// The very table.
    pub(super) fn same(table: TableId) -> Self {
        Self { table, columns: None }
    }

    /// The table of this id, or else the one of the same name if it has the same columns. What is wrong, in a sentence.
    pub(super) fn find(kept: &Table, schema: &Schema) -> Result<Self, String> {
        if schema.table_by_id(kept.id).is_some() {
            return Ok(Self::same(kept.id));
        }
        let Some(present) = schema.table(&kept.keyspace, &kept.name) else {
            return Err(format!(
                "table {} does not exist: make it first, with the statements in schema.cql",
                kept.full_name()
            ));
        };
        let differs = |what: String| {
            format!(
                "table {} is another one than it was ({what}); restore into a table made with schema.cql",
                kept.full_name()
            )
        };
        let keys = |table: &Table| -> Vec<_> {
            let columns = table.columns.iter().filter(|column| column.kind.is_key());
            columns
                .map(|column| (column.name.clone(), column.cql_type.clone(), column.kind))
                .collect()
        };
        if keys(kept) != keys(present) {
            return Err(differs("its primary key differs".to_owned()));
        }
        let mut columns = BTreeMap::new();
        for column in kept.columns.iter().filter(|column| !column.kind.is_key()) {
            let is_static = |kind| kind == ColumnKind::Static;
            match present.column(&column.name) {
                None => return Err(differs(format!("it has no column {}", column.name))),
                Some(now) if now.cql_type != column.cql_type => {
                    return Err(differs(format!(
                        "column {} was {} and is {}",
                        column.name, column.cql_type, now.cql_type
                    )));
                }
                Some(now) if is_static(now.kind) != is_static(column.kind) => {
                    return Err(differs(format!(
                        "column {} was {} and is {}",
                        column.name,
                        column.kind.name(),
                        now.kind.name()
                    )));
                }
                Some(now) => columns.insert(column.id, now.id),
            };
        }
        Ok(Self {
            table: present.id,
            columns: Some(columns),
        })
    }

    /// A row as the table has it.
    pub(super) fn row(&self, row: Row) -> Row {
        let Some(columns) = &self.columns else { return row };
        let mut mapped = Row {
            marker: row.marker,
            deletion: row.deletion,
            cells: Vec::new(),
        };
        for cell in row.cells {
            if let Some(column) = columns.get(&cell.column) {
                mapped.add(Cell {
                    column: *column,
                    ..cell
                });
            }
        }
        mapped
    }
}

#[cfg(test)]
mod tests;

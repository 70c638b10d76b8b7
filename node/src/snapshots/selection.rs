//! What an order is about: everything, a keyspace, or a table.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use starling_cql::schema::{Schema, Table};
use starling_model::TableId;

/// A part of the schema, by names as they are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The keyspace; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyspace: Option<String>,
    /// The table of it; `None`: all of its.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

impl Selection {
    /// `KEYSPACE`, or `KEYSPACE.TABLE`, or nothing.
    pub fn parse(text: Option<&str>) -> Self {
        match text.map(|text| (text, text.split_once('.'))) {
            None => Self::default(),
            Some((keyspace, None)) => Self {
                keyspace: Some(keyspace.to_owned()),
                table: None,
            },
            Some((_, Some((keyspace, table)))) => Self {
                keyspace: Some(keyspace.to_owned()),
                table: Some(table.to_owned()),
            },
        }
    }

    /// As people write it; `None`: everything.
    pub fn name(&self) -> Option<String> {
        let keyspace = self.keyspace.as_ref()?;
        Some(match &self.table {
            Some(table) => format!("{keyspace}.{table}"),
            None => keyspace.clone(),
        })
    }

    /// Whether a table is meant.
    pub fn includes(&self, table: &Table) -> bool {
        let fits =
            |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
        fits(&self.keyspace, &table.keyspace) && fits(&self.table, &table.name)
    }

    /// The users' tables that are meant, or what is wrong.
    pub fn tables(&self, schema: &Schema) -> Result<BTreeSet<TableId>, String> {
        match (&self.keyspace, &self.table) {
            (None, Some(_)) => return Err("a table is named without its keyspace".to_owned()),
            (Some(keyspace), _) if schema.keyspace(keyspace).is_none_or(|found| found.is_system()) => {
                return Err(format!("there is no keyspace '{keyspace}' that users made"));
            }
            (Some(keyspace), Some(table)) if schema.table(keyspace, table).is_none() => {
                return Err(format!("there is no table '{table}' in keyspace '{keyspace}'"));
            }
            _ => {}
        }
        let tables = super::description::tables_of(schema);
        Ok(tables
            .into_values()
            .filter(|table| self.includes(table))
            .map(|table| table.id)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_and_its_table_are_parted_by_the_first_dot() {
        let parsed = |text| {
            let selection = Selection::parse(text);
            (selection.name(), selection.keyspace, selection.table)
        };
        assert_eq!(parsed(None), (None, None, None));
        assert_eq!(
            parsed(Some("k")),
            (Some("k".to_owned()), Some("k".to_owned()), None)
        );
        assert_eq!(
            parsed(Some("k.t")),
            (Some("k.t".to_owned()), Some("k".to_owned()), Some("t".to_owned()))
        );
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let schema = Schema::default();
        let wrong = [
            Some("nowhere"),
            Some("nowhere.t"),
            Some("system"),
            Some("system.local"),
        ];
        for text in wrong {
            assert!(Selection::parse(text).tables(&schema).is_err(), "{text:?}");
        }
        assert_eq!(Selection::default().tables(&schema), Ok(BTreeSet::new()));
    }
}

//! The names in the schema, for completion.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;

use crate::{Consistency, Error, Session};

/// Keyspaces, their tables, and the tables' columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SchemaNames {
    pub(super) keyspaces: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

/// The most columns that are kept: completion is a convenience, not worth a gigabyte.
const MAX_COLUMNS: usize = 100_000;

impl SchemaNames {
    /// Reads the schema.
    pub(super) async fn read(session: &Session) -> Result<Self, Error> {
        let mut names = Self::default();
        let query =
            |text: &str| session.stream_query(session.statement(text).with_consistency(Consistency::One));
        let mut keyspaces = query("SELECT keyspace_name FROM system_schema.keyspaces").typed::<(String,)>();
        while let Some((keyspace,)) = keyspaces.try_next().await? {
            names.keyspaces.entry(keyspace).or_default();
        }
        let mut columns = query("SELECT keyspace_name, table_name, column_name FROM system_schema.columns")
            .typed::<(String, String, String)>();
        let mut count = 0;
        while let Some((keyspace, table, column)) = columns.try_next().await?
            && count < MAX_COLUMNS
        {
            names
                .keyspaces
                .entry(keyspace)
                .or_default()
                .entry(table)
                .or_default()
                .insert(column);
            count += 1;
        }
        Ok(names)
    }

    /// The tables of a keyspace.
    pub(super) fn tables(&self, keyspace: &str) -> impl Iterator<Item = &String> {
        self.keyspaces.get(keyspace).into_iter().flat_map(BTreeMap::keys)
    }

    /// The columns of all tables of this name.
    pub(super) fn columns(&self, table: &str) -> impl Iterator<Item = &String> {
        self.keyspaces
            .values()
            .filter_map(move |tables| tables.get(table))
            .flatten()
    }
}

//! The built-in keyspaces: what drivers and `cqlsh` read to learn of the cluster and its schema.
//!
//! Their tables are virtual: a node computes their rows when they are read. This module knows their
//! definitions, and the rows of `system_schema` and `system_virtual_schema`; the others' are the node's.

mod definitions;
mod rows;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use starling_model::{TableId, Timestamp};
use xxhash_rust::xxh3::xxh3_128;

use super::{Keyspace, Replication, Table, define};
use crate::{ast::Statement, parser};

pub use rows::{SystemRow, rows};

/// The release of Cassandra that nodes claim to be in `system.local`: drivers read the schema as of 4.x
/// if its first number is 4.
pub const RELEASE_VERSION: &str = "4.1.0";

/// The version of CQL that nodes claim to speak.
pub const CQL_VERSION: &str = "3.4.6";

/// The keyspace that lists virtual keyspaces.
pub const VIRTUAL_SCHEMA: &str = "system_virtual_schema";

/// Whether a keyspace is built in.
pub fn is_system_keyspace(name: &str) -> bool {
    definitions::KEYSPACES
        .iter()
        .any(|(keyspace, _)| *keyspace == name)
}

type Keyspaces = Vec<(Arc<Keyspace>, Vec<Arc<Table>>)>;

/// The built-in keyspaces and their tables.
pub(super) fn keyspaces() -> &'static Keyspaces {
    static KEYSPACES: OnceLock<Keyspaces> = OnceLock::new();
    KEYSPACES.get_or_init(|| {
        definitions::KEYSPACES
            .iter()
            .map(|(name, tables)| {
                let keyspace = Keyspace {
                    name: (*name).to_owned(),
                    created: Timestamp::MIN,
                    replication: Replication::local(),
                    durable_writes: true,
                };
                (
                    Arc::new(keyspace),
                    tables.iter().map(|text| Arc::new(table(name, text))).collect(),
                )
            })
            .collect()
    })
}

/// Makes a built-in table of its text. A mistake in the text is found by the tests, which read them all.
fn table(keyspace: &str, text: &str) -> Table {
    let Ok(Statement::CreateTable(create)) = parser::parse(&format!("CREATE TABLE {text}")) else {
        unreachable!("a built-in table does not parse: {text}")
    };
    let id = TableId(xxh3_128(format!("{keyspace}.{}", create.table.name).as_bytes()));
    match define::table(&create, keyspace, id) {
        Ok(table) => table,
        Err(error) => unreachable!("a built-in table is wrong: {error}"),
    }
}

/// A text map as the value of a `map<text, text>` column.
fn text_map(map: &BTreeMap<String, String>) -> bytes::Bytes {
    let items = map
        .iter()
        .flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]);
    crate::value::write_elements(map.len(), items)
}

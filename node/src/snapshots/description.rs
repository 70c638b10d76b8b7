//! What lies beside a snapshot's tables: what it is, and the schema that they were written with.

use std::{collections::BTreeMap, io, path::Path};

use serde::{Deserialize, Serialize};
use starling_cql::{
    describe::{create_keyspace, create_table},
    schema::{Schema, Table},
};
use starling_model::TableId;
use starling_sstable::{checksum::checksum, fs::Fs};

use super::{SnapshotError, disk};

/// What a snapshot is, as TOML.
pub(super) const FILE: &str = "snapshot.toml";

/// CREATE statements, for people and for an empty cluster.
pub(super) const SCHEMA_FILE: &str = "schema.cql";

/// The tables' definitions with their ids and those of their columns.
pub(super) const TABLES_FILE: &str = "tables.schema";

/// The version of all of it that this build reads and writes.
const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"STRLSNAP";
const HEADER_BYTES: usize = 16;

/// What a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The version of this description.
    pub version: u32,
    /// The snapshot's name.
    pub tag: String,
    /// When it was made, in seconds since the epoch.
    pub taken: i64,
    /// The keyspace or the table that was asked for; `None`: everything.
    pub of: Option<String>,
    /// The cluster's name.
    pub cluster: String,
    /// The node's name in its settings.
    pub name: String,
    /// Its host id.
    pub node: String,
    /// How keys become tokens.
    pub partitioner: String,
    /// How many shards there are, each with a directory.
    pub shards: u32,
}

impl Description {
    /// One of the present version.
    pub const VERSION: u32 = VERSION;

    /// Stores it, durably and last of all.
    pub(super) fn write(&self, fs: &dyn Fs, dir: &Path) -> Result<(), SnapshotError> {
        let text = toml::to_string(self).map_err(|error| SnapshotError::Disk(error.to_string()))?;
        write(fs, dir, FILE, text.as_bytes())
    }

    /// Reads that of a directory; `None`: there is none, so this is no snapshot.
    pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<Self>, SnapshotError> {
        let path = dir.join(FILE);
        let bytes = match fs.read(&path) {
            Ok(bytes) => bytes,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(disk("read", &path)(error)),
        };
        let text = std::str::from_utf8(&bytes).map_err(|error| damaged(&path, &error))?;
        let description: Self = toml::from_str(text).map_err(|error| damaged(&path, &error.message()))?;
        if description.version > VERSION {
            return Err(SnapshotError::Wrong(format!(
                "{} has version {}, and this release knows version {VERSION}; use a newer release",
                path.display(),
                description.version
            )));
        }
        if !(1..=1024).contains(&description.shards) {
            return Err(damaged(&path, &format!("{} shards", description.shards)));
        }
        Ok(Some(description))
    }
}

/// Users' tables of a schema, by id.
pub(super) fn tables_of(schema: &Schema) -> BTreeMap<TableId, Table> {
    schema
        .keyspaces()
        .filter(|keyspace| !keyspace.is_system())
        .flat_map(|keyspace| schema.tables(&keyspace.name))
        .map(|table| (table.id, Table::clone(table)))
        .collect()
}

/// Stores the schema in both ways.
pub(super) fn write_schema(
    fs: &dyn Fs,
    dir: &Path,
    schema: &Schema,
    tables: &BTreeMap<TableId, Table>,
) -> Result<(), SnapshotError> {
    write(fs, dir, SCHEMA_FILE, statements(schema, tables).as_bytes())?;
    let all: Vec<&Table> = tables.values().collect();
    let content = rmp_serde::to_vec(&all).map_err(|error| SnapshotError::Disk(error.to_string()))?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&checksum(&content).to_be_bytes());
    bytes.extend_from_slice(&content);
    write(fs, dir, TABLES_FILE, &bytes)
}

/// The statements that make the keyspaces of some tables, and the tables.
fn statements(schema: &Schema, tables: &BTreeMap<TableId, Table>) -> String {
    let mut keyspaces: BTreeMap<&str, Vec<&Table>> = BTreeMap::new();
    for table in tables.values() {
        keyspaces.entry(&table.keyspace).or_default().push(table);
    }
    let mut text = String::new();
    for (keyspace, mut tables) in keyspaces {
        if let Some(keyspace) = schema.keyspace(keyspace) {
            text.push_str(&create_keyspace(keyspace));
            text.push_str("\n\n");
        }
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        for table in tables {
            text.push_str(&create_table(table));
            text.push_str("\n\n");
        }
    }
    text
}

/// The tables that [`write_schema`] stored, by id.
pub(crate) fn read_tables(fs: &dyn Fs, dir: &Path) -> Result<BTreeMap<TableId, Table>, SnapshotError> {
    let path = dir.join(TABLES_FILE);
    let bytes = fs.read(&path).map_err(disk("read", &path))?;
    let whole = bytes.len() >= HEADER_BYTES
        && bytes[..8] == MAGIC
        && bytes[8..HEADER_BYTES] == checksum(&bytes[HEADER_BYTES..]).to_be_bytes();
    if !whole {
        return Err(damaged(&path, &"its checksum does not match"));
    }
    let tables: Vec<Table> =
        rmp_serde::from_slice(&bytes[HEADER_BYTES..]).map_err(|error| damaged(&path, &error))?;
    Ok(tables.into_iter().map(|table| (table.id, table)).collect())
}

/// Writes a small file, durably: after a crash it is whole or not there.
pub(super) fn write(fs: &dyn Fs, dir: &Path, name: &str, content: &[u8]) -> Result<(), SnapshotError> {
    let path = dir.join(name);
    let fresh = dir.join(format!("{name}.new"));
    let mut file = fs.create(&fresh).map_err(disk("create", &fresh))?;
    file.append(content).map_err(disk("write", &fresh))?;
    file.sync().map_err(disk("sync", &fresh))?;
    fs.rename(&fresh, &path).map_err(disk("rename", &fresh))?;
    fs.sync_dir(dir).map_err(disk("sync", dir))
}

fn damaged(path: &Path, problem: &dyn std::fmt::Display) -> SnapshotError {
    SnapshotError::Wrong(format!(
        "{} is damaged ({problem}); use another copy of the snapshot",
        path.display()
    ))
}

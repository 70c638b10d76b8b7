//! Incremental backups: every table that a flush or another node brings gets a second name in `backups/`, so that it
//! outlives its compaction until an operator has copied it away and removes it there.
//!
//! ```text
//! DATA/backups/
//!   schema.cql, tables.schema      the schema, present and former tables
//!   shard-N/TABLE-ID/NUMBER.table  links to tables
//! ```
//!
//! What compactions make holds nothing new and is not linked. At a start all tables that are there are: so the directory has
//! everything that the node had then or got since, also if a crash came between a flush and its link. Nothing is ever
//! removed from it by the node.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    io,
    path::Path,
    sync::Arc,
};

use starling_cql::schema::Schema;
use starling_model::TableId;
use starling_sstable::{Final, FinalHook, Origin, fs::Fs, table::reader::file_name};
use tracing::error;

use super::{
    SnapshotError,
    description::{self, TABLES_FILE},
    disk, read_tables,
};
use crate::store::shard_dir;

/// Where they are, in the data directory.
const DIRECTORY: &str = "backups";

/// Links a shard's tables. What can't be linked is told in the log, and linked at the next start if it is still there.
pub(crate) fn hook(fs: Arc<dyn Fs>, shard: u32) -> FinalHook {
    let mut made = BTreeSet::new();
    Box::new(move |table| {
        if table.origin == Origin::Compaction {
            return;
        }
        if let Err(error) = link(&*fs, shard, table, &mut made) {
            error!(
                %error, table = %table.path.display(),
                "a table has no link in backups/: make room or mend the disk; the next start links it if it is still there"
            );
        }
    })
}

fn link(
    fs: &dyn Fs,
    shard: u32,
    table: Final<'_>,
    made: &mut BTreeSet<TableId>,
) -> Result<(), SnapshotError> {
    let dir = Path::new(DIRECTORY)
        .join(shard_dir(shard))
        .join(format!("{:032x}", table.table.0));
    if !made.contains(&table.table) {
        fs.create_dir_all(&dir).map_err(disk("create", &dir))?;
        made.insert(table.table);
    }
    let to = dir.join(file_name(table.number));
    match fs.hard_link(table.path, &to) {
        // It was there at an earlier start: no other table ever gets its number.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // An operator removed the directory.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs.create_dir_all(&dir).map_err(disk("create", &dir))?;
            fs.hard_link(table.path, &to).map_err(disk("link", &to))
        }
        other => other.map_err(disk("link", &to)),
    }
}

/// Stores the schema beside them, if it is another one than `kept`. Tables that were there before stay in it: their files
/// may.
pub(crate) fn keep_schema(
    fs: &dyn Fs,
    schema: &Schema,
    kept: &mut Option<u128>,
) -> Result<(), SnapshotError> {
    let dir = Path::new(DIRECTORY);
    if *kept == Some(schema.version()) && is_set(fs, dir)? {
        return Ok(());
    }
    fs.create_dir_all(dir).map_err(disk("create", dir))?;
    let mut tables = if is_set(fs, dir)? {
        read_tables(fs, dir)?
    } else {
        BTreeMap::new()
    };
    tables.extend(description::tables_of(schema));
    description::write_schema(fs, dir, schema, &tables)?;
    *kept = Some(schema.version());
    Ok(())
}

/// Whether a directory is one of incremental backups, or a copy of one.
pub(crate) fn is_set(fs: &dyn Fs, dir: &Path) -> Result<bool, SnapshotError> {
    let path = dir.join(TABLES_FILE);
    fs.exists(&path).map_err(disk("find", &path))
}

/// The table that a directory of backups is of, by its name.
pub(crate) fn table_of(name: &OsStr) -> Option<TableId> {
    let name = name.to_str().filter(|name| name.len() == 32)?;
    u128::from_str_radix(name, 16).ok().map(TableId)
}

//! What there is to restore in a directory.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use starling_cql::schema::Table;
use starling_model::TableId;
use starling_sstable::{
    fs::Fs,
    table::reader::{file_name, file_number},
    version::Manifest,
};

use crate::{
    snapshots::{Description, SnapshotError, backups, disk, engine_error, read_tables},
    store::shard_dir,
};

/// A table's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// The table that it was of.
    pub(super) table: TableId,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its size, in bytes.
    pub(super) bytes: u64,
}

/// What there is to restore: a snapshot, or incremental backups.
#[derive(Debug)]
pub(super) struct Source {
    /// The tables as they were defined, by id.
    pub(super) tables: BTreeMap<TableId, Table>,
    /// All files.
    pub(super) files: Vec<File>,
}

impl Source {
    /// What is in a directory, which is only read.
    pub(super) fn open(fs: &dyn Fs, dir: &Path) -> Result<Self, SnapshotError> {
        if !dir.is_absolute() {
            return Err(SnapshotError::Wrong(format!(
                "{} is not a whole path: the node has to find it",
                dir.display()
            )));
        }
        let files = match Description::read(fs, dir)? {
            Some(description) => of_snapshot(fs, dir, &description)?,
            None if backups::is_set(fs, dir)? => of_backups(fs, dir)?,
            None => {
                return Err(SnapshotError::Wrong(format!(
                    "there is no snapshot in {} on the node's machine: it has no snapshot.toml; a snapshot is copied as a \
                     whole directory",
                    dir.display()
                )));
            }
        };
        Ok(Self {
            tables: read_tables(fs, dir)?,
            files,
        })
    }
}

fn of_snapshot(fs: &dyn Fs, dir: &Path, description: &Description) -> Result<Vec<File>, SnapshotError> {
    let mut files = Vec::new();
    for shard in 0..description.shards {
        let place = dir.join(shard_dir(shard));
        let manifest = Manifest::read(fs, &place).map_err(engine_error)?;
        let Some(manifest) = manifest else {
            return Err(SnapshotError::Wrong(format!(
                "the snapshot is not whole: {} has no manifest; use another copy of it",
                place.display()
            )));
        };
        for (table, entry) in &manifest.tables {
            for file in &entry.files {
                files.push(measure(fs, *table, place.join(file_name(file.number)))?);
            }
        }
    }
    Ok(files)
}

/// Each shard's directory has one for each table, named by its id.
fn of_backups(fs: &dyn Fs, dir: &Path) -> Result<Vec<File>, SnapshotError> {
    let mut files = Vec::new();
    for shard in list(fs, dir)? {
        for place in list(fs, &shard)? {
            let Some(table) = place.file_name().and_then(backups::table_of) else {
                continue;
            };
            for path in list(fs, &place)? {
                if file_number(&path).is_some() {
                    files.push(measure(fs, table, path)?);
                }
            }
        }
    }
    Ok(files)
}

/// What is in a directory; nothing if it is none.
fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<PathBuf>, SnapshotError> {
    match fs.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        other => other.map_err(disk("read", dir)),
    }
}

fn measure(fs: &dyn Fs, table: TableId, path: PathBuf) -> Result<File, SnapshotError> {
    let bytes = fs.map(&path).map_err(disk("open", &path))?.len() as u64;
    Ok(File { table, path, bytes })
}

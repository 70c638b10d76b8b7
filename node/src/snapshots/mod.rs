//! Snapshots of a node: directories with hard links to its tables, and the schema, that can be copied away and restored.
//!
//! ```text
//! DATA/snapshots/TAG/
//!   snapshot.toml    what it is ([`Description`])
//!   schema.cql       CREATE statements of its tables
//!   tables.schema    their definitions with ids
//!   shard-N/         each shard's tables, with a manifest
//!   unfinished       while it is made or deleted
//! ```
//!
//! A link costs no space until the node gives the table up, by compaction mostly; then the bytes are the snapshot's own. One
//! that a crash left unfinished is cleared away at the next start.

pub(crate) mod backups;
mod description;
mod selection;
mod size;
mod tag;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use starling_cql::schema::Schema;
use starling_model::TableId;
use starling_replication::StoreError;
use starling_sstable::{engine::snapshot, fs::Fs};
use tracing::{info, warn};

pub use description::Description;
pub(crate) use description::read_tables;
pub use selection::Selection;
pub use tag::Tag;

use crate::store::ShardedStore;

/// Where they are, in the data directory.
const DIRECTORY: &str = "snapshots";

/// Marks one that is being made or deleted.
const UNFINISHED: &str = "unfinished";

/// A node's snapshots.
pub struct Snapshots {
    fs: Arc<dyn Fs>,
    /// The data directory.
    root: PathBuf,
    store: ShardedStore,
    about: About,
    /// Those that are being made or deleted. Others are not held up: one that waits for a full disk must not keep an
    /// operator from deleting another.
    changing: Mutex<BTreeSet<Tag>>,
}

/// What every snapshot of a node says of it.
#[derive(Debug, Clone)]
pub struct About {
    /// The cluster's name.
    pub cluster: String,
    /// The node's name.
    pub name: String,
    /// Its host id.
    pub node: String,
    /// How keys become tokens.
    pub partitioner: String,
}

/// A snapshot, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotView {
    /// Its name.
    pub tag: String,
    /// Where it is on the node's machine.
    pub path: PathBuf,
    /// When it was made, in seconds since the epoch.
    pub taken: i64,
    /// The keyspace or table that it is of; `None`: everything.
    pub of: Option<String>,
    /// How many tables (files) it has.
    pub tables: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes of those that nothing else holds: what its deletion gives back.
    pub own_bytes: u64,
}

/// Why a snapshot can't be made, found, read or deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// What was asked for makes no sense; nothing was done.
    #[error("{0}")]
    Wrong(String),
    /// The disk.
    #[error("{0}")]
    Disk(String),
    /// A shard.
    #[error("{0}")]
    Store(#[from] StoreError),
}

pub(crate) fn disk(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    let path = path.to_path_buf();
    move |error| SnapshotError::Disk(format!("cannot {verb} {}: {error}", path.display()))
}

pub(crate) fn engine_error(error: starling_sstable::Error) -> SnapshotError {
    SnapshotError::Disk(error.to_string())
}

impl Snapshots {
    /// Those of the data directory `root`, which is the root of `fs`. Clears away what is unfinished; what can't be is
    /// left with a warning.
    pub fn open(fs: Arc<dyn Fs>, root: PathBuf, store: ShardedStore, about: About) -> Self {
        if let Err(error) = clear_unfinished(&*fs) {
            warn!(%error, "an unfinished snapshot could not be removed; it takes space until the next start");
        }
        Self {
            fs,
            root,
            store,
            about,
            changing: Mutex::default(),
        }
    }

    /// Makes a snapshot of what was acknowledged before, as of about `taken` (seconds since the epoch). Ends when it is
    /// complete and durable. `schema` tells the present schema.
    ///
    /// After an error there is no snapshot of this name, unless there was one before. The future must be driven to its
    /// end.
    pub async fn create(
        &self,
        tag: &Tag,
        selection: &Selection,
        taken: i64,
        schema: impl Fn() -> Arc<Schema>,
    ) -> Result<SnapshotView, SnapshotError> {
        let before = schema();
        let wanted = selection.tables(&before).map_err(SnapshotError::Wrong)?;
        let _changing = self.change(tag)?;
        let dir = Path::new(DIRECTORY).join(tag.as_str());
        let (place, name) = (dir.clone(), tag.clone());
        self.on_disk(move |fs| begin(fs, &place, &name)).await?;
        let everything = selection.name().is_none();
        let made = self
            .fill(&dir, (!everything).then_some(&wanted), &before, &schema)
            .await;
        let description = Description {
            version: Description::VERSION,
            tag: tag.to_string(),
            taken,
            of: selection.name(),
            cluster: self.about.cluster.clone(),
            name: self.about.name.clone(),
            node: self.about.node.clone(),
            partitioner: self.about.partitioner.clone(),
            shards: self.store.shards(),
        };
        let place = dir.clone();
        let finished = match made {
            Ok(()) => self.on_disk(move |fs| finish(fs, &place, &description)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = finished {
            let given_up = self.on_disk(move |fs| {
                give_up(fs, &dir);
                Ok(())
            });
            let _ = given_up.await;
            return Err(error);
        }
        info!(%tag, "a snapshot was made");
        self.view(tag).await
    }

    /// All that are complete, by name. One whose description can't be read is told in the log only.
    pub async fn list(&self) -> Result<Vec<SnapshotView>, SnapshotError> {
        let root = self.root.clone();
        self.on_disk(move |fs| {
            let mut all = Vec::new();
            for dir in directories(fs)? {
                if is_unfinished(fs, &dir)? {
                    continue;
                }
                match Description::read(fs, &dir) {
                    Ok(Some(description)) => all.push(view(&root, &dir, description)?),
                    Ok(None) => {}
                    Err(error) => warn!(%error, "a snapshot is not shown"),
                }
            }
            all.sort_by(|a, b| a.tag.cmp(&b.tag));
            Ok(all)
        })
        .await
    }

    /// Deletes one. A crash meanwhile leaves nothing that passes for a snapshot. Returns what it was.
    pub async fn delete(&self, tag: &Tag) -> Result<SnapshotView, SnapshotError> {
        let _changing = self.change(tag)?;
        let deleted = self.view(tag).await?;
        let dir = Path::new(DIRECTORY).join(tag.as_str());
        self.on_disk(move |fs| {
            mark(fs, &dir)?;
            remove(fs, &dir)
        })
        .await?;
        info!(%tag, "a snapshot was deleted");
        Ok(deleted)
    }

    fn change<'a>(&'a self, tag: &'a Tag) -> Result<Changing<'a>, SnapshotError> {
        if !self.changing.lock().insert(tag.clone()) {
            return Err(SnapshotError::Wrong(format!(
                "snapshot '{tag}' is being made or deleted; try again when that is over"
            )));
        }
        Ok(Changing { snapshots: self, tag })
    }

    async fn view(&self, tag: &Tag) -> Result<SnapshotView, SnapshotError> {
        let (root, dir) = (self.root.clone(), Path::new(DIRECTORY).join(tag.as_str()));
        let missing =
            format!("there is no snapshot '{tag}'; `starling snapshot list` shows those that there are");
        self.on_disk(move |fs| match Description::read(fs, &dir)? {
            Some(description) if !is_unfinished(fs, &dir)? => view(&root, &dir, description),
            _ => Err(SnapshotError::Wrong(missing)),
        })
        .await
    }

    /// Everything but the description.
    async fn fill(
        &self,
        dir: &Path,
        wanted: Option<&BTreeSet<TableId>>,
        before: &Schema,
        schema: impl Fn() -> Arc<Schema>,
    ) -> Result<(), SnapshotError> {
        self.store.snapshot(wanted, dir).await?;
        // What was changed meanwhile may be in the tables, or not any more: both states are known.
        let after = schema();
        let mut tables = description::tables_of(before);
        tables.extend(description::tables_of(&after));
        if let Some(wanted) = wanted {
            tables.retain(|id, _| wanted.contains(id));
        }
        let dir = dir.to_path_buf();
        self.on_disk(move |fs| description::write_schema(fs, &dir, &after, &tables))
            .await
    }

    /// Work on the disk, away from the threads that serve.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Fs) -> Result<T, SnapshotError> + Send + 'static,
    ) -> Result<T, SnapshotError> {
        let fs = Arc::clone(&self.fs);
        tokio::task::spawn_blocking(move || work(&*fs))
            .await
            .unwrap_or_else(|panic| Err(SnapshotError::Disk(format!("the work broke off: {panic}"))))
    }
}

/// That a snapshot is being made or deleted, until this is dropped.
struct Changing<'a> {
    snapshots: &'a Snapshots,
    tag: &'a Tag,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.snapshots.changing.lock().remove(self.tag);
    }
}

fn view(root: &Path, dir: &Path, description: Description) -> Result<SnapshotView, SnapshotError> {
    let path = root.join(dir);
    let size = size::of(&path).map_err(disk("read", &path))?;
    Ok(SnapshotView {
        tag: description.tag,
        path,
        taken: description.taken,
        of: description.of,
        tables: size.tables,
        bytes: size.bytes,
        own_bytes: size.own_bytes,
    })
}

/// Makes the directory of one, marked; after an error there is none.
fn begin(fs: &dyn Fs, dir: &Path, tag: &Tag) -> Result<(), SnapshotError> {
    if fs.exists(dir).map_err(disk("find", dir))? {
        return Err(SnapshotError::Wrong(format!(
            "there is a snapshot '{tag}' already; choose another name, or delete it first"
        )));
    }
    fs.create_dir_all(dir).map_err(disk("create", dir))?;
    let begun = mark(fs, dir).and_then(|()| {
        [Path::new(DIRECTORY), Path::new("")]
            .into_iter()
            .try_for_each(|parent| fs.sync_dir(parent).map_err(disk("sync", parent)))
    });
    if begun.is_err() {
        give_up(fs, dir);
    }
    begun
}

/// Removes one that failed, as far as that can be done.
fn give_up(fs: &dyn Fs, dir: &Path) {
    if let Err(error) = remove(fs, dir) {
        warn!(%error, "a snapshot that failed is not wholly removed; the next start does it");
    }
}

/// Writes the description, and takes the mark away: it is a snapshot from then on.
fn finish(fs: &dyn Fs, dir: &Path, description: &Description) -> Result<(), SnapshotError> {
    description.write(fs, dir)?;
    remove_file(fs, &dir.join(UNFINISHED))?;
    fs.sync_dir(dir).map_err(disk("sync", dir))
}

fn mark(fs: &dyn Fs, dir: &Path) -> Result<(), SnapshotError> {
    description::write(fs, dir, UNFINISHED, b"being made or deleted\n")
}

fn is_unfinished(fs: &dyn Fs, dir: &Path) -> Result<bool, SnapshotError> {
    let path = dir.join(UNFINISHED);
    fs.exists(&path).map_err(disk("find", &path))
}

/// Removes a snapshot that is marked, the mark last. What is not a part of it stays, and is an error.
fn remove(fs: &dyn Fs, dir: &Path) -> Result<(), SnapshotError> {
    for name in [
        description::FILE,
        description::SCHEMA_FILE,
        description::TABLES_FILE,
    ] {
        remove_file(fs, &dir.join(name))?;
        remove_file(fs, &dir.join(format!("{name}.new")))?;
    }
    for shard in snapshot::list(fs, dir).map_err(engine_error)? {
        snapshot::delete(fs, &shard).map_err(engine_error)?;
    }
    snapshot::remove_unfinished(fs, dir).map_err(engine_error)?;
    fs.sync_dir(dir).map_err(disk("sync", dir))?;
    remove_file(fs, &dir.join(format!("{UNFINISHED}.new")))?;
    let left = fs.list(dir).map_err(disk("read", dir))?;
    if let Some(other) = left.iter().find(|path| !path.ends_with(UNFINISHED)) {
        return Err(SnapshotError::Disk(format!(
            "{} is no part of the snapshot, which is removed but for it; remove it too",
            other.display()
        )));
    }
    remove_file(fs, &dir.join(UNFINISHED))?;
    fs.remove_dir(dir).map_err(disk("remove", dir))?;
    fs.sync_dir(Path::new(DIRECTORY))
        .map_err(disk("sync", Path::new(DIRECTORY)))
}

fn remove_file(fs: &dyn Fs, path: &Path) -> Result<(), SnapshotError> {
    match fs.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk("remove", path)(error)),
        _ => Ok(()),
    }
}

/// What may be snapshots.
fn directories(fs: &dyn Fs) -> Result<Vec<PathBuf>, SnapshotError> {
    let parent = Path::new(DIRECTORY);
    match fs.list(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => {
            let mut all = other.map_err(disk("read", parent))?;
            all.retain(|path| fs.list(path).is_ok());
            Ok(all)
        }
    }
}

fn clear_unfinished(fs: &dyn Fs) -> Result<(), SnapshotError> {
    for dir in directories(fs)? {
        if is_unfinished(fs, &dir)? {
            remove(fs, &dir)?;
            info!(snapshot = %dir.display(), "removed an unfinished snapshot");
        }
    }
    Ok(())
}

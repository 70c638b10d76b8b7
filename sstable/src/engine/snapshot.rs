//! Snapshots: a directory with hard links to all live tables, that opens as an engine of its own.
//!
//! A snapshot holds every write that was accepted before it was asked for, and perhaps some that came while it was
//! made: what is in memory is flushed first, and the links are made by a job. Its manifest is written last, so a
//! directory without one is a snapshot that was not finished; [`remove_unfinished`] clears it away. A link costs no
//! space until the engine gives the table up; across disks, tables are copied instead.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use starling_model::TableId;

use super::Engine;
use crate::{
    Error,
    fs::Fs,
    log::Lsn,
    table::reader::{file_name, file_number},
    version::{Manifest, manifest},
};

/// Where in an engine's directory snapshots may be kept; an open clears away unfinished ones there.
pub const DIRECTORY: &str = "snapshots";

/// Names that are made in one step.
const STEP_FILES: usize = 32;

/// A file that is copied goes to the disk in pieces of this many bytes.
const COPY_BYTES: usize = 1 << 20;

/// The most snapshots, and the most ingests, that wait at a time.
pub(super) const MAX_WAITING: usize = 16;

/// Who is told how a snapshot or an ingest went.
pub(super) type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// A snapshot that was asked for.
pub(super) struct Wanted {
    dir: PathBuf,
    /// Which tables belong to it; `None`: all.
    tables: Option<BTreeSet<TableId>>,
    /// Writes up to this belong to it.
    last: Lsn,
    done: Done,
}

/// A snapshot in the making.
pub(super) struct Snapshotting {
    fs: Arc<dyn Fs>,
    from: PathBuf,
    dir: PathBuf,
    manifest: Manifest,
    /// Files without a link.
    left: Vec<u64>,
    begun: bool,
    linked: Vec<PathBuf>,
    complete: bool,
    done: Done,
    /// No file is removed while this is held.
    _pin: Arc<()>,
}

impl Engine {
    /// Asks for a snapshot of some tables (`None`: all) in a directory, which must not exist or be empty, and is made.
    /// `done` is told, from [`finish`](Self::finish), when it is complete and durable; after an error nothing of it is
    /// left but the empty directory.
    ///
    /// [`Error::Invalid`] if too many snapshots wait.
    pub fn snapshot(
        &mut self,
        dir: PathBuf,
        tables: Option<BTreeSet<TableId>>,
        done: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        if self.bulk.snapshots.len() >= MAX_WAITING {
            return Err(Error::Invalid("too many snapshots wait to be made"));
        }
        self.rotate_all(tables.as_ref());
        self.bulk.snapshots.push_back(Wanted {
            dir,
            tables,
            last: self.log.appended(),
            done: Box::new(done),
        });
        Ok(())
    }

    /// Where snapshots of this engine may be kept, each in a directory of its own.
    pub fn snapshots(&self) -> PathBuf {
        self.dir.join(DIRECTORY)
    }

    /// The next snapshot, if all that belongs to it is in tables.
    pub(super) fn next_snapshot(&mut self) -> Option<Snapshotting> {
        let first = self.bulk.snapshots.front()?;
        if !self.are_flushed(first.tables.as_ref(), first.last) {
            return None;
        }
        let Wanted {
            dir, tables, done, ..
        } = self.bulk.snapshots.pop_front()?;
        let mut manifest = self.manifest(&[]);
        manifest.floor = manifest.last.next();
        // It has no log, and what is opened from it draws a salt of its own.
        manifest.salt = 0;
        manifest.tables.retain(|id, entry| {
            !entry.files.is_empty() && tables.as_ref().is_none_or(|tables| tables.contains(id))
        });
        let files = manifest.tables.values().flat_map(|entry| &entry.files);
        Some(Snapshotting {
            fs: Arc::clone(&self.fs),
            from: self.dir.clone(),
            dir,
            left: files.map(|file| file.number).collect(),
            manifest,
            begun: false,
            linked: Vec::new(),
            complete: false,
            done,
            _pin: Arc::clone(&self.bulk.pin),
        })
    }

    /// Takes a snapshot back, and tells who asked for it.
    pub(super) fn snapshotted(&mut self, snapshot: Snapshotting, failed: Option<Error>) {
        if snapshot.complete {
            self.counters.snapshots += 1;
            (snapshot.done)(Ok(()));
        } else {
            (snapshot.done)(Err(failed.unwrap_or(Error::Invalid("the snapshot was given up"))));
        }
    }
}

impl Snapshotting {
    /// Makes some links; `true` once the snapshot is complete and durable. After an error nothing of it is left: whoever asked
    /// for it may ask for the same directory again as soon as he is told.
    pub(super) fn step(&mut self) -> Result<bool, Error> {
        let outcome = self.go_on();
        if outcome.is_err() && self.begun {
            self.undo();
        }
        outcome
    }

    fn go_on(&mut self) -> Result<bool, Error> {
        if !self.begun {
            self.begin()?;
            self.begun = true;
        }
        for _ in 0..STEP_FILES {
            let Some(file) = self.left.last() else { break };
            let name = file_name(*file);
            let to = self.dir.join(&name);
            self.linked.push(to.clone());
            link(&*self.fs, &self.from.join(&name), &to)?;
            self.left.pop();
        }
        if self.left.is_empty() && !self.complete {
            // The names of the tables must not be younger than the manifest that lists them.
            self.fs
                .sync_dir(&self.dir)
                .map_err(Error::io("sync", &self.dir))?;
            self.manifest.prepare(&*self.fs, &self.dir)?.commit(&*self.fs)?;
            self.complete = true;
        }
        Ok(self.complete)
    }

    /// Removes what was made; the manifest first, so that nothing half passes for a snapshot. What can't be removed is cleared
    /// away with the directory, at the next start or by the next snapshot in it.
    fn undo(&mut self) {
        let own = [manifest::FILE_NAME, manifest::NEW_FILE_NAME].map(|name| self.dir.join(name));
        for path in own.into_iter().chain(self.linked.drain(..)) {
            if let Err(error) = self.fs.remove(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, file = %path.display(), "a file of a snapshot that failed can't be removed");
                // A manifest without its tables would pass for a snapshot: they stay with it.
                if path.ends_with(manifest::FILE_NAME) {
                    return;
                }
            }
        }
    }

    fn begin(&self) -> Result<(), Error> {
        let fs = &*self.fs;
        fs.create_dir_all(&self.dir)
            .map_err(Error::io("create", &self.dir))?;
        if is_finished(fs, &self.dir)? {
            return Err(Error::Invalid("there is a snapshot in this directory"));
        }
        if !clear(fs, &self.dir)? {
            return Err(Error::Invalid("the directory of a new snapshot must be empty"));
        }
        Ok(())
    }
}

/// Gives a table's file a second name; across disks, copies it.
pub(super) fn link(fs: &dyn Fs, from: &Path, to: &Path) -> Result<(), Error> {
    match fs.hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(fs, from, to),
        Err(error) => Err(Error::io("link", to)(error)),
    }
}

fn copy(fs: &dyn Fs, from: &Path, to: &Path) -> Result<(), Error> {
    let content = fs.map(from).map_err(Error::io("open", from))?.into_bytes();
    let mut file = fs.create(to).map_err(Error::io("create", to))?;
    file.drop_behind();
    for piece in content.chunks(COPY_BYTES) {
        file.append(piece).map_err(Error::io("write", to))?;
    }
    file.sync().map_err(Error::io("sync", to))
}

/// The snapshots in a directory, by name.
pub fn list(fs: &dyn Fs, parent: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut all = directories(fs, parent)?;
    let mut error = None;
    all.retain(|dir| match is_finished(fs, dir) {
        Ok(finished) => finished,
        Err(other) => {
            error = Some(other);
            false
        }
    });
    error.map_or(Ok(all), Err)
}

/// Deletes a snapshot. First it stops being one, so a crash leaves nothing half: see [`remove_unfinished`].
pub fn delete(fs: &dyn Fs, dir: &Path) -> Result<(), Error> {
    let manifest = dir.join(manifest::FILE_NAME);
    fs.remove(&manifest).map_err(Error::io("remove", &manifest))?;
    fs.sync_dir(dir).map_err(Error::io("sync", dir))?;
    if clear(fs, dir)? {
        fs.remove_dir(dir).map_err(Error::io("remove", dir))?;
    }
    Ok(())
}

/// Removes the snapshots in a directory that were not finished, or not wholly deleted. Returns how many.
pub fn remove_unfinished(fs: &dyn Fs, parent: &Path) -> Result<usize, Error> {
    let mut removed = 0;
    for dir in directories(fs, parent)? {
        if !is_finished(fs, &dir)? && clear(fs, &dir)? {
            fs.remove_dir(&dir).map_err(Error::io("remove", &dir))?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn directories(fs: &dyn Fs, parent: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut all = match fs.list(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("list", parent))?,
    };
    all.retain(|path| fs.list(path).is_ok());
    Ok(all)
}

fn is_finished(fs: &dyn Fs, dir: &Path) -> Result<bool, Error> {
    let path = dir.join(manifest::FILE_NAME);
    fs.exists(&path).map_err(Error::io("find", &path))
}

/// Removes what an unfinished snapshot consists of, unless there is anything else. `true`: it is empty now.
fn clear(fs: &dyn Fs, dir: &Path) -> Result<bool, Error> {
    let files = fs.list(dir).map_err(Error::io("list", dir))?;
    let is_own = |path: &PathBuf| {
        file_number(path).is_some()
            || path
                .file_name()
                .is_some_and(|name| name == manifest::NEW_FILE_NAME)
    };
    if !files.iter().all(is_own) {
        return Ok(false);
    }
    for file in files {
        fs.remove(&file).map_err(Error::io("remove", &file))?;
    }
    fs.sync_dir(dir).map_err(Error::io("sync", dir))?;
    Ok(true)
}

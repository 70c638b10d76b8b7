//! Directories: the names as programs see them, and those that a crash would leave.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Component, Path, PathBuf},
};

use super::FileId;
use crate::random::Random;

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
enum Change {
    Created(PathBuf, FileId),
    Renamed(PathBuf, PathBuf, FileId),
    Removed(PathBuf, FileId),
}

/// All names of a disk. Paths are kept without `.` components.
#[derive(Default)]
pub(super) struct Names {
    dirs: BTreeSet<PathBuf>,
    current: BTreeMap<PathBuf, FileId>,
    durable: BTreeMap<PathBuf, FileId>,
    /// In the order in which they were made.
    changes: Vec<Change>,
}

fn clean(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .collect()
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("simulated: there is no {}", path.display()),
    )
}

impl Names {
    pub(super) fn create_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        let dir = clean(dir);
        if let Some(file) = dir.ancestors().find(|part| self.current.contains_key(*part)) {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                format!("simulated: {} is a file", file.display()),
            ));
        }
        self.dirs.extend(dir.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    pub(super) fn create(&mut self, path: &Path, file: FileId) -> io::Result<()> {
        let path = clean(path);
        self.check_parent(&path)?;
        self.check_no_dir(&path)?;
        self.current.insert(path.clone(), file);
        self.changes.push(Change::Created(path, file));
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (clean(from), clean(to));
        let file = self.file(&from)?;
        self.check_parent(&to)?;
        self.check_no_dir(&to)?;
        if from == to {
            return Ok(());
        }
        self.current.remove(&from);
        self.current.insert(to.clone(), file);
        self.changes.push(Change::Renamed(from, to, file));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let path = clean(path);
        let file = self.file(&path)?;
        self.current.remove(&path);
        self.changes.push(Change::Removed(path, file));
        Ok(())
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (clean(from), clean(to));
        let file = self.file(&from)?;
        self.check_parent(&to)?;
        if self.exists(&to) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("simulated: {} exists", to.display()),
            ));
        }
        self.current.insert(to.clone(), file);
        self.changes.push(Change::Created(to, file));
        Ok(())
    }

    /// At once, as directories are made; what in it was removed is gone for good with it.
    pub(super) fn remove_dir(&mut self, dir: &Path) -> io::Result<()> {
        let dir = clean(dir);
        self.check_dir(&dir)?;
        if !self.list(&dir)?.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::DirectoryNotEmpty,
                format!("simulated: {} is not empty", dir.display()),
            ));
        }
        self.sync(&dir)?;
        self.dirs.remove(&dir);
        Ok(())
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let dir = clean(dir);
        self.check_dir(&dir)?;
        let child = |path: &&PathBuf| path.parent() == Some(&dir);
        let mut entries: Vec<PathBuf> = self.current.keys().filter(child).cloned().collect();
        entries.extend(self.dirs.iter().filter(child).cloned());
        entries.sort();
        Ok(entries)
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        let path = clean(path);
        self.current.contains_key(&path) || self.is_dir(&path)
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<FileId> {
        self.current
            .get(&clean(path))
            .copied()
            .ok_or_else(|| not_found(path))
    }

    /// Files that have a name, each once.
    pub(super) fn files(&self) -> impl Iterator<Item = FileId> + use<> {
        let files: BTreeSet<FileId> = self.current.values().copied().collect();
        files.into_iter()
    }

    /// Files that have a name, or would have one after some crash.
    pub(super) fn reachable(&self) -> impl Iterator<Item = FileId> {
        let pending = self.changes.iter().map(|change| match change {
            Change::Created(_, file) | Change::Renamed(_, _, file) | Change::Removed(_, file) => *file,
        });
        self.files().chain(self.durable.values().copied()).chain(pending)
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.current.keys().cloned().collect()
    }

    /// Makes the names in a directory durable; a rename between two directories with the first of them.
    pub(super) fn sync(&mut self, dir: &Path) -> io::Result<()> {
        let dir = clean(dir);
        self.check_dir(&dir)?;
        let concerns = |path: &Path| path.parent() == Some(&dir);
        let (settled, open): (Vec<Change>, Vec<Change>) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|change| match change {
                Change::Created(path, _) | Change::Removed(path, _) => concerns(path),
                Change::Renamed(from, to, _) => concerns(from) || concerns(to),
            });
        self.changes = open;
        for change in &settled {
            apply(&mut self.durable, change);
        }
        Ok(())
    }

    /// Keeps or undoes each change that is not durable; returns how many were undone.
    pub(super) fn crash(&mut self, random: &mut Random) -> u64 {
        let changes = std::mem::take(&mut self.changes);
        // Often a journal keeps the order: then all after the first loss is lost too.
        let journal = random.chance(500);
        let mut undone = 0;
        for change in &changes {
            if (journal && undone > 0) || random.chance(400) {
                undone += 1;
            } else {
                apply(&mut self.durable, change);
            }
        }
        self.current = self.durable.clone();
        undone
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        self.check_dir(path.parent().unwrap_or(Path::new("")))
    }

    fn check_dir(&self, dir: &Path) -> io::Result<()> {
        if self.is_dir(dir) {
            Ok(())
        } else {
            Err(not_found(dir))
        }
    }

    fn check_no_dir(&self, path: &Path) -> io::Result<()> {
        if self.is_dir(path) {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                format!("simulated: {} is a directory", path.display()),
            ));
        }
        Ok(())
    }

    /// The root and the node's data directory always exist.
    fn is_dir(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || path == Path::new("/") || self.dirs.contains(path)
    }
}

/// Applies a change to names that may lack some of the changes before it.
fn apply(names: &mut BTreeMap<PathBuf, FileId>, change: &Change) {
    match change {
        Change::Created(path, file) => {
            names.insert(path.clone(), *file);
        }
        Change::Renamed(from, to, file) => {
            if names.get(from) == Some(file) {
                names.remove(from);
            }
            names.insert(to.clone(), *file);
        }
        Change::Removed(path, file) => {
            if names.get(path) == Some(file) {
                names.remove(path);
            }
        }
    }
}

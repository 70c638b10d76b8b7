//! A file system in memory that can crash: what was not synced is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::{Fs, Map, Residency, WriteFile};

/// A file system in memory. Clones share their content.
///
/// It is as strict as the contract of [`Fs`] allows: a file's bytes are durable only up to its last
/// sync, and its name only by the last sync of its directory. [`after_crash`](Self::after_crash) shows
/// what is left. Failures can be asked for: see [`Faults`].
#[derive(Debug, Clone, Default)]
pub struct MemoryFs {
    state: Arc<Mutex<State>>,
}

/// Failures that a test asks for. They last until they are taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Files may hold this many bytes in all; `None`: no limit. What goes beyond fails as a full disk.
    pub capacity: Option<u64>,
    /// Every sync of a file fails, and makes nothing durable.
    pub fail_syncs: bool,
}

#[derive(Debug, Default)]
struct State {
    directories: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, FileId>,
    durable_names: BTreeMap<PathBuf, FileId>,
    files: BTreeMap<FileId, Content>,
    next: FileId,
    faults: Faults,
    unreadable: BTreeSet<PathBuf>,
    refuses_maps: bool,
    residency: Option<Arc<dyn Residency>>,
}

type FileId = u64;

/// A file: its bytes, of which those before `synced` are durable.
#[derive(Debug, Default, Clone)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
    /// Where the last append ended: not at the end, where a file is written anew in place of what it holds.
    written: usize,
    /// What is durable from `synced` on, in place of what was written there.
    old: Vec<u8>,
    /// Bytes that were set aside for it in all.
    reserved: u64,
}

impl Content {
    fn append(&mut self, bytes: &[u8]) {
        let over = (self.bytes.len() - self.written).min(bytes.len());
        self.bytes[self.written..self.written + over].copy_from_slice(&bytes[..over]);
        self.bytes.extend_from_slice(&bytes[over..]);
        self.written += bytes.len();
    }

    fn sync(&mut self) {
        let more = (self.written - self.synced).min(self.old.len());
        self.old.drain(..more);
        self.synced = self.written;
    }

    /// Makes all that it holds durable, whoever wrote it.
    fn sync_all(&mut self) {
        self.old.clear();
        self.written = self.bytes.len();
        self.synced = self.written;
    }

    fn begin_anew(&mut self) {
        self.old = self.durable(0);
        self.bytes.clone_from(&self.old);
        (self.written, self.synced) = (0, 0);
    }

    /// What a crash leaves of it, if `kept` bytes survive that were not synced.
    fn durable(&self, kept: usize) -> Vec<u8> {
        let mut bytes = self.bytes[..self.synced + kept].to_vec();
        bytes.extend_from_slice(self.old.get(kept..).unwrap_or_default());
        bytes
    }

    fn used(&self) -> u64 {
        self.reserved.max(self.bytes.len() as u64)
    }
}

struct MemoryFile {
    fs: MemoryFs,
    id: FileId,
}

impl MemoryFs {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a machine finds that comes back after a crash at this moment: another file system, which
    /// shares nothing with this one.
    ///
    /// `keep` is asked for each durable name how many of its unsynced bytes (given) survived; what it
    /// says beyond that is taken as all of them.
    #[must_use]
    pub fn after_crash(&self, keep: &mut dyn FnMut(&Path, usize) -> usize) -> Self {
        let state = self.lock();
        let mut files = BTreeMap::new();
        for (path, id) in &state.durable_names {
            let mut content = state.files[id].clone();
            let unsynced = content.written - content.synced;
            let kept = if unsynced == 0 {
                0
            } else {
                keep(path, unsynced).min(unsynced)
            };
            content.bytes = content.durable(kept);
            content.sync_all();
            files.insert(*id, content);
        }
        Self {
            state: Arc::new(Mutex::new(State {
                residency: None,
                directories: state.directories.clone(),
                names: state.durable_names.clone(),
                durable_names: state.durable_names.clone(),
                files,
                next: state.next,
                faults: Faults::default(),
                unreadable: BTreeSet::new(),
                refuses_maps: false,
            })),
        }
    }

    /// Of files that are mapped from now on, `residency` tells what is in memory.
    pub fn set_residency(&self, residency: Arc<dyn Residency>) {
        self.lock().residency = Some(residency);
    }

    /// Sets the failures from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// From now on the file or directory of this name can't be read. Its name can be changed.
    pub fn refuse_reads(&self, path: &Path) {
        self.lock().unreadable.insert(path.to_path_buf());
    }

    /// Whether, from now on, no file can be mapped, as where a process has no maps left.
    pub fn refuse_maps(&self, refuses: bool) {
        self.lock().refuses_maps = refuses;
    }

    /// Replaces a file's bytes behind the back of who uses it, durably: bit rot.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.lock();
        let id = state.id(path)?;
        let content = state.content(id);
        change(&mut content.bytes);
        content.sync_all();
        Ok(())
    }

    /// How many bytes all files hold.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Fails if reads of the name are [refused](MemoryFs::refuse_reads).
    fn check_readable(&self, path: &Path) -> io::Result<()> {
        if self.unreadable.contains(path) {
            return Err(io::Error::other(format!("{} can't be read", path.display())));
        }
        Ok(())
    }

    fn id(&self, path: &Path) -> io::Result<FileId> {
        self.names.get(path).copied().ok_or_else(|| not_found(path))
    }

    fn content(&mut self, id: FileId) -> &mut Content {
        self.files.entry(id).or_default()
    }

    fn used(&self) -> u64 {
        self.files.values().map(Content::used).sum()
    }

    fn parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !self.directories.contains(parent) => {
                Err(not_found(parent))
            }
            _ => Ok(()),
        }
    }

    /// Forgets files that no name leads to. Handles that are still open write into the void.
    fn collect(&mut self) {
        let named: BTreeSet<FileId> = self
            .names
            .values()
            .chain(self.durable_names.values())
            .copied()
            .collect();
        self.files.retain(|id, _| named.contains(id));
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("{} does not exist", path.display()),
    )
}

impl State {
    /// Fails if a file can't grow to so many bytes.
    fn room(&self, id: FileId, bytes: u64) -> io::Result<()> {
        let used = self.files.get(&id).map_or(0, Content::used);
        match self.faults.capacity {
            Some(capacity) if self.used() - used + used.max(bytes) > capacity => {
                Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is full"))
            }
            _ => Ok(()),
        }
    }
}

impl WriteFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.fs.lock();
        let written = state.files.get(&self.id).map_or(0, |content| content.written);
        state.room(self.id, (written + bytes.len()) as u64)?;
        if let Some(content) = state.files.get_mut(&self.id) {
            content.append(bytes);
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.fs.lock();
        if state.faults.fail_syncs {
            return Err(io::Error::other("the sync failed"));
        }
        if let Some(content) = state.files.get_mut(&self.id) {
            content.sync();
        }
        Ok(())
    }

    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        let mut state = self.fs.lock();
        state.room(self.id, bytes)?;
        if let Some(content) = state.files.get_mut(&self.id) {
            content.reserved = content.reserved.max(bytes);
        }
        Ok(())
    }
}

impl Fs for MemoryFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        for dir in dir.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
            if state.names.contains_key(dir) {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!("{} is a file", dir.display()),
                ));
            }
            state.directories.insert(dir.to_path_buf());
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut state = self.lock();
        state.parent(path)?;
        if state.directories.contains(path) {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                format!("{} is a directory", path.display()),
            ));
        }
        let id = state.next;
        state.next += 1;
        state.files.insert(id, Content::default());
        state.names.insert(path.to_path_buf(), id);
        state.collect();
        Ok(Box::new(MemoryFile { fs: self.clone(), id }))
    }

    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut state = self.lock();
        let id = state.id(path)?;
        state.content(id).begin_anew();
        Ok(Box::new(MemoryFile { fs: self.clone(), id }))
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let state = self.lock();
        state.check_readable(path)?;
        let id = state.id(path)?;
        Ok(Bytes::copy_from_slice(&state.files[&id].bytes))
    }

    fn may_map(&self) -> io::Result<()> {
        if self.lock().refuses_maps {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(())
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        let map = Map::from(self.read(path)?);
        self.may_map()?;
        let state = self.lock();
        Ok(match &state.residency {
            Some(residency) => map.with_residency(Arc::clone(residency)),
            None => map,
        })
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let id = state.id(path)?;
        if state.faults.fail_syncs {
            return Err(io::Error::other("the sync failed"));
        }
        let content = state.content(id);
        content.sync();
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let id = state.id(from)?;
        state.parent(to)?;
        state.names.remove(from);
        state.names.insert(to.to_path_buf(), id);
        state.collect();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.names.remove(path).ok_or_else(|| not_found(path))?;
        state.collect();
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let id = state.id(from)?;
        state.parent(to)?;
        if state.names.contains_key(to) || state.directories.contains(to) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{} exists", to.display()),
            ));
        }
        state.names.insert(to.to_path_buf(), id);
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        if !state.directories.contains(dir) {
            return Err(not_found(dir));
        }
        let inside = |path: &&PathBuf| path.parent() == Some(dir);
        if state
            .names
            .keys()
            .chain(&state.directories)
            .any(|path| inside(&path))
        {
            return Err(io::Error::new(
                io::ErrorKind::DirectoryNotEmpty,
                format!("{} is not empty", dir.display()),
            ));
        }
        state.directories.remove(dir);
        // What a crash could still bring back needs no directory any more.
        state.durable_names.retain(|path, _| path.parent() != Some(dir));
        state.collect();
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.lock();
        state.check_readable(dir)?;
        if !dir.as_os_str().is_empty() && !state.directories.contains(dir) {
            return Err(not_found(dir));
        }
        let mut paths: Vec<PathBuf> = state
            .names
            .keys()
            .chain(&state.directories)
            .filter(|path| path.parent() == Some(dir))
            .cloned()
            .collect();
        paths.sort();
        Ok(paths)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        if !dir.as_os_str().is_empty() && !state.directories.contains(dir) {
            return Err(not_found(dir));
        }
        let inside = |path: &Path| path.parent() == Some(dir);
        let current: Vec<(PathBuf, FileId)> = state
            .names
            .iter()
            .filter(|(path, _)| inside(path))
            .map(|(path, id)| (path.clone(), *id))
            .collect();
        state.durable_names.retain(|path, _| !inside(path));
        state.durable_names.extend(current);
        state.collect();
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.lock();
        Ok(state.names.contains_key(path) || state.directories.contains(path))
    }

    fn free_space(&self, _: &Path) -> io::Result<u64> {
        let state = self.lock();
        let capacity = state.faults.capacity;
        Ok(capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used())))
    }
}

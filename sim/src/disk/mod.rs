//! A node's disk: what was not synced may be lost, whole or in part, when the node crashes.
//!
//! What a crash does ([`Disk::crash`]):
//! - **Content.** The synced part of a file stays. What was appended since is kept up to some point,
//!   which may lie within an append (torn), or piece by piece, with zeros where a piece was lost.
//! - **Names.** Each creation, rename and removal in a directory that was not synced since is kept or
//!   undone, independently of the others: a rename may last though the creation before it does not.
//! - **Handles.** Writers that were open before the crash fail ever after.
//!
//! When only the process dies ([`Disk::kill`]), everything is still there, and still volatile.
//!
//! Directories themselves last as soon as they are made. Faults that a test or the nemesis can inject:
//! a limited capacity, a failing sync, rot in stored bytes, and a crash in the middle of whatever the
//! node writes ([`Disk::crash_after`]).

mod crash;
mod file;
mod names;
mod pages;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use starling_model::{Seconds, TokenRange, TokenSet};
use starling_sstable::{
    fs::{Fs, Map, WriteFile},
    table::Table,
    version::Damage,
};

use self::{file::FileId, names::Names};
use crate::random::Random;

/// Runs once, when the disk dies of [`Disk::crash_after`].
pub type OnDeath = Box<dyn FnOnce() + Send>;

/// A simulated disk. Clones share it.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

struct State {
    random: Random,
    names: Names,
    files: file::Files,
    /// Counts crashes; handles of earlier epochs are dead.
    epoch: u64,
    /// Bytes that fit; more is [`io::ErrorKind::StorageFull`].
    capacity: Option<u64>,
    /// How many syncs fail from here on.
    failing_syncs: u32,
    /// Syncs of files, and of directories, do nothing.
    ignored_syncs: (bool, bool),
    /// What rotted, so that it can be mended.
    rotten: Vec<(PathBuf, u64, u8)>,
    /// The tokens of tables that it concerned, mended or not.
    rotted: TokenSet,
    /// Changes left until the disk dies, and whom to tell.
    fuse: Option<(u64, OnDeath)>,
    /// The power is gone: everything fails until [`Disk::crash`].
    dead: bool,
    counts: Counts,
}

/// What was asked of a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Appends to files.
    pub appends: u64,
    /// Syncs of files and directories.
    pub syncs: u64,
    /// Unsynced appends that a crash lost, whole or in part.
    pub lost_appends: u64,
    /// Unsynced names that a crash undid.
    pub undone_names: u64,
    /// Bits of tables that rotted.
    pub rotten_bits: u64,
}

impl Disk {
    /// An empty disk without a limit.
    pub fn new(random: Random) -> Self {
        let state = State {
            random,
            names: Names::default(),
            files: file::Files::default(),
            epoch: 0,
            capacity: None,
            failing_syncs: 0,
            ignored_syncs: (false, false),
            rotten: Vec::new(),
            rotted: TokenSet::default(),
            fuse: None,
            dead: false,
            counts: Counts::default(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The disk as its node sees it.
    pub fn fs(&self) -> Arc<dyn Fs> {
        Arc::new(self.clone())
    }

    /// Limits the disk to so many bytes of files, or not at all.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Bytes in files, those that were removed and are still open not counted.
    pub fn used(&self) -> u64 {
        let state = self.state.lock();
        state.names.files().map(|id| state.files.size(id)).sum()
    }

    /// The next `count` syncs of files fail, and what they should have made durable stays volatile.
    pub fn fail_syncs(&self, count: u32) {
        self.state.lock().failing_syncs = count;
    }

    /// Flips bits of a stored byte, as rot does; also for readers that have mapped the file later.
    pub fn corrupt(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let mut state = self.state.lock();
        let id = state.names.file(path)?;
        state.files.get(id)?.corrupt(offset, mask)
    }

    /// From now on syncs of files, and of directories, are said to have gone well and do nothing.
    pub fn ignore_syncs(&self, files: bool, directories: bool) {
        self.state.lock().ignored_syncs = (files, directories);
    }

    /// A bit in the first half of some stored table flips, or one somewhere in a segment of hints; false if there are none, or
    /// `may` does not allow it. What a hint held is not [mended](Self::mend): no other node has to have it.
    pub fn rot(&self, random: &mut Random, may: impl Fn(TokenRange) -> bool) -> bool {
        self.rot_some(random, |path| is_table(path) || is_hints(path), may)
    }

    /// The same, of tables only.
    pub fn rot_table(&self, random: &mut Random, may: impl Fn(TokenRange) -> bool) -> bool {
        self.rot_some(random, is_table, may)
    }

    /// `may` is told which tokens' data is lost with a bit of a table.
    fn rot_some(
        &self,
        random: &mut Random,
        victims: impl Fn(&Path) -> bool,
        may: impl Fn(TokenRange) -> bool,
    ) -> bool {
        let length = |path: &PathBuf| self.fs().read(path).map_or(0, |bytes| bytes.len() as u64);
        let mut paths = self.paths();
        // One that is just being begun is empty.
        paths.retain(|path| victims(path) && length(path) > 1);
        if paths.is_empty() {
            return false;
        }
        let victim = random.pick(&paths).clone();
        let is_hints = is_hints(&victim);
        let end = length(&victim) / if is_hints { 1 } else { 2 };
        let (offset, mask) = (random.below(end), 1 << random.below(8));
        if self.corrupt(&victim, offset, mask).is_err() {
            return false;
        }
        if is_hints {
            return true;
        }
        let tokens = self.tokens_at(&victim, offset);
        if !may(tokens) {
            // As it was. The file is there: it was a moment ago.
            let _ = self.corrupt(&victim, offset, mask);
            return false;
        }
        let mut state = self.state.lock();
        state.rotten.push((victim, offset, mask));
        state.rotted = state.rotted.union(&tokens.into());
        state.counts.rotten_bits += 1;
        true
    }

    /// Which tokens' data can't be read where this byte of a table is wrong: all, if the file can't be opened. Which
    /// ones it was made for it does not say.
    fn tokens_at(&self, table: &Path, offset: u64) -> TokenRange {
        match Table::open_file(self, table.to_path_buf(), 0) {
            Ok(table) => Damage::at(&table, offset, "", Seconds(0)).range(),
            Err(_) => TokenRange::ALL,
        }
    }

    /// The tokens of tables of which something rotted since [`forget_rot`](Self::forget_rot), whether it was mended or not.
    pub fn rotted(&self) -> TokenSet {
        self.state.lock().rotted.clone()
    }

    /// What is left of what rotted is [mended](Self::mend), and none of it counts any more. For nodes that have all their data
    /// again, and no file open.
    pub fn forget_rot(&self) {
        self.mend();
        self.state.lock().rotted = TokenSet::default();
    }

    /// What rotted is as it was, where it is still there: somebody has found a copy. Whether there was anything.
    pub fn mend(&self) -> bool {
        let rotten = std::mem::take(&mut self.state.lock().rotten);
        for (path, offset, mask) in &rotten {
            // Most of them have been compacted away.
            let _ = self.corrupt(path, *offset, *mask);
        }
        !rotten.is_empty()
    }

    /// Whether something in it rotted, and no copy was found yet by [`mend`](Self::mend).
    pub fn has_rotted(&self) -> bool {
        !self.state.lock().rotten.is_empty()
    }

    /// Whether it is [full](Self::set_capacity), or may be, or something in it rotted.
    pub fn is_ailing(&self) -> bool {
        let state = self.state.lock();
        state.capacity.is_some() || !state.rotten.is_empty()
    }

    /// Every file, in order of path.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state.lock().names.paths()
    }

    /// After `changes` more changes (appends, syncs, names), the disk dies in the middle of the work:
    /// that change and all after it fail, and `on_death` runs. It must not use the disk.
    pub fn crash_after(&self, changes: u64, on_death: OnDeath) {
        self.state.lock().fuse = Some((changes, on_death));
    }

    /// Takes back [`crash_after`](Self::crash_after), if it has not happened yet.
    pub fn stay_alive(&self) {
        let fuse = self.state.lock().fuse.take();
        drop(fuse);
    }

    /// Whether the power is gone: the disk died and [`crash`](Self::crash) was not called yet.
    pub fn is_dead(&self) -> bool {
        self.state.lock().dead
    }

    /// What was asked of the disk until now.
    pub fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    /// The node's process is killed: its handles end, and nothing is lost, nor made durable, until the
    /// power fails too.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        if state.dead {
            state.crash();
        }
        state.epoch += 1;
        let fuse = state.fuse.take();
        drop(state);
        drop(fuse);
    }

    /// The node's power is cut, and is back: what was not synced is lost, kept, or torn.
    pub fn crash(&self) {
        let mut state = self.state.lock();
        let fuse = state.fuse.take();
        state.crash();
        drop(state);
        drop(fuse);
    }
}

impl State {
    /// Called before every change. Fails if the disk is dead, or dies of it.
    fn change(&mut self) -> io::Result<()> {
        if self.dead {
            return Err(power_is_gone());
        }
        match &mut self.fuse {
            Some((0, _)) => {
                self.dead = true;
                if let Some((_, on_death)) = self.fuse.take() {
                    on_death();
                }
                Err(power_is_gone())
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Makes a file's content durable, unless the sync is to fail.
    fn sync_content(&mut self, file: FileId) -> io::Result<()> {
        self.counts.syncs += 1;
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            return Err(io::Error::other("simulated: the sync failed"));
        }
        if !self.ignored_syncs.0 {
            self.files.sync(file);
        }
        Ok(())
    }

    /// Bytes that still fit.
    fn free(&self) -> u64 {
        let used = || self.names.files().map(|id| self.files.size(id)).sum();
        self.capacity
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(used()))
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(power_is_gone()) } else { Ok(()) }
    }
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "table")
}

/// Whether it is a segment of hints.
fn is_hints(path: &Path) -> bool {
    path.starts_with("hints") && path.extension().is_none() && !path.ends_with("progress")
}

fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "simulated: no space left on the disk")
}

fn power_is_gone() -> io::Error {
    io::Error::other("simulated: the power is gone")
}

impl Fs for Disk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.names.create_dir_all(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut state = self.state.lock();
        state.change()?;
        let file = state.files.add();
        state.names.create(path, file)?;
        Ok(Box::new(Writer {
            disk: self.clone(),
            file,
            epoch: state.epoch,
            broken: false,
        }))
    }

    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut state = self.state.lock();
        state.change()?;
        let file = state.names.file(path)?;
        state.files.get(file)?.begin_anew();
        Ok(Box::new(Writer {
            disk: self.clone(),
            file,
            epoch: state.epoch,
            broken: false,
        }))
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let mut state = self.state.lock();
        state.alive()?;
        let id = state.names.file(path)?;
        Ok(state.files.get(id)?.bytes())
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        Ok(Map::from(self.read(path)?).with_residency(Arc::new(pages::Pages::default())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.names.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.names.remove(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.names.link(from, to)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.names.remove_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.state.lock();
        state.alive()?;
        state.names.list(dir)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        let id = state.names.file(path)?;
        state.sync_content(id)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.counts.syncs += 1;
        if !state.ignored_syncs.1 {
            state.names.sync(dir)?;
        }
        state.forget_unnamed();
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.state.lock();
        state.alive()?;
        Ok(state.names.exists(path))
    }

    fn free_space(&self, _: &Path) -> io::Result<u64> {
        let state = self.state.lock();
        state.alive()?;
        Ok(state.free())
    }
}

/// A file being written.
struct Writer {
    disk: Disk,
    file: FileId,
    epoch: u64,
    /// A sync failed: what was appended since the last one that did not is nobody's to promise.
    broken: bool,
}

impl Writer {
    fn check(&self, state: &State) -> io::Result<()> {
        if self.epoch != state.epoch {
            return Err(power_is_gone());
        }
        if self.broken {
            return Err(io::Error::other("simulated: an earlier sync of this file failed"));
        }
        Ok(())
    }
}

impl WriteFile for Writer {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let disk = self.disk.clone();
        let mut state = disk.state.lock();
        self.check(&state)?;
        let alive = state.change();
        // The append that the disk dies of may have got anywhere.
        let fits = match &alive {
            Err(_) => state.random.index(bytes.len() + 1),
            Ok(()) => {
                let missing = state
                    .files
                    .growth(self.file, bytes.len() as u64)
                    .saturating_sub(state.free());
                bytes.len().saturating_sub(missing as usize)
            }
        };
        state.counts.appends += 1;
        state.files.append(self.file, &bytes[..fits]);
        alive?;
        if fits < bytes.len() {
            return Err(no_space());
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let disk = self.disk.clone();
        let mut state = disk.state.lock();
        self.check(&state)?;
        state.change()?;
        let result = state.sync_content(self.file);
        self.broken = result.is_err();
        result
    }

    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        let disk = self.disk.clone();
        let mut state = disk.state.lock();
        self.check(&state)?;
        state.change()?;
        if bytes.saturating_sub(state.files.size(self.file)) > state.free() {
            return Err(no_space());
        }
        state.files.reserve(self.file, bytes);
        Ok(())
    }
}

//! The one seam through which the engine, and everything else that keeps state, touches a disk.
//!
//! Implementations: `real` (the operating system), `memory` (a map), and the simulator's, which loses
//! what was not synced, tears, corrupts and fills up. All of them pass the same conformance suite.

pub mod conformance;
mod map;
mod maps;
pub mod memory;
pub mod real;
mod residency;
mod sigbus;

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;

pub use map::{Map, Residency};
pub use maps::{limit_mapped_files, mapped_files};
pub use memory::MemoryFs;
pub use real::{DirectoryLock, RealFs};

/// A file system.
///
/// Contract:
/// 1. What was appended to a file is durable once [`WriteFile::sync`] returned, and not before.
/// 2. A file's *name* (its creation, renaming or removal) is durable once [`Fs::sync_dir`] on its
///    directory returned, and not before.
/// 3. [`Fs::rename`] replaces its target atomically.
/// 4. Errors change nothing that was durable.
/// 5. Directories themselves are durable once [`Fs::create_dir_all`] returned.
///
/// [`conformance::check`] tests what can be tested without a crash.
pub trait Fs: Send + Sync + 'static {
    /// Makes a directory and its missing parents, durably. One that exists is left alone.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes an empty file for appending; one that exists is truncated.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Opens a file that exists for writing in place of what it holds, from its beginning. What it held beyond what
    /// was written stays there; so does its place on the disk, which makes such writes cheaper to sync. Until it is
    /// synced, a crash may leave any mixture of what was there and what was written.
    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Reads a whole file.
    fn read(&self, path: &Path) -> io::Result<Bytes>;

    /// Maps a file for reading. It must not be written to any more; it may be removed while mapped.
    /// Slices of the result share the mapping and keep it alive.
    ///
    /// [`io::ErrorKind::OutOfMemory`] where the process may have no more maps.
    fn map(&self, path: &Path) -> io::Result<Map>;

    /// Whether a file could be mapped now, as far as the process knows: who is about to write one for long asks before.
    fn may_map(&self) -> io::Result<()> {
        Ok(())
    }

    /// Makes the content of a file durable that nobody is writing. For files that an earlier run left
    /// behind: what can be read of them may not be on the disk yet.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Renames a file, replacing what has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file a second name, which must be free ([`io::ErrorKind::AlreadyExists`]). Its content, and what of it
    /// is durable, is shared from then on; it is gone with the last name.
    ///
    /// [`io::ErrorKind::CrossesDevices`] where the names are on different disks.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a directory with nothing in it, else [`io::ErrorKind::DirectoryNotEmpty`]. A crash may bring it back.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// The files and directories in a directory, by name, sorted. A directory that does not exist is
    /// [`io::ErrorKind::NotFound`].
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether there is a file or directory of this name.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// How many bytes may still be written on the disk that a directory is on; `u64::MAX` if there is no limit.
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
}

/// Whether an error says that there is no room: the disk or the user's share of it is full, or files may not be
/// larger. It may pass.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// How many places reads met so far, in all maps of the process, that a file did not hold any more or a disk could not
/// deliver: they got zeros there. Who uses bytes of a map after he checked them asks before the check and after the use: if more
/// were met meanwhile, [`Map::is_poisoned`] tells in which maps.
pub fn lost_pages() -> u64 {
    sigbus::lost()
}

/// A file that is being written, at its end. What was appended need not be seen by readers before
/// [`sync`](Self::sync) returned, and may be lost if the value is dropped before.
pub trait WriteFile: Send {
    /// Appends all of `bytes`. After an error an unknown part of them may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything appended so far durable.
    ///
    /// After an error nothing may be assumed of what was appended since the last success: the caller
    /// must not sync again and believe it (the "fsyncgate" lesson), but give up the file.
    fn sync(&mut self) -> io::Result<()>;

    /// Lets readers see everything appended so far, which need not be durable. Files that keep nothing back do nothing.
    ///
    /// After an error an unknown part may be seen.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Sets disk space aside for `bytes` in all, counted from the beginning of the file, so that appends up to there
    /// don't run out of it, and are cheaper to sync. Readers may see zeros there. A file system that can't do it does
    /// nothing.
    ///
    /// After an error the file is as before.
    fn reserve(&mut self, bytes: u64) -> io::Result<()>;

    /// A hint that nobody waits for the file: what is appended from now on goes to the disk bit by bit, so that syncs of other
    /// files don't wait for one large one.
    fn sync_in_pieces(&mut self) {}

    /// A hint that nobody will read the file soon: what is appended from now on goes to the disk bit by bit, and need
    /// not stay in memory.
    fn drop_behind(&mut self) {}
}

#[cfg(test)]
mod tests;

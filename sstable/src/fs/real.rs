//! The operating system's file system.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the implementation of the seam that everything else goes through"
)]

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    mem,
    num::NonZeroU64,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustix::{
    fs::{Advice, FallocateFlags},
    io::Errno,
};

use super::{Fs, Map, WriteFile, maps};

/// Appends are gathered up to this many bytes before they go to the system.
const BUFFER_BYTES: usize = 256 << 10;

/// Appends of at least this many bytes are not gathered.
const DIRECT_BYTES: usize = 32 << 10;

/// A file that goes to the disk bit by bit does so in pieces of this many bytes.
const PIECE_BYTES: u64 = 1 << 20;

/// Space that was set aside is filled with zeros so many bytes before it is needed.
const AHEAD_BYTES: u64 = 256 << 10;

/// Where more than this is synced at a time it is not: then it would cost more than it saves.
const SMALL_BYTES: u64 = 32 << 10;

/// The name of the file that [`DirectoryLock`] locks.
pub const LOCK_FILE: &str = "LOCK";

/// The operating system's file system. Paths are taken as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

struct RealFile {
    file: File,
    buffer: Vec<u8>,
    /// Bytes given to the system.
    written: u64,
    /// Space that was set aside.
    space: Option<Space>,
    /// Who writes the file asked for it to go to the disk bit by bit.
    pieces: Option<Pieces>,
}

/// Space that was set aside for a file.
///
/// A file system keeps note of which part of it was written to. So the sync that follows the first write to a part is one
/// of the file system's journal too, and takes half as long again as one that finds only data to be written, or twice as
/// long beside other writers. Who syncs little at a time therefore has zeros written some way ahead.
struct Space {
    /// Up to here.
    end: u64,
    /// Up to here it was written to.
    touched: u64,
    /// Up to here it was synced.
    synced: u64,
}

impl Space {
    /// What is to be filled with zeros before bytes up to `written` are synced, if anything.
    fn ahead(&mut self, written: u64) -> Option<Range<u64>> {
        let is_small = written - mem::replace(&mut self.synced, written) <= SMALL_BYTES;
        if written <= self.touched {
            return None;
        }
        let end = if is_small { written + AHEAD_BYTES } else { written };
        self.touched = end.min(self.end).max(written);
        Some(written..self.touched).filter(|zeros| !zeros.is_empty())
    }
}

/// How a file goes to the disk bit by bit.
struct Pieces {
    /// How far it has.
    synced: u64,
    /// What is on the disk leaves the cache.
    forgets: bool,
}

impl RealFile {
    fn boxed(file: File) -> Box<dyn WriteFile> {
        Box::new(Self {
            file,
            buffer: Vec::new(),
            written: 0,
            space: None,
            pieces: None,
        })
    }

    fn drain(&mut self) -> io::Result<()> {
        let buffer = mem::take(&mut self.buffer);
        let outcome = self.write(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        outcome
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        let is_due = |pieces: &Pieces| self.written - pieces.synced >= PIECE_BYTES;
        if self.pieces.as_ref().is_some_and(is_due) {
            self.sync_written()?;
        }
        Ok(())
    }

    /// Takes what was written to the disk, and out of the cache if that is wanted.
    fn sync_written(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if let Some(pieces) = &mut self.pieces {
            let done = mem::replace(&mut pieces.synced, self.written);
            if pieces.forgets {
                let length = NonZeroU64::new(self.written - done);
                // A hint: a file system that does not take it loses nothing.
                let _ = rustix::fs::fadvise(&self.file, done, length, Advice::DontNeed);
            }
        }
        Ok(())
    }

    fn go_in_pieces(&mut self, forgets: bool) {
        let synced = self.pieces.as_ref().map_or(self.written, |pieces| pieces.synced);
        self.pieces = Some(Pieces { synced, forgets });
    }
}

impl WriteFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.drain()?;
        }
        if self.buffer.is_empty() && bytes.len() >= DIRECT_BYTES {
            return self.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.drain()?;
        let written = self.written;
        if let Some(zeros) = self.space.as_mut().and_then(|space| space.ahead(written)) {
            let bytes = vec![0; (zeros.end - zeros.start) as usize];
            // What counts is what was appended, and the sync tells of it.
            if self.file.write_all_at(&bytes, zeros.start).is_err() {
                self.space = None;
            }
        }
        self.sync_written()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drain()
    }

    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return Ok(()),
            outcome => outcome?,
        }
        self.space = Some(Space {
            end: bytes,
            touched: self.written,
            synced: self.written,
        });
        Ok(())
    }

    fn sync_in_pieces(&mut self) {
        self.go_in_pieces(false);
    }

    fn drop_behind(&mut self) {
        self.go_in_pieces(true);
    }
}

impl Fs for RealFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = dir
            .ancestors()
            .take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists())
            .collect();
        fs::create_dir_all(dir)?;
        for made in missing {
            if let Some(parent) = made.parent() {
                self.sync_dir(parent)?;
            }
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Ok(RealFile::boxed(file))
    }

    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(RealFile::boxed(OpenOptions::new().write(true).open(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        Ok(fs::read(path)?.into())
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        Map::of_file(&File::open(path)?)
    }

    fn may_map(&self) -> io::Result<()> {
        maps::PROCESS.take().map(drop)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths = fs::read_dir(dir)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(or_current(dir))?.sync_all()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(or_current(dir))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// A directory as the system takes it: no name at all is the current one.
fn or_current(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    }
}

/// An exclusive hold on a directory, so that two processes can't open one data directory. The system
/// releases it when the value is dropped and when the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Locks a directory that exists, by the file [`LOCK_FILE`] in it.
    ///
    /// [`io::ErrorKind::WouldBlock`], with a message that names the directory, if another process (or
    /// another value in this one) holds it. The lock file is left behind on release; it means nothing
    /// by itself.
    pub fn acquire(dir: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join(LOCK_FILE))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("the directory {} is in use by another process", dir.display()),
            )),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_go_ahead_of_small_syncs_alone_and_once() {
        let mut space = Space {
            end: 1 << 20,
            touched: 0,
            synced: 0,
        };
        assert_eq!(space.ahead(100), Some(100..100 + AHEAD_BYTES));
        assert_eq!(space.ahead(5_000), None, "there are zeros already");
        let large = 5_000 + AHEAD_BYTES + SMALL_BYTES;
        assert_eq!(space.ahead(large), None, "much at a time pays for itself");
        assert_eq!(space.ahead(large + 1), Some(large + 1..large + 1 + AHEAD_BYTES));
        let mut near = Space {
            end: 1_000,
            touched: 0,
            synced: 0,
        };
        assert_eq!(
            near.ahead(400),
            Some(400..1_000),
            "no further than what was set aside"
        );
        assert_eq!(near.ahead(2_000), None);
    }
}

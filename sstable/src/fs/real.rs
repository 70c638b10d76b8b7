//! The operating system's file system.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the implementation of the seam that everything else goes through"
)]

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{Fs, WriteFile, map};

/// Appends are gathered up to this many bytes before they go to the system.
const BUFFER_BYTES: usize = 256 << 10;

/// The name of the file that [`DirectoryLock`] locks.
pub const LOCK_FILE: &str = "LOCK";

/// The operating system's file system. Paths are taken as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

struct RealFile {
    file: File,
    buffer: Vec<u8>,
}

impl RealFile {
    fn drain(&mut self) -> io::Result<()> {
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written
    }
}

impl WriteFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.drain()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            return self.file.write_all(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.drain()?;
        self.file.sync_data()
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
        Ok(Box::new(RealFile {
            file,
            buffer: Vec::new(),
        }))
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        Ok(fs::read(path)?.into())
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        map::map(&File::open(path)?)
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

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths = fs::read_dir(dir)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = if dir.as_os_str().is_empty() {
            Path::new(".")
        } else {
            dir
        };
        File::open(dir)?.sync_all()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
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

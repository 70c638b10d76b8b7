//! A directory as a file system: paths are relative to it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use starling_sstable::fs::{Fs, Map, WriteFile};

/// Another file system below one of its directories.
pub struct RootedFs {
    root: PathBuf,
    inner: Arc<dyn Fs>,
}

impl RootedFs {
    /// `root` of `inner`.
    pub fn new(root: PathBuf, inner: Arc<dyn Fs>) -> Self {
        Self { root, inner }
    }

    fn place(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }
}

impl Fs for RootedFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(&self.place(dir))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.inner.create(&self.place(path))
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        self.inner.read(&self.place(path))
    }

    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.inner.overwrite(&self.place(path))
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        self.inner.map(&self.place(path))
    }

    fn may_map(&self) -> io::Result<()> {
        self.inner.may_map()
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_file(&self.place(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(&self.place(from), &self.place(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(&self.place(path))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.hard_link(&self.place(from), &self.place(to))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.remove_dir(&self.place(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let paths = self.inner.list(&self.place(dir))?;
        Ok(paths
            .into_iter()
            .map(|path| {
                path.strip_prefix(&self.root)
                    .map_or(path.clone(), Path::to_path_buf)
            })
            .collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(&self.place(dir))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(&self.place(path))
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.inner.free_space(&self.place(dir))
    }
}

//! A file system that remembers every operation, in order.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;

use super::image::Image;
use crate::fs::{Fs, Map, MemoryFs, WriteFile};

pub(super) type FileId = u64;

/// What matters for what a crash leaves.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    /// Names that get another file, or none, all at once.
    Names(Vec<(PathBuf, Option<FileId>)>),
    Write {
        file: FileId,
        at: usize,
        bytes: Vec<u8>,
    },
    Sync(FileId),
    SyncNames,
    /// So many writes were given to the engine.
    Tried(usize),
    /// So many of them were durable.
    Durable(usize),
}

#[derive(Default)]
struct Record {
    operations: Vec<Operation>,
    names: BTreeMap<PathBuf, FileId>,
    next: FileId,
}

/// The file system. Clones share it.
#[derive(Clone)]
pub(super) struct Recorder {
    inner: MemoryFs,
    state: Arc<Mutex<Record>>,
}

struct File {
    inner: Box<dyn WriteFile>,
    record: Arc<Mutex<Record>>,
    id: FileId,
    at: usize,
}

impl Recorder {
    pub(super) fn over(image: &Image) -> Self {
        let record = Record {
            operations: Vec::new(),
            names: image.names.clone(),
            next: image
                .files
                .keys()
                .chain(image.names.values())
                .max()
                .map_or(0, |last| last + 1),
        };
        Self {
            inner: image.to_fs(),
            state: Arc::new(Mutex::new(record)),
        }
    }

    pub(super) fn note(&self, operation: Operation) {
        self.lock().operations.push(operation);
    }

    pub(super) fn operations(&self) -> Vec<Operation> {
        self.lock().operations.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.state.lock().unwrap()
    }

    fn file(&self, inner: Box<dyn WriteFile>, file: FileId) -> Box<dyn WriteFile> {
        Box::new(File {
            inner,
            record: Arc::clone(&self.state),
            id: file,
            at: 0,
        })
    }
}

impl Record {
    fn assign(&mut self, names: Vec<(PathBuf, Option<FileId>)>) {
        for (path, file) in &names {
            match file {
                Some(file) => self.names.insert(path.clone(), *file),
                None => self.names.remove(path),
            };
        }
        self.operations.push(Operation::Names(names));
    }
}

impl WriteFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.append(bytes)?;
        self.record.lock().unwrap().operations.push(Operation::Write {
            file: self.id,
            at: self.at,
            bytes: bytes.to_vec(),
        });
        self.at += bytes.len();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()?;
        let mut record = self.record.lock().unwrap();
        record.operations.push(Operation::Sync(self.id));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }

    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        self.inner.reserve(bytes)
    }
}

impl Fs for Recorder {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let inner = self.inner.create(path)?;
        let mut record = self.lock();
        let file = record.next;
        record.next += 1;
        record.assign(vec![(path.to_path_buf(), Some(file))]);
        Ok(self.file(inner, file))
    }

    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let inner = self.inner.overwrite(path)?;
        let file = self.lock().names[path];
        Ok(self.file(inner, file))
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        self.inner.read(path)
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        self.inner.map(path)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_file(path)?;
        let mut record = self.lock();
        let file = record.names[path];
        record.operations.push(Operation::Sync(file));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)?;
        let mut record = self.lock();
        let file = record.names[from];
        record.assign(vec![(from.to_path_buf(), None), (to.to_path_buf(), Some(file))]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)?;
        self.lock().assign(vec![(path.to_path_buf(), None)]);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.hard_link(from, to)?;
        let mut record = self.lock();
        let file = record.names[from];
        record.assign(vec![(to.to_path_buf(), Some(file))]);
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.remove_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.inner.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)?;
        self.note(Operation::SyncNames);
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.inner.free_space(dir)
    }
}

//! The files of the log: made, recycled, removed.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Lsn, lock, segment};
use crate::{
    Error,
    fs::{Fs, WriteFile},
};

/// Files that are kept for new segments: two, and one whose name may not be durable yet.
const FREE_FILES: usize = 3;

/// A segment on disk that is not written to any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// The newest write in it or before it.
    pub(crate) last: Lsn,
    /// Bytes that are used of it.
    pub(crate) bytes: u64,
    /// Its file may become another segment: this run made it, so that it has no second name, with as much space as others.
    pub(crate) reusable: bool,
}

/// A file for a new segment. Its name is durable.
pub(super) struct Fresh {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn WriteFile>,
    /// Bytes that were set aside for it.
    pub(super) space: u64,
    reusable: bool,
}

impl Fresh {
    /// As a segment with nothing in it, after `last`.
    pub(super) fn segment(&self, last: Lsn) -> Segment {
        Segment {
            path: self.path.clone(),
            last,
            bytes: 0,
            reusable: self.reusable,
        }
    }
}

/// Files that are kept for new segments.
#[derive(Default)]
struct Free {
    /// In which order they are used again.
    named: Vec<PathBuf>,
    /// The last ones, whose names may not be durable yet.
    unsynced: Vec<PathBuf>,
}

impl Free {
    fn len(&self) -> usize {
        self.named.len() + self.unsynced.len()
    }
}

/// All files of a log but those that are being written.
///
/// Contract: no crash leaves a file with two names, of which one would be used again while writes of the other are
/// needed. A file is renamed only while its name is durable, so that a crash may undo one renaming of it at most; and
/// what an earlier run left, under whatever names, is read and removed, but never written to.
pub(super) struct Files {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    /// How much space is set aside for a segment.
    segment_bytes: u64,
    /// The next number for a file of this directory, shared with the tables.
    next: Arc<AtomicU64>,
    closed: Mutex<Vec<Segment>>,
    free: Mutex<Free>,
    /// A file for the next segment, so that what is taken has room when the disk is full. Held while one is made, so that one
    /// is at a time.
    pub(super) ready: Mutex<Option<Fresh>>,
}

impl Files {
    pub(super) fn new(
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        segment_bytes: u64,
        next: Arc<AtomicU64>,
        closed: Vec<Segment>,
    ) -> Self {
        Self {
            fs,
            dir,
            segment_bytes,
            next,
            closed: Mutex::new(closed),
            free: Mutex::default(),
            ready: Mutex::default(),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// How much may be written to the disk; no limit where it can't be asked: it says so when it is full.
    pub(super) fn free_space(&self) -> u64 {
        self.fs.free_space(&self.dir).unwrap_or(u64::MAX)
    }

    /// Whether no file for the next segment is ready, nor being made at the moment.
    pub(super) fn lacks_ready(&self) -> bool {
        match self.ready.try_lock() {
            Ok(ready) => ready.is_none(),
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Poisoned(ready)) => ready.into_inner().is_none(),
        }
    }

    /// Makes a file for the next segment, unless there is one.
    pub(super) fn make_ready(&self) -> Result<(), Error> {
        let mut ready = lock(&self.ready);
        if ready.is_none() {
            *ready = Some(self.make(self.segment_bytes)?);
        }
        Ok(())
    }

    /// The file for the next segment: the one that is ready, or being made, or a new one.
    pub(super) fn take_ready(&self) -> Result<Fresh, Error> {
        let mut ready = lock(&self.ready);
        ready.take().map_or_else(|| self.make(self.segment_bytes), Ok)
    }

    /// Has a small file ready, with this much space, instead of one of the usual size. No write after `last` is in it.
    pub(super) fn make_ready_small(&self, space: u64, last: Lsn) -> Result<(), Error> {
        let mut ready = lock(&self.ready);
        let small = self.make(space)?;
        if let Some(old) = ready.replace(small) {
            self.discard(old.segment(last));
        }
        Ok(())
    }

    /// Makes a file with this much space, out of one that is not used any more if there is one whose
    /// name is durable and it is not to be small. Its space is set aside, and its name is durable; what it holds is no
    /// segment of its number. Who calls it holds `ready`.
    fn make(&self, space: u64) -> Result<Fresh, Error> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(segment::file_name(number));
        let reusable = space >= self.segment_bytes;
        let free = if reusable {
            lock(&self.free).named.pop()
        } else {
            None
        };
        let file = self.open(free, space, &path).inspect_err(|_| {
            // What is left over is found and freed at the next open, if it can't be removed now.
            let _ = self.fs.remove(&path);
        })?;
        Ok(Fresh {
            number,
            path,
            file,
            space,
            reusable,
        })
    }

    fn open(&self, free: Option<PathBuf>, space: u64, path: &Path) -> Result<Box<dyn WriteFile>, Error> {
        let file = if let Some(free) = free {
            self.fs.rename(&free, path).map_err(Error::io("rename", &free))?;
            self.fs.overwrite(path).map_err(Error::io("open", path))?
        } else {
            let mut file = self.fs.create(path).map_err(Error::io("create", path))?;
            file.reserve(space)
                .map_err(Error::io("set space aside for", path))?;
            file
        };
        self.sync_names()?;
        Ok(file)
    }

    /// Makes all names durable, also those of files that were let go before. One call at a time: who takes what another
    /// one counted would take later names, too.
    fn sync_names(&self) -> Result<(), Error> {
        let renamed = lock(&self.free).unsynced.len();
        self.fs
            .sync_dir(&self.dir)
            .map_err(Error::io("sync", &self.dir))?;
        let mut free = lock(&self.free);
        // Others may have come meanwhile, behind them.
        let renamed = renamed.min(free.unsynced.len());
        let named: Vec<PathBuf> = free.unsynced.drain(..renamed).collect();
        free.named.extend(named);
        Ok(())
    }

    /// Takes a segment that is not written to any more.
    pub(super) fn close(&self, segment: Segment) {
        lock(&self.closed).push(segment);
    }

    /// Removes a file in which no write is durable. One that can't be removed goes the way of other segments.
    pub(super) fn discard(&self, segment: Segment) {
        if self.fs.remove(&segment.path).is_err() {
            self.close(segment);
        }
    }

    /// The number of closed segments, and the bytes that are used of them.
    pub(super) fn closed(&self) -> (usize, u64) {
        let closed = lock(&self.closed);
        (closed.len(), closed.iter().map(|segment| segment.bytes).sum())
    }

    /// Gives up closed segments whose writes are all older than `floor`: keeps some for new segments and removes
    /// the others. After an error those that are left are given up the next time.
    pub(super) fn release(&self, floor: Lsn) -> Result<(), Error> {
        let mut old: Vec<Segment> = {
            let mut closed = lock(&self.closed);
            // They are in order, but for those that an error put back.
            closed.extract_if(.., |segment| segment.last < floor).collect()
        };
        while let Some(segment) = old.pop() {
            if let Err(error) = self.let_go(&segment) {
                old.push(segment);
                lock(&self.closed).splice(0..0, old);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Removes the files that are kept for new segments. Those that can't be removed are kept on.
    pub(super) fn trim(&self) {
        // Names that are being made durable stay where they are.
        let _ready = lock(&self.ready);
        let mut free = lock(&self.free);
        free.named.retain(|path| self.fs.remove(path).is_err());
        free.unsynced.retain(|path| self.fs.remove(path).is_err());
    }

    fn let_go(&self, segment: &Segment) -> Result<(), Error> {
        let path = &segment.path;
        let keep = segment.reusable && lock(&self.free).len() < FREE_FILES;
        if keep {
            let free = path.with_extension(segment::FREE_EXTENSION);
            self.fs.rename(path, &free).map_err(Error::io("rename", path))?;
            lock(&self.free).unsynced.push(free);
            return Ok(());
        }
        self.fs.remove(path).map_err(Error::io("remove", path))
    }
}

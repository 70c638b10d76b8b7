//! The commit log: what makes a write durable before it is in a table.
//!
//! Writes are appended to a buffer; a sync, from any thread, writes and syncs everything that waits in
//! one go (group commit), while appends go on. The log is a chain of segments; a segment goes when all
//! its writes are in tables.
//!
//! The chapters: [`record`] and [`segment`] are the byte layout, [`recovery`] reads a log back.

pub mod record;
pub mod recovery;
pub mod segment;

use std::{
    fmt, mem,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{Error, fs::Fs, fs::WriteFile};

/// A log sequence number: the n-th write that this engine took, over all restarts. Numbers may be
/// skipped at a restart. [`Lsn::ZERO`] is before the first write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before every write.
    pub const ZERO: Self = Self(0);

    /// The number that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A segment on disk that is not written to any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// The newest write in it or before it.
    pub(crate) last: Lsn,
    pub(crate) bytes: u64,
}

/// The log of one engine. Shared between the engine, which appends, and whoever syncs.
///
/// Contract:
/// 1. A write whose number is at most [`synced`](Self::synced) survives a crash.
/// 2. After a failed sync nothing is appended or synced any more: the same error comes back to everyone
///    (what the disk holds is unknown, and a second sync could lie; "fsyncgate").
/// 3. The buffer of what waits is bounded.
pub struct Log {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    limits: Limits,
    /// The next number for a file of this directory, shared with the tables.
    files: Arc<AtomicU64>,
    pending: Mutex<Pending>,
    writer: Mutex<Writer>,
    closed: Mutex<Vec<Segment>>,
    synced: AtomicU64,
    current_bytes: AtomicU64,
    syncs: AtomicU64,
    failed: OnceLock<Error>,
}

/// Bounds of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) segment_bytes: u64,
    pub(crate) pending_bytes: usize,
}

/// What waits for the next sync.
struct Pending {
    bytes: Vec<u8>,
    end: Lsn,
}

/// The end of the log on disk.
struct Writer {
    current: Option<Current>,
    /// The newest write that is on disk: what the next segment follows.
    end: Lsn,
    /// The buffer that is not collecting at the moment, kept for its memory.
    spare: Vec<u8>,
}

/// The segment that is being written.
struct Current {
    file: Box<dyn WriteFile>,
    path: PathBuf,
    bytes: u64,
    last: Lsn,
}

impl Log {
    /// A log that goes on after a recovery: new writes get numbers after `last`, in segments of their
    /// own. Touches no disk.
    pub(crate) fn new(
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        limits: Limits,
        files: Arc<AtomicU64>,
        recovered: recovery::Recovered,
        last: Lsn,
    ) -> Self {
        Self {
            fs,
            dir,
            limits,
            files,
            pending: Mutex::new(Pending {
                bytes: Vec::new(),
                end: last,
            }),
            writer: Mutex::new(Writer {
                current: None,
                end: recovered.end,
                spare: Vec::new(),
            }),
            closed: Mutex::new(recovered.segments),
            synced: AtomicU64::new(last.0),
            current_bytes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            failed: OnceLock::new(),
        }
    }

    /// Adds a write, not yet durable, and returns its number. After an error nothing was added.
    pub(crate) fn append(&self, body: &[u8]) -> Result<Lsn, Error> {
        self.check()?;
        if body.len() > record::MAX_BODY_BYTES {
            return Err(Error::TooLarge {
                what: "a log record",
                bytes: body.len(),
                limit: record::MAX_BODY_BYTES,
            });
        }
        let synced = self.synced();
        let mut pending = lock(&self.pending);
        let held = pending.bytes.len() + record::HEADER_BYTES + body.len();
        if held > self.limits.pending_bytes && !pending.bytes.is_empty() {
            return Err(Error::Overloaded {
                what: "writes that wait for the log's sync",
                held,
                limit: self.limits.pending_bytes,
            });
        }
        let lsn = pending.end.next();
        record::put(&mut pending.bytes, lsn, synced, body);
        pending.end = lsn;
        Ok(lsn)
    }

    /// Makes everything that was appended before the call durable, and returns the newest durable
    /// write. Writes that arrive meanwhile wait for the next sync.
    ///
    /// Calls from several threads follow each other. After an error, the unsynced writes may or may not
    /// survive, and the log is done for (contract 2).
    pub fn sync(&self) -> Result<Lsn, Error> {
        let mut writer = lock(&self.writer);
        self.check()?;
        let (mut bytes, end) = {
            let mut pending = lock(&self.pending);
            let spare = mem::take(&mut writer.spare);
            (mem::replace(&mut pending.bytes, spare), pending.end)
        };
        if bytes.is_empty() {
            writer.spare = bytes;
            return Ok(self.synced());
        }
        if let Err(error) = self.write(&mut writer, &bytes, end) {
            let _ = self.failed.set(Error::LogFailed(Box::new(error.clone())));
            return Err(error);
        }
        bytes.clear();
        // A burst must not keep its memory for ever.
        bytes.shrink_to(4 << 20);
        writer.spare = bytes;
        self.synced.store(end.0, Ordering::Release);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(end)
    }

    /// The newest write that is durable.
    pub fn synced(&self) -> Lsn {
        Lsn(self.synced.load(Ordering::Acquire))
    }

    /// The newest write that was appended.
    pub fn appended(&self) -> Lsn {
        lock(&self.pending).end
    }

    /// How many syncs wrote something.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// The number of segments on disk, and their bytes.
    pub fn on_disk(&self) -> (usize, u64) {
        let closed = lock(&self.closed);
        let current = self.current_bytes.load(Ordering::Relaxed);
        let bytes = closed.iter().map(|segment| segment.bytes).sum::<u64>() + current;
        (closed.len() + usize::from(current > 0), bytes)
    }

    /// Removes closed segments whose writes are all older than `floor`. The manifest must say so
    /// already: a removal is not synced, and so may be undone by a crash.
    pub(crate) fn release(&self, floor: Lsn) -> Result<(), Error> {
        let mut closed = lock(&self.closed);
        while let Some(oldest) = closed.first()
            && oldest.last < floor
        {
            self.fs
                .remove(&oldest.path)
                .map_err(Error::io("remove", &oldest.path))?;
            closed.remove(0);
        }
        Ok(())
    }

    /// Fails if the log has failed (contract 2).
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.failed.get().cloned().map_or(Ok(()), Err)
    }

    fn write(&self, writer: &mut Writer, bytes: &[u8], end: Lsn) -> Result<(), Error> {
        if let Some(full) = writer
            .current
            .take_if(|current| current.bytes >= self.limits.segment_bytes)
        {
            lock(&self.closed).push(Segment {
                path: full.path,
                last: full.last,
                bytes: full.bytes,
            });
            self.current_bytes.store(0, Ordering::Relaxed);
        }
        let current = match &mut writer.current {
            Some(current) => current,
            None => writer.current.insert(self.start(writer.end)?),
        };
        current
            .file
            .append(bytes)
            .map_err(Error::io("write", &current.path))?;
        current.file.sync().map_err(Error::io("sync", &current.path))?;
        current.bytes += bytes.len() as u64;
        current.last = end;
        writer.end = end;
        self.current_bytes.store(current.bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a new segment that follows write `previous`. Its header is synced with its first writes.
    fn start(&self, previous: Lsn) -> Result<Current, Error> {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(segment::file_name(number));
        let mut file = self.fs.create(&path).map_err(Error::io("create", &path))?;
        let header = segment::Header {
            number,
            first: self.synced().next(),
            previous,
        };
        file.append(&header.encode()).map_err(Error::io("write", &path))?;
        self.fs
            .sync_dir(&self.dir)
            .map_err(Error::io("sync", &self.dir))?;
        Ok(Current {
            file,
            path,
            bytes: segment::HEADER_BYTES as u64,
            last: previous,
        })
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.dir)
            .field("appended", &self.appended())
            .field("synced", &self.synced())
            .finish_non_exhaustive()
    }
}

/// A panic elsewhere leaves these values whole: every change under a lock is completed or an error.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

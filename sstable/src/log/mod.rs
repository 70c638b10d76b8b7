//! The commit log: what makes a write durable before it is in a table.
//!
//! Writes are appended to a buffer; a sync, from any thread, writes and syncs everything that waits in one go (group
//! commit), while appends go on. The log is a chain of segments, whose space is set aside in advance; a segment goes
//! when all its writes are in tables, and its file is used again.
//!
//! The chapters: [`segment`], `group` and `entries` are the byte layout, [`record`] that of earlier versions, `whole` reads
//! them all; `batch`, `writer` and `files` are the way to the disk;
//! [`recovery`] reads a log back, `damage` tells what a crash leaves from what it does not; [`sizes`] counts.

mod batch;
mod damage;
mod entries;
mod files;
mod group;
pub mod record;
pub mod recovery;
pub mod segment;
pub mod sizes;
mod whole;
mod writer;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{Error, fs::Fs};
use batch::{Batch, Gathering};
use entries::Tables;
use files::Files;
pub use sizes::BatchSizes;
use writer::Writer;

/// A file for the next segment is asked for once one of so many parts of the present one is used.
const ASK_PART: u64 = 4;

/// Once one of so many is used, and there is none, the sync makes it that finds it so: what is taken must have room when the
/// disk is full.
const LAST_PART: u64 = 2;

/// Once no more than one of so many is left, a sync waits for the file that is being made: it may fail, and what is taken
/// meanwhile would have no room.
const LEFT_PART: u64 = 4;

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

/// The log of one engine. Shared between the engine, which appends, and whoever syncs.
///
/// Contract:
/// 1. A write whose number is at most [`synced`](Self::synced) survives a crash.
/// 2. After a failed sync nothing of the segment is believed that was not synced before ("fsyncgate"): the writes that
///    wait are written to a new one. If that fails too they wait on, new ones are refused, and each
///    [`sync`](Self::sync) tries again; so writes go on by themselves once the disk does.
/// 3. The buffer of what waits is bounded.
/// 4. On a disk that gets full writes are refused before those that were taken have no room: while less is free than
///    the reserve, and once the segment is full that was set aside.
pub struct Log {
    files: Files,
    limits: Limits,
    salt: u64,
    pending: Mutex<Pending>,
    writer: Mutex<Writer>,
    appended: AtomicU64,
    synced: AtomicU64,
    /// Bytes that are used of the segment that is being written.
    current_bytes: AtomicU64,
    /// A file for the next segment should be made by whoever has time for it.
    wants_file: AtomicBool,
    written_bytes: AtomicU64,
    sizes: sizes::Counting,
}

/// Bounds of a log.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_field_names, reason = "the unit")]
pub(crate) struct Limits {
    /// The size of a segment.
    pub(crate) segment_bytes: u64,
    /// What may wait for a sync.
    pub(crate) pending_bytes: usize,
    /// While less than this is free on the disk, writes are refused.
    pub(crate) reserve_bytes: u64,
}

/// What waits for the next sync.
struct Pending {
    writes: Gathering,
    /// How many they are.
    count: usize,
    end: Lsn,
    tables: Tables,
    /// How much may be taken; no limit as long as segments can be made.
    room: usize,
    /// Why writes are refused, at once or when `room` is used up.
    trouble: Option<Error>,
}

impl Log {
    /// A log that goes on after a recovery: new writes get numbers after `last`, in segments of their
    /// own, with this salt. Touches no disk but to ask how much of it is free. What the recovery read and can't tell to be durable
    /// is written anew by the first sync.
    pub(crate) fn new(
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        limits: Limits,
        next_file: Arc<AtomicU64>,
        recovered: recovery::Recovered,
        (last, salt): (Lsn, u64),
    ) -> Self {
        let mut tables = Tables::default();
        let mut tail = Batch::default();
        let mut end = None;
        let mut gathered = Gathering::default();
        for (lsn, body) in &recovered.tail {
            // A restart may have left a gap between them.
            if end.is_some_and(|end: Lsn| end.next() != *lsn) {
                tail.take(&tables, &mut gathered, *lsn);
            }
            gathered.put(&mut tables, *lsn, body);
            end = Some(*lsn);
        }
        tail.take(&tables, &mut gathered, recovered.end);
        let synced = if tail.is_empty() { last } else { recovered.proven };
        let end = if tail.is_empty() {
            recovered.end
        } else {
            recovered.proven
        };
        let files = Files::new(fs, dir, limits.segment_bytes, next_file, recovered.segments);
        let log = Self {
            files,
            limits,
            salt,
            pending: Mutex::new(Pending {
                writes: Gathering::default(),
                count: 0,
                end: last,
                tables,
                room: usize::MAX,
                trouble: None,
            }),
            writer: Mutex::new(Writer::new((limits.segment_bytes, salt), end, tail)),
            appended: AtomicU64::new(last.0),
            synced: AtomicU64::new(synced.0),
            current_bytes: AtomicU64::new(0),
            wants_file: AtomicBool::new(false),
            written_bytes: AtomicU64::new(0),
            sizes: sizes::Counting::default(),
        };
        log.settle(Ok(()), 0);
        log
    }

    /// Adds a write, not yet durable, and returns its number. After an error nothing was added.
    pub(crate) fn append(&self, body: &[u8]) -> Result<Lsn, Error> {
        if body.len() > record::MAX_BODY_BYTES {
            return Err(Error::TooLarge {
                what: "a log record",
                bytes: body.len(),
                limit: record::MAX_BODY_BYTES,
            });
        }
        let mut pending = lock(&self.pending);
        let held = pending.writes.held() + entries::MOST_OVERHEAD + body.len();
        let is_tight = pending.room != usize::MAX;
        if is_tight && held + pending.overhead(pending.writes.runs_with(body), 1) > pending.room {
            return Err(pending.refusal());
        }
        if held > self.limits.pending_bytes && !pending.writes.is_empty() {
            return Err(Error::Overloaded {
                what: "writes that wait for the log's sync",
                held,
                limit: self.limits.pending_bytes,
            });
        }
        let lsn = pending.end.next();
        let Pending {
            writes,
            count,
            end,
            tables,
            ..
        } = &mut *pending;
        writes.put(tables, lsn, body);
        *count += 1;
        *end = lsn;
        self.appended.store(lsn.0, Ordering::Release);
        Ok(lsn)
    }

    /// Makes everything that was appended before the call durable, and returns the newest durable
    /// write. Writes that arrive meanwhile wait for the next sync. Also looks whether writes can be taken on, and is to
    /// be called now and then while they are [refused](Self::is_refusing).
    ///
    /// Calls from several threads follow each other. After an error, the writes that it was for wait on: a later
    /// sync, or nothing but a crash, decides on them (contract 2).
    pub fn sync(&self) -> Result<Lsn, Error> {
        let mut writer = lock(&self.writer);
        {
            let mut pending = lock(&self.pending);
            let most = pending.writes.held() + pending.overhead(pending.writes.runs(), 0);
            let Pending {
                writes,
                count,
                end,
                tables,
                room,
                trouble,
            } = &mut *pending;
            if writes.is_empty() && writer.batch.is_empty() && trouble.is_none() {
                return Ok(self.synced());
            }
            // What is being written has no place any more for what comes next.
            if *room != usize::MAX {
                *room = room.saturating_sub(most);
            }
            writer.batch.take(tables, writes, *end);
            *count = 0;
        }
        let outcome = self.write(&mut writer);
        self.current_bytes.store(writer.used(), Ordering::Relaxed);
        let ready = match &outcome {
            Ok(())
                if writer.has_left(LEFT_PART) || writer.has_used(LAST_PART) && self.files.lacks_ready() =>
            {
                self.prepare()
            }
            Ok(()) => Ok(()),
            Err(error) => Err(error.clone()),
        };
        // What failed is tried again by the next sync.
        let wants = ready.is_ok() && writer.has_used(ASK_PART) && self.files.lacks_ready();
        self.wants_file.store(wants, Ordering::Relaxed);
        let room = if outcome.is_ok() { writer.room() } else { 0 };
        self.settle(ready, room as usize);
        outcome.map(|()| self.synced())
    }

    /// Whether [`prepare`](Self::prepare) should be called.
    pub(crate) fn wants_file(&self) -> bool {
        self.wants_file.load(Ordering::Relaxed)
    }

    /// Makes a file for the next segment, from any thread. Writes and syncs go on meanwhile, and find it ready: the name of a
    /// file is durable before anything is written to it, and the sync of a directory is nothing that writers should wait for.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        self.files.make_ready()?;
        self.wants_file.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn write(&self, writer: &mut Writer) -> Result<(), Error> {
        let mut writes = 0;
        while let Some(piece) = writer.write(&self.files)? {
            self.written_bytes
                .fetch_add(piece.bytes as u64, Ordering::Relaxed);
            writes += piece.records;
            self.synced.store(piece.last.0, Ordering::Release);
        }
        if writes > 0 {
            self.sizes.count(writes);
        }
        // At the beginning this may be beyond the last write that there was.
        self.synced.store(writer.batch.end().0, Ordering::Release);
        Ok(())
    }

    /// Decides whether writes are taken: `ready` says whether there will be a segment for them, and `room` what there
    /// is of the present one.
    fn settle(&self, ready: Result<(), Error>, room: usize) {
        let free = self.files.free_space();
        let (room, trouble) = match ready {
            _ if free < self.limits.reserve_bytes => (
                0,
                Some(Error::NoSpace {
                    dir: self.files.dir().to_path_buf(),
                    free,
                    reserve: self.limits.reserve_bytes,
                }),
            ),
            Ok(()) => (usize::MAX, None),
            Err(error) => (room, Some(error)),
        };
        let mut pending = lock(&self.pending);
        let changed = pending.trouble.is_some() != trouble.is_some();
        (pending.room, pending.trouble) = (room, trouble);
        match &pending.trouble {
            Some(error) if changed => {
                tracing::error!(%error, "the log takes no more writes, reads go on; it is tried again until it does");
            }
            None if changed => tracing::info!("the log takes writes again"),
            _ => {}
        }
    }

    /// The salt of its segments.
    pub(crate) fn salt(&self) -> u64 {
        self.salt
    }

    /// The newest write that is durable.
    pub fn synced(&self) -> Lsn {
        Lsn(self.synced.load(Ordering::Acquire))
    }

    /// The newest write that was appended.
    pub fn appended(&self) -> Lsn {
        Lsn(self.appended.load(Ordering::Acquire))
    }

    /// Whether writes are refused, or soon will be, because the disk is full or fails. Each [`sync`](Self::sync) finds
    /// out whether that is still so.
    pub fn is_refusing(&self) -> bool {
        lock(&self.pending).trouble.is_some()
    }

    /// How many syncs wrote something.
    pub fn syncs(&self) -> u64 {
        self.batch_sizes().syncs()
    }

    /// How many writes shared a sync.
    pub fn batch_sizes(&self) -> BatchSizes {
        self.sizes.sizes()
    }

    /// Bytes of writes that were made durable.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    /// The number of segments on disk that hold writes, and how many bytes of them are used.
    pub fn on_disk(&self) -> (usize, u64) {
        let (closed, bytes) = self.files.closed();
        let current = self.current_bytes.load(Ordering::Relaxed);
        (closed + usize::from(current > 0), bytes + current)
    }

    /// Gives up closed segments whose writes are all older than `floor`. The manifest must say so
    /// already: this is not synced, and so may be undone by a crash.
    pub(crate) fn release(&self, floor: Lsn) -> Result<(), Error> {
        self.files.release(floor)?;
        if self.appended() < floor {
            self.rest(floor)?;
        }
        Ok(())
    }

    /// Gives the space up that is set aside for writes, but for a little, while there are none: an engine that rests
    /// holds nothing in its log.
    fn rest(&self, floor: Lsn) -> Result<(), Error> {
        let mut writer = lock(&self.writer);
        let waits = {
            let pending = lock(&self.pending);
            pending.end >= floor || pending.trouble.is_some()
        };
        if waits || !writer.batch.is_empty() {
            return Ok(());
        }
        writer.rest(&self.files)?;
        self.current_bytes.store(0, Ordering::Relaxed);
        self.files.release(floor)?;
        self.files.trim();
        Ok(())
    }
}

impl Pending {
    /// The most that groups take beside what waits in so many runs, with so many writes more, in bytes.
    fn overhead(&self, runs: usize, more: usize) -> usize {
        // Each run ends a group.
        let groups = self.writes.held() / group::FULL_BYTES * 2 + runs;
        let tables = (self.tables.ids().len() + more).min(self.count + more);
        groups * (group::HEADER_BYTES + tables * entries::ID_BYTES)
    }

    /// What a write is told that is not taken.
    #[cold]
    fn refusal(&self) -> Error {
        match &self.trouble {
            Some(error @ Error::NoSpace { .. }) => error.clone(),
            Some(error) => Error::LogFailed(Box::new(error.clone())),
            None => Error::Overloaded {
                what: "writes that wait for the log's sync",
                held: self.writes.held(),
                limit: self.room,
            },
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.files.dir())
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

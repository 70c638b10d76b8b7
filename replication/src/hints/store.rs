//! One target's segments on disk.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use starling_model::NodeId;
use starling_sstable::fs::{Fs, WriteFile};

use super::{
    damage::{self, Content, Unreadable},
    progress::{self, Progress},
    segment::{self, Life, Stored},
};
use crate::{
    durable_file::{self, ReplaceError},
    status::Counters,
};

/// In the node's directory.
pub(super) const DIR: &str = "hints";
/// A segment that is longer than this is closed.
pub(super) const SEGMENT_BYTES: u64 = 4 << 20;
/// How often in a row the system may refuse to read a segment before it is set aside.
const READ_ATTEMPTS: u32 = 3;

/// What is left to deliver of a segment.
#[derive(Debug)]
pub(super) struct Records {
    /// The segment's number.
    pub(super) number: u64,
    /// How often segments were rewritten before: places in one that was rewritten since are other ones.
    pub(super) rewrites: u64,
    /// Its hints, in the order in which they were kept.
    pub(super) hints: Vec<Stored>,
}

/// The segments of one node's hints. What works on them waits for the disk.
pub(super) struct Segments {
    pub(super) dir: PathBuf,
    /// Oldest first.
    pub(super) closed: VecDeque<Closed>,
    open: Option<Open>,
    pub(super) next: u64,
    pub(super) progress: Progress,
    rewrites: u64,
    /// How often in a row the oldest segment could not be read.
    failed_reads: u32,
}

/// A segment that is not written to any more.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) number: u64,
    /// Without its header.
    pub(super) bytes: u64,
    /// Its last write may not have come to its end.
    pub(super) may_be_torn: bool,
    /// The bytes that can't be read and were counted. A segment is read more than once, and may rot in between.
    pub(super) reported: Vec<Range<u64>>,
}

struct Open {
    number: u64,
    file: Box<dyn WriteFile>,
    writer: segment::Writer,
}

/// Why a segment's hints can't be had.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// It may pass.
    #[error(transparent)]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Content(#[from] Unreadable),
}

impl Segments {
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            dir: Path::new(DIR).join(id.to_string()),
            closed: VecDeque::new(),
            open: None,
            next: 1,
            progress: Progress::default(),
            rewrites: 0,
            failed_reads: 0,
        }
    }

    /// Bytes on disk. Headers don't count.
    pub(super) fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|closed| closed.bytes).sum();
        closed
            + self
                .open
                .as_ref()
                .map_or(0, |open| net(open.writer.bytes() as u64))
    }

    /// Appends hints durably, with one sync for each segment that they go to; returns whether that went well. If not,
    /// some of them may be durable. A salt is asked for each new segment.
    pub(super) fn write<'h>(
        &mut self,
        fs: &dyn Fs,
        hints: impl Iterator<Item = (Life, &'h [u8])>,
        salt: impl Fn() -> u64,
    ) -> bool {
        let written = self.append(fs, hints, salt);
        if let Err(error) = &written {
            ::tracing::error!(%error, dir = %self.dir.display(), "hints can't be written");
            // What an unsuccessful sync left is unknown: the file is given up, its good part is read.
            self.close(true);
        }
        written.is_ok()
    }

    fn append<'h>(
        &mut self,
        fs: &dyn Fs,
        hints: impl Iterator<Item = (Life, &'h [u8])>,
        salt: impl Fn() -> u64,
    ) -> io::Result<()> {
        let mut hints = hints.peekable();
        while hints.peek().is_some() {
            let open = match &mut self.open {
                Some(open) => open,
                closed => {
                    durable_file::make_dir(fs, &self.dir)?;
                    // Where the directory could not be listed there may be some.
                    while fs.exists(&path_in(&self.dir, self.next))? {
                        self.next += 1;
                    }
                    let file = fs.create(&path_in(&self.dir, self.next))?;
                    fs.sync_dir(&self.dir)?;
                    self.next += 1;
                    closed.insert(Open {
                        number: self.next - 1,
                        file,
                        writer: segment::Writer::new(salt()),
                    })
                }
            };
            while (open.writer.bytes() as u64) < SEGMENT_BYTES
                && let Some((life, mutation)) = hints.next()
            {
                open.writer.put(life, mutation);
            }
            open.file.append(&open.writer.take_group())?;
            open.file.sync()?;
            if open.writer.bytes() as u64 >= SEGMENT_BYTES {
                self.close(false);
            }
        }
        Ok(())
    }

    fn close(&mut self, may_be_torn: bool) {
        if let Some(open) = self.open.take() {
            self.closed.push_back(Closed {
                number: open.number,
                bytes: net(open.writer.bytes() as u64),
                may_be_torn,
                reported: Vec::new(),
            });
        }
    }

    /// What is left of the oldest segment, closed now; `None` if there are no hints. A segment that can't be read is set
    /// aside, at once or, if it may be read later, in the third attempt; until then that is an error.
    pub(super) fn oldest(&mut self, fs: &dyn Fs, counters: &Counters) -> io::Result<Option<Records>> {
        loop {
            if self.closed.is_empty() {
                self.close(false);
            }
            let Some(number) = self.closed.front().map(|closed| closed.number) else {
                return Ok(None);
            };
            let Some(mut hints) = self.read(fs, number, counters)? else {
                continue;
            };
            if self.progress.number == number {
                hints.retain(|hint| hint.end > self.progress.place);
            }
            return Ok(Some(Records {
                number,
                rewrites: self.rewrites,
                hints,
            }));
        }
    }

    /// The hints of a closed segment; `None` if it was set aside.
    fn read(&mut self, fs: &dyn Fs, number: u64, counters: &Counters) -> io::Result<Option<Vec<Stored>>> {
        let path = path_in(&self.dir, number);
        let closed = self.closed.iter_mut().find(|closed| closed.number == number);
        let Some(closed) = closed else {
            return Ok(None);
        };
        let read = fs.read(&path).map_err(ReadError::from);
        let may_be_torn = closed.may_be_torn;
        let read = read.and_then(|bytes| Ok(damage::read(&bytes, may_be_torn)?));
        match read {
            Ok(content) => {
                report(&path, &content, &closed.reported, counters);
                closed.reported = content.torn.into_iter().chain(content.damaged).collect();
                self.failed_reads = 0;
                Ok(Some(content.hints))
            }
            Err(ReadError::Disk(error)) if self.failed_reads + 1 < READ_ATTEMPTS => {
                self.failed_reads += 1;
                Err(error)
            }
            Err(error) => {
                self.failed_reads = 0;
                self.set_aside(fs, number, &error, counters);
                Ok(None)
            }
        }
    }

    /// Takes a segment out of what is delivered, and leaves its file to the operator.
    fn set_aside(&mut self, fs: &dyn Fs, number: u64, error: &ReadError, counters: &Counters) {
        let path = path_in(&self.dir, number);
        let aside = path.with_extension("unreadable");
        counters.hints_damaged.one();
        self.closed.retain(|closed| closed.number != number);
        match fs.rename(&path, &aside).and_then(|()| fs.sync_dir(&self.dir)) {
            Ok(()) => ::tracing::error!(
                %error, file = %aside.display(),
                "a file of hints can't be read and was set aside: repair brings what is in it; it can be deleted"
            ),
            Err(renaming) => ::tracing::error!(
                %error, %renaming, file = %path.display(),
                "a file of hints can't be read, nor renamed: repair brings what is in it"
            ),
        }
    }

    /// Notes durably that hints need not be read again up to a place. Nothing happens if segments were rewritten since
    /// that place was read.
    pub(super) fn advance(
        &mut self,
        fs: &dyn Fs,
        rewrites: u64,
        progress: Progress,
    ) -> Result<(), ReplaceError> {
        if rewrites != self.rewrites {
            return Ok(());
        }
        progress.store(fs, &self.dir)?;
        self.progress = progress;
        Ok(())
    }

    /// Removes a segment, durably.
    pub(super) fn remove(&mut self, fs: &dyn Fs, number: u64) -> io::Result<()> {
        self.closed.retain(|closed| closed.number != number);
        fs.remove(&path_in(&self.dir, number))?;
        fs.sync_dir(&self.dir)
    }

    /// Keeps only the hints that `keep` wants; counts how many went. After an error some that it does not want may still
    /// be there.
    pub(super) fn rewrite(
        &mut self,
        fs: &dyn Fs,
        keep: impl Fn(&Stored) -> bool,
        salt: impl Fn() -> u64,
        counters: &Counters,
    ) -> io::Result<()> {
        self.close(false);
        self.rewrites += 1;
        // Segments get shorter, so what is delivered of one can't be told by a place any more: it is sent again.
        if self.progress.place > 0 {
            let anew = Progress {
                place: 0,
                ..self.progress
            };
            anew.store(fs, &self.dir).map_err(io::Error::other)?;
            self.progress = anew;
        }
        let numbers: Vec<u64> = self.closed.iter().map(|closed| closed.number).collect();
        let mut result = Ok(());
        for number in numbers {
            if let Err(error) = self.rewrite_segment(fs, number, (&keep, &salt), counters) {
                ::tracing::error!(%error, file = %path_in(&self.dir, number).display(), "hints can't be forgotten");
                result = Err(error);
            }
        }
        result
    }

    fn rewrite_segment(
        &mut self,
        fs: &dyn Fs,
        number: u64,
        (keep, salt): (impl Fn(&Stored) -> bool, impl Fn() -> u64),
        counters: &Counters,
    ) -> io::Result<()> {
        let Some(all) = self.read(fs, number, counters)? else {
            return Ok(());
        };
        let kept: Vec<&Stored> = all.iter().filter(|hint| keep(hint)).collect();
        let dropped = (all.len() - kept.len()) as u64;
        if dropped == 0 {
            return Ok(());
        }
        if kept.is_empty() {
            fs.remove(&path_in(&self.dir, number))?;
            self.closed.retain(|closed| closed.number != number);
            counters.hints_dropped.add(dropped);
            return fs.sync_dir(&self.dir);
        }
        let mut writer = segment::Writer::new(salt());
        for hint in kept {
            writer.put(hint.life, &hint.mutation);
        }
        let path = path_in(&self.dir, number);
        let temporary = path.with_extension("new");
        let mut file = fs.create(&temporary)?;
        file.append(&writer.take_group())?;
        file.sync()?;
        drop(file);
        fs.rename(&temporary, &path)?;
        fs.sync_dir(&self.dir)?;
        if let Some(closed) = self.closed.iter_mut().find(|closed| closed.number == number) {
            (closed.bytes, closed.may_be_torn) = (net(writer.bytes() as u64), false);
            closed.reported.clear();
        }
        counters.hints_dropped.add(dropped);
        Ok(())
    }

    /// Removes the directory if nothing is in it but how far delivery got.
    pub(super) fn remove_empty_dir(&mut self, fs: &dyn Fs) -> io::Result<()> {
        if !self.closed.is_empty() || self.open.is_some() || !fs.exists(&self.dir)? {
            return Ok(());
        }
        let left = fs.list(&self.dir)?;
        let progress = self.dir.join(progress::FILE);
        // A file that was set aside is the operator's.
        if left.iter().any(|file| *file != progress) {
            return Ok(());
        }
        if !left.is_empty() {
            fs.remove(&progress)?;
            fs.sync_dir(&self.dir)?;
        }
        self.progress = Progress::default();
        fs.remove_dir(&self.dir)?;
        fs.sync_dir(Path::new(DIR))
    }
}

/// Counts what of a segment can't be read, but for what was counted before, and says where it is.
fn report(path: &Path, content: &Content, before: &[Range<u64>], counters: &Counters) {
    let bytes = |range: &Range<u64>| range.end - range.start;
    let is_new = |range: &&Range<u64>| !before.contains(range);
    for range in content.torn.iter().filter(is_new) {
        ::tracing::warn!(
            file = %path.display(), offset = range.start, bytes = bytes(range),
            "hints whose write a crash interrupted are passed over; nobody was told that they were kept"
        );
    }
    for range in content.damaged.iter().filter(is_new) {
        counters.hints_damaged.one();
        ::tracing::error!(
            file = %path.display(), offset = range.start, bytes = bytes(range),
            "stored hints are damaged and passed over: repair brings what they held"
        );
    }
}

/// A segment's length without its header; never 0, so that one without a hint is looked at and removed.
pub(super) fn net(bytes: u64) -> u64 {
    bytes.saturating_sub(segment::HEADER_BYTES as u64).max(1)
}

pub(super) fn path_in(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}"))
}

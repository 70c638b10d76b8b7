//! One target's segments on disk.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use starling_model::{NodeId, Seconds};
use starling_sstable::fs::{Fs, WriteFile};

use super::segment;
use crate::{
    durable_file::{self, ReplaceError},
    start_error::StartError,
};

const DIR: &str = "hints";
/// In a target's directory: the number of a segment and how many of its hints were delivered (8 bytes each).
const PROGRESS: &str = "progress";
const PROGRESS_MAGIC: [u8; 8] = *b"STRLHPRG";
/// A segment that is longer than this is closed.
pub(super) const SEGMENT_BYTES: u64 = 4 << 20;

/// A segment's number and its hints: when each was kept, and the mutation.
pub(super) type Records = (u64, Vec<(Seconds, Bytes)>);

/// The segments of one node's hints. What works on them waits for the disk.
pub(super) struct Segments {
    dir: PathBuf,
    /// Closed segments, oldest first, with their lengths in bytes.
    closed: VecDeque<(u64, u64)>,
    open: Option<Open>,
    next: u64,
    /// The segment of which some hints were delivered, and how many.
    progress: (u64, u64),
}

struct Open {
    number: u64,
    file: Box<dyn WriteFile>,
    bytes: u64,
}

impl Segments {
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            dir: Path::new(DIR).join(id.to_string()),
            closed: VecDeque::new(),
            open: None,
            next: 1,
            progress: (0, 0),
        }
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|(_, bytes)| bytes).sum();
        closed + self.open.as_ref().map_or(0, |open| open.bytes)
    }

    /// Appends records durably, with one sync; returns whether that went well.
    pub(super) fn write(&mut self, fs: &dyn Fs, records: &[u8]) -> bool {
        let written = self.append(fs, records);
        if let Err(error) = &written {
            ::tracing::error!(%error, dir = %self.dir.display(), "hints can't be written");
            // What an unsuccessful sync left is unknown: the file is given up, its good part is read.
            self.close();
        }
        written.is_ok()
    }

    fn append(&mut self, fs: &dyn Fs, records: &[u8]) -> io::Result<()> {
        if self.open.is_none() {
            durable_file::make_dir(fs, &self.dir)?;
            let number = self.next;
            let file = fs.create(&self.path(number))?;
            self.next += 1;
            fs.sync_dir(&self.dir)?;
            self.open = Some(Open {
                number,
                file,
                bytes: 0,
            });
        }
        let Some(open) = &mut self.open else {
            return Err(io::Error::other("no segment is open"));
        };
        open.bytes += records.len() as u64;
        open.file.append(records)?;
        open.file.sync()?;
        if open.bytes >= SEGMENT_BYTES {
            self.close();
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.closed.push_back((open.number, open.bytes));
        }
    }

    /// The oldest segment's number and content, closed now; `None` if there are no hints.
    pub(super) fn oldest(&mut self, fs: &dyn Fs) -> io::Result<Option<Records>> {
        if self.closed.is_empty() {
            self.close();
        }
        let Some((number, _)) = self.closed.front() else {
            return Ok(None);
        };
        let bytes = fs.read(&self.path(*number))?;
        let mut records = segment::records(bytes);
        if self.progress.0 == *number {
            let done = usize::try_from(self.progress.1).unwrap_or(usize::MAX);
            records.drain(..done.min(records.len()));
        }
        Ok(Some((*number, records)))
    }

    /// Notes durably that so many more hints of a segment need not be read again.
    pub(super) fn advance(&mut self, fs: &dyn Fs, number: u64, more: u64) -> Result<(), ReplaceError> {
        let before = if self.progress.0 == number {
            self.progress.1
        } else {
            0
        };
        self.set_progress(fs, (number, before + more))
    }

    fn set_progress(&mut self, fs: &dyn Fs, progress: (u64, u64)) -> Result<(), ReplaceError> {
        let mut content = progress.0.to_be_bytes().to_vec();
        content.extend_from_slice(&progress.1.to_be_bytes());
        durable_file::replace(fs, &self.dir.join(PROGRESS), PROGRESS_MAGIC, &content)?;
        self.progress = progress;
        Ok(())
    }

    /// Removes a segment, durably.
    pub(super) fn remove(&mut self, fs: &dyn Fs, number: u64) -> io::Result<()> {
        self.closed.retain(|(other, _)| *other != number);
        fs.remove(&self.path(number))?;
        fs.sync_dir(&self.dir)
    }

    /// Keeps only the hints that `keep` wants; returns how many went.
    pub(super) fn rewrite(&mut self, fs: &dyn Fs, keep: impl Fn(Seconds, &[u8]) -> bool) -> u64 {
        self.close();
        // Segments get shorter, so what is delivered of one can't be told by a number any more: it is sent again.
        if self.progress.1 > 0
            && let Err(error) = self.set_progress(fs, (self.progress.0, 0))
        {
            ::tracing::error!(%error, dir = %self.dir.display(), "the progress of hints can't be stored");
            return 0;
        }
        let mut dropped = 0;
        for at in 0..self.closed.len() {
            let number = self.closed[at].0;
            match self.rewrite_segment(fs, number, &keep) {
                Ok((gone, bytes)) => {
                    dropped += gone;
                    self.closed[at].1 = bytes;
                }
                Err(error) => {
                    ::tracing::error!(%error, dir = %self.dir.display(), "a segment of hints can't be rewritten");
                }
            }
        }
        dropped
    }

    fn rewrite_segment(
        &self,
        fs: &dyn Fs,
        number: u64,
        keep: impl Fn(Seconds, &[u8]) -> bool,
    ) -> io::Result<(u64, u64)> {
        let path = self.path(number);
        let bytes = fs.read(&path)?;
        let length = bytes.len() as u64;
        let all = segment::records(bytes);
        let mut kept = Vec::new();
        let mut dropped = 0;
        for (at, mutation) in &all {
            if keep(*at, mutation) {
                segment::put(&mut kept, *at, mutation);
            } else {
                dropped += 1;
            }
        }
        if dropped == 0 {
            return Ok((0, length));
        }
        let temporary = path.with_extension("new");
        let mut file = fs.create(&temporary)?;
        file.append(&kept)?;
        file.sync()?;
        drop(file);
        fs.rename(&temporary, &path)?;
        fs.sync_dir(&self.dir)?;
        Ok((dropped, kept.len() as u64))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016x}"))
    }
}

/// The hints that are on disk.
pub(super) fn scan(fs: &dyn Fs) -> Result<BTreeMap<NodeId, Segments>, StartError> {
    let root = Path::new(DIR);
    let mut targets = BTreeMap::new();
    for dir in list(fs, root)? {
        let Some(id) = file_name(&dir).and_then(parse_uuid) else {
            continue;
        };
        let id = NodeId(id);
        let mut segments = Segments::new(id);
        for file in list(fs, &segments.dir.clone())? {
            let Some(number) = file_name(&file).and_then(|name| u64::from_str_radix(name, 16).ok()) else {
                // What a rewrite left behind when it was interrupted.
                continue;
            };
            let path = segments.path(number);
            let bytes = fs
                .read(&path)
                .map_err(|error| durable_file::disk(&path, &error))?;
            segments.closed.push_back((number, bytes.len() as u64));
            segments.next = segments.next.max(number + 1);
        }
        segments.progress = read_progress(fs, &segments.dir);
        // A number is never used again while the progress speaks of it.
        segments.next = segments.next.max(segments.progress.0 + 1);
        segments.closed.make_contiguous().sort_unstable();
        targets.insert(id, segments);
    }
    Ok(targets)
}

/// How far delivery got; from the start of all segments if that can't be read.
fn read_progress(fs: &dyn Fs, dir: &Path) -> (u64, u64) {
    let number = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
    match durable_file::read(fs, &dir.join(PROGRESS), PROGRESS_MAGIC) {
        Ok(Some(content)) if content.len() == 16 => {
            let read = number(&content[..8]).zip(number(&content[8..]));
            read.unwrap_or_default()
        }
        Ok(_) => (0, 0),
        Err(error) => {
            ::tracing::warn!(%error, "hints that were delivered may be sent again");
            (0, 0)
        }
    }
}

fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<PathBuf>, StartError> {
    match fs.list(dir) {
        Ok(names) => Ok(names),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(durable_file::disk(dir, &error)),
    }
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn parse_uuid(text: &str) -> Option<u128> {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    (hex.len() == 32).then(|| u128::from_str_radix(&hex, 16).ok())?
}

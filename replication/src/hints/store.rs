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
use crate::{durable_file, start_error::StartError};

const DIR: &str = "hints";
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
        Ok(Some((*number, segment::records(bytes))))
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
        segments.closed.make_contiguous().sort_unstable();
        targets.insert(id, segments);
    }
    Ok(targets)
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

//! Reading a log back after a stop or a crash.
//!
//! What a crash may leave: the last segment of a run, or one that a failed disk made the log give up, ends in a
//! group, or several, of which only parts were written. That tail was never synced, so nobody was told of it, and it
//! is cut. Everything else is damage, and an error, because acknowledged writes would be missing:
//!
//! - a bad group after which a whole one says that the bad one was synced;
//! - a segment that begins after more writes than those before it hold;
//! - a first segment that begins after writes which no table holds (`floor`).
//!
//! A crash may have left a file with two names, of which one is that of an earlier use. It is the segment that its header
//! says, under the other name, and is read once; the name that is left over goes as other segments do. Where only such a
//! name is there, the file is read in the place of the segment that it is.
//!
//! Writes that were in a segment that was given up may be in the next one too: they are given once. The newest ones,
//! of which nothing says that they were synced, may be in the system's cache only, even where a sync of that file
//! would now say otherwise: they are handed back, to be written anew.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{Lsn, entries::Bodies, files::Segment, group, record, segment};
use crate::{Error, fs::Fs};

/// Takes a write of the log: its number, its body, and the file and the offset that it is from.
pub(crate) type Visit<'a> = dyn FnMut(Lsn, &[u8], &Path, u64) -> Result<(), Error> + 'a;

/// Numbers that a restart can skip, at most, as far as the search for damage goes.
const GAP: u64 = 1 << 32;

/// What a recovery found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// The segments, oldest first.
    pub(crate) segments: Vec<Segment>,
    /// Greater than the number of any segment, whatever its name is.
    pub(crate) next_number: u64,
    /// The newest write in the log.
    pub(crate) end: Lsn,
    /// Writes up to this are known to be durable.
    pub(crate) proven: Lsn,
    /// Those after it.
    pub(crate) tail: Vec<(Lsn, Vec<u8>)>,
    /// Writes that were read.
    pub(crate) records: u64,
    /// Bytes of groups that were begun and cut, as far as can be seen.
    pub(crate) torn_bytes: u64,
}

/// How far a recovery is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Log segments that are read.
    pub segments: usize,
    /// All that there are.
    pub segments_in_all: usize,
    /// Writes that were read.
    pub writes: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// A recovery that is under way.
struct Reading<'a> {
    floor: Lsn,
    visit: &'a mut Visit<'a>,
    found: Recovered,
    /// Groups with writes that are not proven, in order.
    unproven: VecDeque<Unproven>,
    /// A body that is put together.
    body: Vec<u8>,
    /// Where the last segment ended: what comes after that may be missing.
    ended: Option<(PathBuf, u64)>,
}

/// A group that no later one showed to be durable.
struct Unproven {
    /// Its first write that was not in an earlier one, and its last.
    new: Lsn,
    last: Lsn,
    whole: Whole,
}

/// A whole group of a segment, or a record of one that is older.
struct Whole {
    first: Lsn,
    synced: Lsn,
    content: Bytes,
    /// Whether it is a record, which holds one write.
    single: bool,
}

impl Whole {
    /// What lies at a place in a segment of some version; `None` if it is not whole.
    fn take(bytes: &Bytes, at: usize, segment: u64, version: u32) -> Option<Self> {
        let input = bytes.get(at..)?;
        let single = version < 3;
        let (first, synced, content) = if single {
            record::take(input, segment)?
        } else {
            let group = group::take(input, segment)?;
            (group.first, group.synced, group.content)
        };
        Some(Self {
            first,
            synced,
            content: bytes.slice_ref(content),
            single,
        })
    }

    fn len(&self) -> usize {
        group::HEADER_BYTES + self.content.len()
    }

    /// Gives each write to `visit`; returns the number that follows them.
    fn each(
        &self,
        body: &mut Vec<u8>,
        mut visit: impl FnMut(Lsn, &[u8]) -> Result<(), Error>,
    ) -> Result<Option<Lsn>, Error> {
        if self.single {
            visit(self.first, &self.content)?;
            return Ok(Some(self.first.next()));
        }
        let mut lsn = self.first;
        let mut bodies = Bodies::new(&self.content);
        loop {
            match bodies.next() {
                Ok(Some(parts)) => {
                    body.clear();
                    for part in parts {
                        body.extend_from_slice(part);
                    }
                    visit(lsn, body)?;
                }
                Ok(None) => return Ok(Some(lsn)),
                Err(_) => return Ok(None),
            }
            lsn = lsn.next();
        }
    }
}

/// Gives every write from `floor` on to `visit`, in order, with the file and the offset that it is
/// from. `files` are the segments in order of their numbers. Writes below `floor` may be missing or
/// there; they are not given. Changes nothing on disk. `progress` is told after each segment.
pub(crate) fn recover<'a>(
    fs: &dyn Fs,
    files: &[PathBuf],
    floor: Lsn,
    visit: &'a mut Visit<'a>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recovered, Error> {
    let before = Lsn(floor.0.saturating_sub(1));
    let mut reading = Reading {
        floor,
        visit,
        found: Recovered {
            end: before,
            proven: before,
            ..Recovered::default()
        },
        unproven: VecDeque::new(),
        body: Vec::new(),
        ended: None,
    };
    let mut bytes = 0;
    let mut left: BTreeMap<u64, PathBuf> = files
        .iter()
        .map(|path| (segment::file_number(path).unwrap_or_default(), path.clone()))
        .collect();
    while let Some((number, path)) = left.pop_first() {
        reading.found.next_number = number.saturating_add(1);
        let content = fs.read(&path).map_err(Error::io("read", &path))?;
        let whole = match reading.segment((&path, number), &content)? {
            Read::Whole(whole) => whole,
            Read::IsAnother(number) => match left.get(&number) {
                None => {
                    left.insert(number, path);
                    continue;
                }
                Some(other) if is_segment(fs, other, number)? => 0,
                Some(_) => {
                    return Err(Error::corrupt(
                        &path,
                        16,
                        "the segment belongs under another name",
                    ));
                }
            },
        };
        bytes += whole;
        reading.found.segments.push(Segment {
            path,
            last: reading.found.end,
            bytes: whole,
            reusable: false,
        });
        progress(Progress {
            segments: reading.found.segments.len(),
            segments_in_all: files.len(),
            writes: reading.found.records,
            bytes,
        });
    }
    reading.end()
}

/// What a file turned out to be.
enum Read {
    /// The segment, of which so many bytes are whole.
    Whole(u64),
    /// A later one, of this number.
    IsAnother(u64),
}

/// Whether a file says that it is the segment of this number.
fn is_segment(fs: &dyn Fs, path: &Path, number: u64) -> Result<bool, Error> {
    let content = fs.map(path).map_err(Error::io("read", path))?;
    Ok(segment::Header::decode(path, &content)?.is_some_and(|header| header.number == number))
}

impl Reading<'_> {
    /// Replays the segment of a number, if a file is it.
    fn segment(&mut self, (path, number): (&Path, u64), bytes: &Bytes) -> Result<Read, Error> {
        let header = segment::Header::decode(path, bytes)?.filter(|header| header.number >= number);
        let Some(header) = header else {
            // It was made, or made of an old one, and not begun; or its first sync was torn.
            for version in segment::OLDEST_VERSION..=segment::VERSION {
                check_tail(path, (number, version), bytes, 0, self.found.end.next())?;
            }
            return Ok(Read::Whole(0));
        };
        if header.number != number {
            return Ok(Read::IsAnother(header.number));
        }
        if header.previous > self.found.end && header.previous >= self.floor {
            return Err(self.missing(path, header.previous));
        }
        self.prove(header.previous);
        let mut expected = header.first;
        let mut at = segment::HEADER_BYTES;
        while let Some(whole) = Whole::take(bytes, at, number, header.version)
            && whole.first == expected
        {
            let length = whole.len();
            expected = self.whole(path, at, whole)?;
            at += length;
        }
        check_tail(path, (number, header.version), bytes, at, expected)?;
        self.found.torn_bytes += torn_bytes(&bytes[at.min(bytes.len())..], expected);
        self.ended = Some((path.to_path_buf(), at as u64));
        Ok(Read::Whole(at as u64))
    }

    /// Replays one group; returns the number that follows it.
    fn whole(&mut self, path: &Path, at: usize, whole: Whole) -> Result<Lsn, Error> {
        self.prove(whole.synced);
        let new = self.found.end.next().max(self.floor);
        let (visit, found, at) = (&mut self.visit, &mut self.found, at as u64);
        let next = whole.each(&mut self.body, |lsn, body| {
            found.records += 1;
            if lsn >= new {
                visit(lsn, body, path, at)?;
                found.end = lsn;
            }
            Ok(())
        })?;
        let next = next.ok_or_else(|| Error::corrupt(path, at, "a group of writes can't be read"))?;
        let last = Lsn(next.0.saturating_sub(1));
        if last >= new && last > self.found.proven {
            self.unproven.push_back(Unproven { new, last, whole });
        }
        Ok(next)
    }

    /// Writes up to this were durable.
    fn prove(&mut self, lsn: Lsn) {
        self.found.proven = self.found.proven.max(lsn);
        while self
            .unproven
            .front()
            .is_some_and(|group| group.last <= self.found.proven)
        {
            self.unproven.pop_front();
        }
    }

    /// What was found, with the writes that are not proven.
    fn end(self) -> Result<Recovered, Error> {
        let (mut found, mut body) = (self.found, self.body);
        for group in self.unproven {
            let from = group.new.max(found.proven.next());
            group.whole.each(&mut body, |lsn, body| {
                if lsn >= from {
                    found.tail.push((lsn, body.to_vec()));
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    fn missing(&self, path: &Path, previous: Lsn) -> Error {
        let first = self.found.end.next().max(self.floor);
        let (file, offset) = self.ended.clone().unwrap_or_else(|| (path.to_path_buf(), 32));
        Error::corrupt(
            &file,
            offset,
            format!(
                "the writes {first} to {previous} are damaged or missing, and no table holds them, but {} shows \
                 that they were durable",
                path.display()
            ),
        )
    }
}

/// How many bytes of a group that was cut can be seen.
fn torn_bytes(rest: &[u8], expected: Lsn) -> u64 {
    let number = rest.get(12..).and_then(<[u8]>::first_chunk);
    let length = rest.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    if number == Some(&expected.0.to_le_bytes()) {
        rest.len().min(group::HEADER_BYTES + length as usize) as u64
    } else {
        0
    }
}

/// Fails if a whole group after the bad one at `at` knew write `expected`, which should be there, to
/// be synced.
fn check_tail(
    path: &Path,
    (segment, version): (u64, u32),
    bytes: &Bytes,
    at: usize,
    expected: Lsn,
) -> Result<(), Error> {
    let last = Lsn(expected.0.saturating_add(GAP));
    let mut next = at;
    while next + group::HEADER_BYTES < bytes.len() {
        next += 1;
        if bytes[next] == 0 {
            // Space that was set aside is passed quickly.
            next += bytes[next..]
                .iter()
                .take_while(|byte| **byte == 0)
                .count()
                .saturating_sub(8);
        }
        let claim = record::peek(&bytes[next..], group::MAX_BYTES);
        let possible = claim.is_some_and(|lsn| lsn > expected && lsn <= last);
        if possible
            && let Some(whole) = Whole::take(bytes, next, segment, version)
            && whole.synced >= expected
        {
            return Err(Error::corrupt(
                path,
                at as u64,
                format!(
                    "write {expected} is damaged, but the whole write {} at offset {next} shows that it was durable",
                    whole.first
                ),
            ));
        }
    }
    Ok(())
}

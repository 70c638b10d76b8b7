//! Reading a log back after a stop or a crash.
//!
//! What a crash may leave: the last segment of a run, or one that a failed disk made the log give up, ends in a
//! group, or several, of which only parts were written. That tail was never synced, so nobody was told of it, and it
//! is cut. Everything else is damage, and an error, because acknowledged writes would be missing:
//!
//! - a bad group after which a whole one says that the bad one was synced (`damage`), but for one whose writes are all
//!   in tables: what is damaged there is passed, counted and told of;
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
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    Lsn,
    damage::{self, Behind},
    files::Segment,
    group::Place,
    record::Claim,
    segment,
    whole::{Format, Whole},
};
use crate::{Error, fs::Fs};

/// Takes a write of the log: its number, its body, and the file and the offset that it is from.
pub(crate) type Visit<'a> = dyn FnMut(Lsn, &[u8], &Path, u64) -> Result<(), Error> + 'a;

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
    /// Bytes that are damaged, of writes that are all in tables.
    pub(crate) damaged_bytes: u64,
}

/// What a recovery knows of a log, beside its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// Writes below this are in tables, or not wanted any more.
    pub(crate) floor: Lsn,
    /// The salt of its segments, for one whose header is lost; 0 if it may have been written before there were any.
    pub(crate) salt: u64,
}

/// How far a recovery is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Log segments that are read.
    pub segments: usize,
    /// All that there are.
    pub segments_in_all: usize,
    /// Bytes of the files that are read; not all of a file need be writes.
    pub read: u64,
    /// Bytes of all files.
    pub read_in_all: u64,
    /// Writes that were read.
    pub writes: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// A recovery that is under way.
struct Reading<'a> {
    known: Known,
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

/// Gives every write from the floor on to `visit`, in order, with the file and the offset that it is
/// from. `files` are the segments in order of their numbers. Writes below the floor may be missing or
/// there; they are not given. Changes nothing on disk. `progress` is told after each segment.
pub(crate) fn recover<'a>(
    fs: &dyn Fs,
    files: &[PathBuf],
    known: Known,
    visit: &'a mut Visit<'a>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recovered, Error> {
    let before = Lsn(known.floor.0.saturating_sub(1));
    let mut reading = Reading {
        known,
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
    let (mut bytes, mut read) = (0, 0);
    // What can't be opened is an error below.
    let length = |path: &PathBuf| fs.map(path).map_or(0, |content| content.len() as u64);
    let read_in_all = files.iter().map(length).sum();
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
        read += content.len() as u64;
        reading.found.segments.push(Segment {
            path,
            last: reading.found.end,
            bytes: whole,
            reusable: false,
        });
        progress(Progress {
            segments: reading.found.segments.len(),
            segments_in_all: files.len(),
            read,
            read_in_all,
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
        let Some(header) = segment::Header::decode(path, bytes)? else {
            self.headless((path, number), bytes)?;
            return Ok(Read::Whole(0));
        };
        if header.number > number {
            return Ok(Read::IsAnother(header.number));
        }
        if header.number < number {
            // It was made of an old one, and not begun: all that lies in it is of its earlier use.
            return Ok(Read::Whole(0));
        }
        if header.previous > self.found.end && header.previous >= self.known.floor {
            return Err(self.missing(path, header.previous));
        }
        self.prove(header.previous);
        let format = Format::of(&header);
        let mut expected = header.first;
        let mut at = header.len();
        loop {
            while let Some(whole) = format.take(bytes, at)
                && whole.first == expected
            {
                let length = whole.len();
                expected = self.whole(path, at, whole)?;
                at += length;
            }
            match damage::look(format, bytes, at, expected, self.known.floor) {
                Behind::Nothing => break,
                Behind::Next { at: next, first } => {
                    self.pass(path, at..next, expected);
                    (at, expected) = (next, first);
                }
                Behind::Proof {
                    at: proof,
                    first,
                    lost,
                } => {
                    return Err(damaged(path, at, (proof, first), lost));
                }
            }
        }
        self.found.torn_bytes += torn_bytes(&bytes[at.min(bytes.len())..], format, expected);
        self.ended = Some((path.to_path_buf(), at as u64));
        Ok(Read::Whole(at as u64))
    }

    /// Looks at a file without a header: it was made and not begun, or its first sync was torn, or the header is lost.
    fn headless(&self, (path, number): (&Path, u64), bytes: &Bytes) -> Result<(), Error> {
        let mut formats = vec![Format::Salted(Place::of(number, self.known.salt))];
        if self.known.salt == 0 {
            formats.extend([Format::Records(number), Format::Groups(number)]);
        }
        for format in formats {
            // What is whole is not read: nobody can say which writes were before it.
            let needed = self.found.end.next();
            if let Behind::Proof { at, first, lost } = damage::look(format, bytes, 0, needed, needed) {
                return Err(damaged(path, 0, (at, first), lost));
            }
        }
        Ok(())
    }

    /// Tells of damage that costs nothing.
    fn pass(&mut self, path: &Path, bytes: Range<usize>, first: Lsn) {
        tracing::warn!(
            file = %path.display(), from = bytes.start, to = bytes.end, write = %first,
            "a part of the log is damaged, of which all writes are in tables: it is passed"
        );
        self.found.damaged_bytes += bytes.len() as u64;
    }

    /// Replays one group; returns the number that follows it.
    fn whole(&mut self, path: &Path, at: usize, whole: Whole) -> Result<Lsn, Error> {
        self.prove(whole.synced);
        let new = self.found.end.next().max(self.known.floor);
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
        let first = self.found.end.next().max(self.known.floor);
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
fn torn_bytes(rest: &[u8], format: Format, expected: Lsn) -> u64 {
    match Claim::peek(rest) {
        Some(claim) if claim.first == expected => rest.len().min(format.header_bytes() + claim.length) as u64,
        _ => 0,
    }
}

fn damaged(path: &Path, at: usize, (proof, first): (usize, Lsn), lost: Lsn) -> Error {
    Error::corrupt(
        path,
        at as u64,
        format!(
            "write {lost} is damaged, but the whole write {first} at offset {proof} shows that it was durable"
        ),
    )
}

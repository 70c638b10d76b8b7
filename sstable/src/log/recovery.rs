//! Reading a log back after a stop or a crash.
//!
//! What a crash may leave: the last segment of a run, or one that a failed disk made the log give up, ends in a
//! record, or several, of which only parts were written. That tail was never synced, so nobody was told of it, and it
//! is cut. Everything else is damage, and an error, because acknowledged writes would be missing:
//!
//! - a bad record after which a whole one says that the bad one was synced;
//! - a segment that begins after more writes than those before it hold;
//! - a first segment that begins after writes which no table holds (`floor`).
//!
//! Writes that were in a segment that was given up may be in the next one too: they are given once. The newest ones,
//! of which nothing says that they were synced, may be in the system's cache only, even where a sync of that file
//! would now say otherwise: they are handed back, to be written anew.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{Lsn, files::Segment, record, segment};
use crate::{Error, fs::Fs};

/// Takes a write of the log: its number, its body, and the file and the offset that it is from.
pub(crate) type Visit<'a> = dyn FnMut(Lsn, Bytes, &Path, u64) -> Result<(), Error> + 'a;

/// Numbers that a restart can skip, at most, as far as the search for damage goes.
const GAP: u64 = 1 << 32;

/// What a recovery found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// The segments, oldest first.
    pub(crate) segments: Vec<Segment>,
    /// Files that are kept for new segments.
    pub(crate) free: Vec<PathBuf>,
    /// The newest write in the log.
    pub(crate) end: Lsn,
    /// Writes up to this are known to be durable.
    pub(crate) proven: Lsn,
    /// Those after it, as records to be sealed.
    pub(crate) tail: Vec<u8>,
    /// Records that were read.
    pub(crate) records: u64,
    /// Bytes of records that were begun and cut, as far as can be seen.
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
    /// Writes that are not proven, in order.
    unproven: VecDeque<(Lsn, Bytes)>,
    /// Where the last segment ended: what comes after that may be missing.
    ended: Option<(PathBuf, u64)>,
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
        ended: None,
    };
    let mut bytes = 0;
    for (n, path) in files.iter().enumerate() {
        let content = fs.read(path).map_err(Error::io("read", path))?;
        let whole = reading.segment(path, &content)?;
        bytes += whole;
        reading.found.segments.push(Segment {
            path: path.clone(),
            last: reading.found.end,
            bytes: whole,
        });
        progress(Progress {
            segments: n + 1,
            segments_in_all: files.len(),
            writes: reading.found.records,
            bytes,
        });
    }
    for (lsn, body) in reading.unproven {
        record::put(&mut reading.found.tail, lsn, &body);
    }
    Ok(reading.found)
}

impl Reading<'_> {
    /// Replays one segment; returns how many of its bytes are whole.
    fn segment(&mut self, path: &Path, bytes: &Bytes) -> Result<u64, Error> {
        let number = segment::file_number(path).unwrap_or_default();
        let header = segment::Header::decode(path, bytes)?.filter(|header| header.number >= number);
        let Some(header) = header else {
            // It was made, or made of an old one, and not begun; or its first sync was torn.
            check_tail(path, number, bytes, 0, self.found.end.next())?;
            return Ok(0);
        };
        if header.number != number {
            return Err(Error::corrupt(path, 16, "the segment belongs under another name"));
        }
        if header.previous > self.found.end && header.previous >= self.floor {
            return Err(self.missing(path, header.previous));
        }
        self.prove(header.previous);
        let mut expected = header.first;
        let mut at = segment::HEADER_BYTES;
        while let Some(record) = record::take(&bytes[at.min(bytes.len())..], number)
            && record.lsn == expected
        {
            self.record(path, bytes, at, &record)?;
            expected = expected.next();
            at += record.len();
        }
        check_tail(path, number, bytes, at, expected)?;
        self.found.torn_bytes += torn_bytes(&bytes[at.min(bytes.len())..], expected);
        self.ended = Some((path.to_path_buf(), at as u64));
        Ok(at as u64)
    }

    fn record(
        &mut self,
        path: &Path,
        bytes: &Bytes,
        at: usize,
        record: &record::Record<'_>,
    ) -> Result<(), Error> {
        self.found.records += 1;
        self.prove(record.synced);
        if record.lsn <= self.found.end || record.lsn < self.floor {
            return Ok(());
        }
        let body = bytes.slice_ref(record.body);
        (self.visit)(record.lsn, body.clone(), path, at as u64)?;
        self.found.end = record.lsn;
        if record.lsn > self.found.proven {
            self.unproven.push_back((record.lsn, body));
        }
        Ok(())
    }

    /// Writes up to this were durable.
    fn prove(&mut self, lsn: Lsn) {
        self.found.proven = self.found.proven.max(lsn);
        while self
            .unproven
            .front()
            .is_some_and(|(first, _)| *first <= self.found.proven)
        {
            self.unproven.pop_front();
        }
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

/// How many bytes of a record that was cut can be seen.
fn torn_bytes(rest: &[u8], expected: Lsn) -> u64 {
    let (length, lsn) = record::extent(rest);
    if lsn == expected {
        rest.len().min(length) as u64
    } else {
        0
    }
}

/// Fails if a whole record after the bad one at `at` knew write `expected`, which should be there, to
/// be synced.
fn check_tail(path: &Path, segment: u64, bytes: &[u8], at: usize, expected: Lsn) -> Result<(), Error> {
    let last = Lsn(expected.0.saturating_add(GAP));
    let mut next = at;
    while next + record::HEADER_BYTES < bytes.len() {
        next += 1;
        if bytes[next] == 0 {
            // Space that was set aside is passed quickly.
            next += bytes[next..]
                .iter()
                .take_while(|byte| **byte == 0)
                .count()
                .saturating_sub(8);
        }
        let rest = &bytes[next..];
        let possible = record::peek(rest).is_some_and(|lsn| lsn > expected && lsn <= last);
        if possible
            && let Some(record) = record::take(rest, segment)
            && record.synced >= expected
        {
            return Err(Error::corrupt(
                path,
                at as u64,
                format!(
                    "write {expected} is damaged, but the whole write {} at offset {next} shows that it was durable",
                    record.lsn
                ),
            ));
        }
    }
    Ok(())
}

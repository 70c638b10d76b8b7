//! Reading a log back after a stop or a crash.
//!
//! What a crash may leave: the last segment of a run ends in a record, or several, of which only parts
//! were written. That tail was never synced, so nobody was told of it, and it is cut. Everything else
//! is damage, and an error, because acknowledged writes would be missing:
//!
//! - a bad record after which a whole one says that the bad one was synced;
//! - a segment that begins after more writes than the one before it holds;
//! - a first segment that begins after writes which no table holds (`floor`).

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Lsn, Segment, record, segment};
use crate::{Error, fs::Fs};

/// Takes a write of the log: its number, its body, and the file and the offset that it is from.
pub(crate) type Visit<'a> = dyn FnMut(Lsn, Bytes, &Path, u64) -> Result<(), Error> + 'a;

/// What a recovery found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// The segments, oldest first.
    pub(crate) segments: Vec<Segment>,
    /// The newest write in the log.
    pub(crate) end: Lsn,
    /// Records that were read.
    pub(crate) records: u64,
    /// Bytes of torn tails that were cut.
    pub(crate) torn_bytes: u64,
}

/// Gives every write from `floor` on to `visit`, in order, with the file and the offset that it is
/// from. `files` are the segments in order of their numbers. Writes below `floor` may be missing or
/// there; they are not given. Changes nothing on disk.
pub(crate) fn recover(
    fs: &dyn Fs,
    files: &[PathBuf],
    floor: Lsn,
    visit: &mut Visit<'_>,
) -> Result<Recovered, Error> {
    let mut recovered = Recovered {
        end: Lsn(floor.0.saturating_sub(1)),
        ..Recovered::default()
    };
    for path in files {
        let bytes = fs.read(path).map_err(Error::io("read", path))?;
        let length = bytes.len() as u64;
        let whole = replay(path, &bytes, floor, &mut recovered, visit)?;
        recovered.torn_bytes += length - whole;
        recovered.segments.push(Segment {
            path: path.clone(),
            last: recovered.end,
            bytes: length,
        });
    }
    Ok(recovered)
}

/// Replays one segment; returns how many of its bytes are whole.
fn replay(
    path: &Path,
    bytes: &Bytes,
    floor: Lsn,
    recovered: &mut Recovered,
    visit: &mut Visit<'_>,
) -> Result<u64, Error> {
    let Some(header) = segment::Header::decode(path, bytes)? else {
        check_tail(path, bytes, 0, recovered.end.next())?;
        return Ok(0);
    };
    if Some(header.number) != segment::file_number(path) {
        return Err(Error::corrupt(path, 16, "the segment belongs under another name"));
    }
    if header.previous > recovered.end && header.previous >= floor {
        return Err(Error::corrupt(
            path,
            32,
            format!(
                "the log is missing the writes {} to {}, which no table holds",
                recovered.end.next().max(floor),
                header.previous
            ),
        ));
    }
    let mut expected = header.first;
    let mut at = segment::HEADER_BYTES;
    while at < bytes.len() {
        let Some(record) = record::take(&bytes[at..]).filter(|record| record.lsn == expected) else {
            check_tail(path, bytes, at, expected)?;
            return Ok(at as u64);
        };
        if record.lsn >= floor {
            visit(record.lsn, bytes.slice_ref(record.body), path, at as u64)?;
        }
        recovered.records += 1;
        recovered.end = recovered.end.max(record.lsn);
        expected = expected.next();
        at += record.len();
    }
    Ok(at as u64)
}

/// Fails if a whole record after the bad one at `at` knew write `expected`, which should be there, to
/// be synced.
fn check_tail(path: &Path, bytes: &[u8], at: usize, expected: Lsn) -> Result<(), Error> {
    // No more writes than this fit in the rest of the segment.
    let most = (bytes.len() - at) / record::HEADER_BYTES;
    let last = Lsn(expected.0.saturating_add(most as u64));
    for next in at + 1..bytes.len() {
        let rest = &bytes[next..];
        let possible = record::peek(rest).is_some_and(|lsn| lsn > expected && lsn <= last);
        if !possible {
            continue;
        }
        if let Some(record) = record::take(rest)
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

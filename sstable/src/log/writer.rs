//! The end of the log on disk.

use super::{
    Lsn,
    batch::{Batch, Piece},
    files::{Files, Segment},
    group::Place,
    segment,
};
use crate::{Error, fs::WriteFile};

/// While nothing is written, this part of a segment's space is set aside.
const REST_PART: u64 = 16;

/// What is written at the moment. One thread at a time has it.
pub(super) struct Writer {
    segment_bytes: u64,
    salt: u64,
    current: Option<Current>,
    /// The newest write that is durable.
    end: Lsn,
    /// What is to be written next, or could not be written.
    pub(super) batch: Batch,
}

/// The segment that is being written.
struct Current {
    place: Place,
    /// Bytes that were set aside for it.
    space: u64,
    file: Box<dyn WriteFile>,
    segment: Segment,
    /// Something in it is durable.
    synced: bool,
}

impl Writer {
    /// `batch` are writes after `end` that are to be written first.
    pub(super) fn new((segment_bytes, salt): (u64, u64), end: Lsn, batch: Batch) -> Self {
        Self {
            segment_bytes,
            salt,
            current: None,
            end,
            batch,
        }
    }

    /// Bytes that are used of the current segment; 0 if there is none.
    pub(super) fn used(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.segment.bytes)
    }

    /// Bytes that the current segment has room for.
    pub(super) fn room(&self) -> u64 {
        let room = |current: &Current| current.space.saturating_sub(current.segment.bytes);
        self.current.as_ref().map_or(0, room)
    }

    /// Whether one of so many parts of the current segment is used, so that there should be a file for the next one.
    pub(super) fn has_used(&self, part: u64) -> bool {
        let has = |current: &Current| current.segment.bytes > current.space / part;
        self.current.as_ref().is_some_and(has)
    }

    /// Whether no more than one of so many parts of the current segment is left.
    pub(super) fn has_left(&self, part: u64) -> bool {
        let has =
            |current: &Current| current.space.saturating_sub(current.segment.bytes) <= current.space / part;
        self.current.as_ref().is_some_and(has)
    }

    /// Ends the current segment and lets go of the file that was made ready: no write in them is needed. A small
    /// file is made ready instead, so that what is taken next has room. Nothing may wait to be written.
    pub(super) fn rest(&mut self, files: &Files) -> Result<(), Error> {
        debug_assert!(self.batch.is_empty());
        if self.current.is_none() {
            return Ok(());
        }
        files.make_ready_small(self.segment_bytes / REST_PART, self.end)?;
        self.close(files);
        Ok(())
    }

    /// Writes as much of the batch as goes into one segment, and makes it durable; `None` if nothing is left.
    ///
    /// A segment that fails is given up, with all of it that is not known to be durable: what a failed sync leaves
    /// behind is anybody's guess, and a second one would not tell. The writes go to a new segment. After an error of
    /// that one too they are still in the batch, to be written another time.
    pub(super) fn write(&mut self, files: &Files) -> Result<Option<Piece>, Error> {
        if self.batch.is_empty() {
            return Ok(None);
        }
        let piece = match self.try_write(files) {
            Ok(piece) => piece,
            Err(error) => {
                tracing::warn!(%error, "a segment of the log can't be written; its last writes go to a new one");
                self.give_up(files);
                self.try_write(files).inspect_err(|_| self.give_up(files))?
            }
        };
        self.batch.commit();
        self.end = piece.last;
        Ok(Some(piece))
    }

    fn try_write(&mut self, files: &Files) -> Result<Piece, Error> {
        loop {
            if self.current.is_none() {
                self.begin(files)?;
            }
            if let Some(piece) = self.fill()? {
                return Ok(piece);
            }
            self.close(files);
        }
    }

    /// Writes to the current segment what fits, and makes it durable; `None` if nothing does.
    fn fill(&mut self) -> Result<Option<Piece>, Error> {
        let Some(current) = &mut self.current else {
            return Ok(None);
        };
        let path = &current.segment.path;
        let mut whole: Option<Piece> = None;
        loop {
            let used = current.segment.bytes + whole.map_or(0, |whole| whole.bytes as u64);
            // A write that is larger than a segment has one for itself.
            let empty = used <= segment::HEADER_BYTES as u64;
            // Numbers without a gap are how recovery knows that nothing is missing in a segment.
            let last = whole.map_or(current.segment.last, |whole| whole.last);
            if !empty && self.batch.next() != Some(last.next()) {
                break;
            }
            let room = current.space.saturating_sub(used) as usize;
            let Some(piece) = self.batch.seal(room, empty, current.place, self.end) else {
                break;
            };
            let written = current.file.append(self.batch.sealed());
            written.map_err(Error::io("write", path))?;
            let (bytes, records) = whole.map_or((0, 0), |whole| (whole.bytes, whole.records));
            whole = Some(Piece {
                bytes: bytes + piece.bytes,
                records: records + piece.records,
                last: piece.last,
            });
        }
        let Some(whole) = whole else { return Ok(None) };
        current.file.sync().map_err(Error::io("sync", path))?;
        current.synced = true;
        current.segment.bytes += whole.bytes as u64;
        current.segment.last = whole.last;
        Ok(Some(whole))
    }

    /// Begins a segment. Its header is synced with its first writes.
    fn begin(&mut self, files: &Files) -> Result<(), Error> {
        let mut fresh = files.take_ready()?;
        let header = segment::Header {
            version: segment::VERSION,
            number: fresh.number,
            first: self.batch.next().unwrap_or(self.end.next()),
            previous: self.end,
            salt: self.salt,
        };
        let written = fresh.file.append(&header.encode());
        let written = written.map_err(Error::io("write", &fresh.path));
        let mut segment = fresh.segment(self.end);
        segment.bytes = segment::HEADER_BYTES as u64;
        self.current = Some(Current {
            place: Place::of(fresh.number, self.salt),
            space: fresh.space,
            file: fresh.file,
            segment,
            synced: false,
        });
        written
    }

    /// Ends a segment that is full.
    fn close(&mut self, files: &Files) {
        if let Some(current) = self.current.take() {
            files.close(current.segment);
        }
    }

    /// Ends a segment that has failed.
    fn give_up(&mut self, files: &Files) {
        self.batch.rewind();
        if let Some(current) = self.current.take() {
            if current.synced {
                files.close(current.segment);
            } else {
                files.discard(current.segment);
            }
        }
    }
}

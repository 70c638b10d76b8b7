//! Writes on their way to the disk.

use std::{collections::VecDeque, mem};

use super::{
    Lsn,
    entries::{ID_BYTES, MOST_OVERHEAD, Tables, Waiting},
    group::{self, Place},
};

/// A run that has this much gets no more writes, in bytes: so no buffer is moved while it grows, and none is large.
const RUN_BYTES: usize = 1 << 20;

/// A buffer that was large once is given back down to this many bytes.
const KEPT_BYTES: usize = RUN_BYTES + (RUN_BYTES >> 2);

/// So many buffers are kept to be used again.
const KEPT_BUFFERS: usize = 4;

/// Writes that were gathered, whose numbers follow each other.
#[derive(Debug)]
pub(super) struct Run {
    /// The number of the first write that is not on disk.
    first: Lsn,
    bytes: Vec<u8>,
    /// Where it begins.
    at: usize,
}

/// Writes while they are gathered.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    runs: VecDeque<Run>,
    /// Bytes in them.
    held: usize,
    /// Buffers that are not used.
    buffers: Vec<Vec<u8>>,
}

impl Gathering {
    /// Adds a write behind the others; its number is that after theirs.
    pub(super) fn put(&mut self, tables: &mut Tables, lsn: Lsn, body: &[u8]) {
        let most = most_bytes(body);
        let fits = |run: &&mut Run| run.bytes.len() + most <= RUN_BYTES;
        let run = match self.runs.back_mut().filter(fits) {
            Some(run) => run,
            None => {
                let mut bytes = self.buffers.pop().unwrap_or_default();
                // The first one grows: a log may have little to do.
                if !self.runs.is_empty() {
                    bytes.reserve(most.max(RUN_BYTES));
                }
                self.runs.push_back(Run {
                    first: lsn,
                    bytes,
                    at: 0,
                });
                let last = self.runs.len() - 1;
                &mut self.runs[last]
            }
        };
        let before = run.bytes.len();
        tables.put(&mut run.bytes, body);
        self.held += run.bytes.len() - before;
    }

    /// Bytes of what was gathered.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Into how many runs it is divided.
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Into how many it would be with another write.
    pub(super) fn runs_with(&self, body: &[u8]) -> usize {
        let last = self.runs.back();
        let fits = last.is_some_and(|run| run.bytes.len() + most_bytes(body) <= RUN_BYTES);
        self.runs.len() + usize::from(!fits)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

/// The most that a write takes while it waits.
fn most_bytes(body: &[u8]) -> usize {
    body.len() + MOST_OVERHEAD
}

/// Writes in order, of which a part from the beginning may be on disk.
#[derive(Debug, Default)]
pub(super) struct Batch {
    runs: VecDeque<Run>,
    /// How far they were sealed; what is before it is committed together.
    ahead: Ahead,
    /// The newest write in it, or that was.
    end: Lsn,
    /// The ids of tables, by number.
    ids: Vec<[u8; ID_BYTES]>,
    /// In which group each table was met last.
    met: Vec<u64>,
    groups: u64,
    /// The groups of the last piece.
    sealed: Vec<u8>,
    /// Buffers that are not used.
    buffers: Vec<Vec<u8>>,
}

/// A place among the runs.
#[derive(Debug, Clone, Copy, Default)]
struct Ahead {
    run: usize,
    at: usize,
    /// Writes of the run before it.
    writes: u64,
}

/// Writes that go into one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// What they take in the segment.
    pub(super) bytes: usize,
    pub(super) records: u64,
    /// The newest of them.
    pub(super) last: Lsn,
}

impl Batch {
    /// Takes what was gathered up to `end` behind what it has.
    pub(super) fn take(&mut self, tables: &Tables, gathered: &mut Gathering, end: Lsn) {
        self.ids.extend_from_slice(&tables.ids()[self.ids.len()..]);
        self.end = end;
        self.runs.append(&mut gathered.runs);
        gathered.held = 0;
        gathered.buffers.append(&mut self.buffers);
        gathered.buffers.truncate(KEPT_BUFFERS);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The newest write that it has, or had.
    pub(super) fn end(&self) -> Lsn {
        self.end
    }

    /// The number of the first write that is not sealed, if there is one.
    pub(super) fn next(&self) -> Option<Lsn> {
        let run = self.runs.get(self.ahead.run)?;
        Some(Lsn(run.first.0 + self.ahead.writes))
    }

    /// Makes groups of as many of the next writes as fit into `room` bytes of a segment; of at least one if `any`.
    /// Their numbers follow each other: a segment in which a number is missing would look damaged. There may be
    /// more that fit.
    pub(super) fn seal(&mut self, room: usize, any: bool, place: Place, synced: Lsn) -> Option<Piece> {
        let first = self.next()?;
        let mut out = mem::take(&mut self.sealed);
        out.clear();
        out.shrink_to(KEPT_BYTES);
        let mut records = 0;
        loop {
            let begin = out.len();
            let count = self.put_group(room, any && records == 0, &mut out);
            if count == 0 {
                break;
            }
            group::seal(&mut out[begin..], Lsn(first.0 + records), place, synced);
            records += count;
        }
        let bytes = out.len();
        self.sealed = out;
        self.ahead.writes += records;
        if self.ahead.at == self.runs.get(self.ahead.run)?.bytes.len() {
            self.ahead = Ahead {
                run: self.ahead.run + 1,
                ..Ahead::default()
            };
        }
        (records > 0).then(|| Piece {
            bytes,
            records,
            last: Lsn(first.0 + records - 1),
        })
    }

    /// Appends a group that has yet to be sealed, of writes of one run from where it was sealed on, and tells of how
    /// many; nothing if none fits.
    fn put_group(&mut self, room: usize, any: bool, out: &mut Vec<u8>) -> u64 {
        let Some(run) = self.runs.get(self.ahead.run) else {
            return 0;
        };
        self.groups += 1;
        self.met.resize(self.ids.len(), 0);
        let begin = out.len();
        group::begin(out);
        let mut count = 0;
        while let Some(write) = Waiting::first(&run.bytes[self.ahead.at..]) {
            let new = write.table.filter(|number| {
                let met = self.met.get(*number as usize);
                met != Some(&self.groups)
            });
            let bytes = write.bytes.len() + if new.is_some() { ID_BYTES } else { 0 };
            let fits = out.len() + bytes <= room || (any && count == 0);
            let full = count > 0 && out.len() - begin + bytes > group::FULL_BYTES;
            if !fits || full {
                break;
            }
            match new {
                Some(number) => {
                    write.introduce(out, number, &self.ids[number as usize]);
                    self.met[number as usize] = self.groups;
                }
                None => out.extend_from_slice(write.bytes),
            }
            self.ahead.at += write.bytes.len();
            count += 1;
        }
        if count == 0 {
            out.truncate(begin);
        }
        count
    }

    /// The groups of the piece that was sealed last.
    pub(super) fn sealed(&self) -> &[u8] {
        &self.sealed
    }

    /// What was sealed is on disk.
    pub(super) fn commit(&mut self) {
        for run in self.runs.drain(..self.ahead.run) {
            let mut bytes = run.bytes;
            bytes.clear();
            if self.buffers.len() < KEPT_BUFFERS && bytes.capacity() <= KEPT_BYTES {
                self.buffers.push(bytes);
            }
        }
        if let Some(run) = self.runs.front_mut() {
            run.first = Lsn(run.first.0 + self.ahead.writes);
            run.at = self.ahead.at;
        }
        self.rewind();
    }

    /// What was sealed is not on disk, or nobody knows.
    pub(super) fn rewind(&mut self) {
        self.ahead = Ahead {
            run: 0,
            at: self.runs.front().map_or(0, |run| run.at),
            writes: 0,
        };
    }
}

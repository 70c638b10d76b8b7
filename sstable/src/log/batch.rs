//! Writes on their way to the disk.

use std::{collections::VecDeque, mem};

use super::{
    Lsn,
    entries::{ID_BYTES, Tables, Waiting},
    group,
};

/// A buffer that was large once is given back down to this many bytes.
const KEPT_BYTES: usize = 4 << 20;

/// Writes in order, of which a part from the beginning may be on disk.
#[derive(Debug, Default)]
pub(super) struct Batch {
    runs: VecDeque<Run>,
    /// The newest write in it, or that was.
    end: Lsn,
    /// The ids of tables, by number.
    ids: Vec<[u8; ID_BYTES]>,
    /// In which group each table was met last.
    met: Vec<u64>,
    groups: u64,
    /// The groups of the last piece.
    sealed: Vec<u8>,
    /// A buffer that is not used.
    buffer: Vec<u8>,
}

/// Writes whose numbers follow each other: after a restart there may be a gap between what is written anew and
/// what is new.
#[derive(Debug)]
struct Run {
    /// The number of the first write that is not on disk.
    first: Lsn,
    /// The newest write.
    end: Lsn,
    bytes: Vec<u8>,
    /// Where the first write begins that is not on disk.
    at: usize,
}

/// Writes at the front of a batch that go into one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// What they took in the batch.
    waiting: usize,
    /// What they take in the segment.
    pub(super) bytes: usize,
    pub(super) records: u64,
    /// The newest of them.
    pub(super) last: Lsn,
}

impl Batch {
    /// Adds a write that was read from the log.
    pub(super) fn push(&mut self, tables: &mut Tables, lsn: Lsn, body: &[u8]) {
        let mut bytes = mem::take(&mut self.buffer);
        tables.put(&mut bytes, body);
        self.take(tables, &mut bytes, lsn, lsn);
        bytes.clear();
        self.buffer = bytes;
    }

    /// Takes what was gathered, writes from `first` to `end`, behind what it has; leaves an empty buffer there.
    pub(super) fn take(&mut self, tables: &Tables, gathered: &mut Vec<u8>, first: Lsn, end: Lsn) {
        self.ids.extend_from_slice(&tables.ids()[self.ids.len()..]);
        self.end = end;
        match self.runs.back_mut() {
            _ if gathered.is_empty() => {}
            Some(run) if run.end.next() == first => {
                run.bytes.extend_from_slice(gathered);
                run.end = end;
                gathered.clear();
            }
            _ => {
                let mut bytes = mem::take(&mut self.buffer);
                bytes.clear();
                bytes.shrink_to(KEPT_BYTES);
                mem::swap(&mut bytes, gathered);
                self.runs.push_back(Run {
                    first,
                    end,
                    bytes,
                    at: 0,
                });
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The newest write that it has, or had.
    pub(super) fn end(&self) -> Lsn {
        self.end
    }

    /// The number of the first write, if there is one.
    pub(super) fn first(&self) -> Option<Lsn> {
        self.runs.front().map(|run| run.first)
    }

    /// Makes groups of as many writes as fit into `room` bytes of a segment; of at least one if `any`. Their
    /// numbers follow each other: a segment in which a number is missing would look damaged.
    pub(super) fn seal(&mut self, room: usize, any: bool, segment: u64, synced: Lsn) -> Option<Piece> {
        let mut out = mem::take(&mut self.sealed);
        out.clear();
        out.shrink_to(KEPT_BYTES);
        let (mut waiting, mut records) = (0, 0);
        loop {
            let begin = out.len();
            let (taken, count) = self.put_group(waiting, room, any && records == 0, &mut out);
            let Some(run) = self.runs.front().filter(|_| count > 0) else {
                break;
            };
            let first = Lsn(run.first.0 + records);
            group::seal(&mut out[begin..], first, segment, synced);
            waiting += taken;
            records += count;
        }
        let piece = Piece {
            waiting,
            bytes: out.len(),
            records,
            last: Lsn((self.runs.front()?.first.0 + records).saturating_sub(1)),
        };
        self.sealed = out;
        (records > 0).then_some(piece)
    }

    /// Appends a group that has yet to be sealed, of writes from `skip` bytes on, and tells how many bytes of
    /// those that wait it took, and how many writes; nothing if there are none.
    fn put_group(&mut self, skip: usize, room: usize, any: bool, out: &mut Vec<u8>) -> (usize, u64) {
        let Some(run) = self.runs.front() else {
            return (0, 0);
        };
        self.groups += 1;
        self.met.resize(self.ids.len(), 0);
        let begin = out.len();
        group::begin(out);
        let (mut taken, mut count) = (0, 0);
        while let Some(write) = Waiting::first(&run.bytes[run.at + skip + taken..]) {
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
            taken += write.bytes.len();
            count += 1;
        }
        if count == 0 {
            out.truncate(begin);
        }
        (taken, count)
    }

    /// The groups of the piece that was sealed last.
    pub(super) fn sealed(&self) -> &[u8] {
        &self.sealed
    }

    /// A piece is on disk.
    pub(super) fn advance(&mut self, piece: Piece) {
        let Some(run) = self.runs.front_mut() else { return };
        run.at += piece.waiting;
        run.first = piece.last.next();
        if run.at == run.bytes.len()
            && let Some(run) = self.runs.pop_front()
        {
            self.buffer = run.bytes;
        }
    }
}

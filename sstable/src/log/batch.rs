//! Writes on their way to the disk.

use std::mem;

use super::{Lsn, record};

/// A buffer that was large once is given back down to this many bytes.
const KEPT_BYTES: usize = 4 << 20;

/// Records in order, of which a part from the beginning may be on disk.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Where the first record begins that is not on disk.
    at: usize,
    /// The newest write in it.
    end: Lsn,
}

/// Records at the front of a batch that go into one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bytes: usize,
    pub(super) records: u64,
    /// The newest of them.
    pub(super) last: Lsn,
}

impl Batch {
    /// Records that were put together elsewhere; the newest is `end`.
    pub(super) fn new(bytes: Vec<u8>, end: Lsn) -> Self {
        Self { bytes, at: 0, end }
    }

    /// Takes what was gathered, behind what it has; leaves an empty buffer there.
    pub(super) fn take(&mut self, gathered: &mut Vec<u8>, end: Lsn) {
        if self.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.at = 0;
            mem::swap(&mut self.bytes, gathered);
        } else {
            self.bytes.extend_from_slice(gathered);
            gathered.clear();
        }
        self.end = end;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The newest write that it has, or had.
    pub(super) fn end(&self) -> Lsn {
        self.end
    }

    /// The number of the first write.
    pub(super) fn first(&self) -> Lsn {
        record::extent(&self.bytes[self.at..]).1
    }

    /// Seals as many records as fit into `room` bytes of a segment; at least one if `any`. Their numbers follow each
    /// other: after a restart there may be a gap between what is written anew and what is new, and a segment in
    /// which a number is missing would look damaged.
    pub(super) fn seal(&mut self, room: usize, any: bool, segment: u64, synced: Lsn) -> Option<Piece> {
        let mut piece = Piece {
            bytes: 0,
            records: 0,
            last: synced,
        };
        let left = &mut self.bytes[self.at..];
        while piece.bytes < left.len() {
            let (length, lsn) = record::extent(&left[piece.bytes..]);
            let end = piece.bytes + length;
            let follows = piece.records == 0 || lsn == piece.last.next();
            if !follows || (end > room && !(any && piece.records == 0)) {
                break;
            }
            record::seal(&mut left[piece.bytes..end], segment, synced);
            piece = Piece {
                bytes: end,
                records: piece.records + 1,
                last: lsn,
            };
        }
        (piece.records > 0).then_some(piece)
    }

    /// The bytes of a piece.
    pub(super) fn bytes(&self, piece: Piece) -> &[u8] {
        &self.bytes[self.at..self.at + piece.bytes]
    }

    /// A piece is on disk.
    pub(super) fn advance(&mut self, piece: Piece) {
        self.at += piece.bytes;
    }
}

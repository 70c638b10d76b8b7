//! What a memtable's partitions hold.
//!
//! Most partitions get one row, and most of those one write. Such a partition is one record in the arena:
//!
//! ```text
//! 0   4  the write's number, counted from the memtable's first
//! 4   4  length of the row, and whether it has room to grow
//! 8   8  token, in its order
//! 16  2  length of the key
//! 18  2  length of the clustering
//! 20     key, clustering, encoded row, its room
//! ```
//!
//! All numbers are little-endian. Partitions with more, or with anything but a row, are [`Wide`].

use super::{
    arena::{Arena, Place},
    heap::{Heap, Length},
    index,
    wide::Wide,
};
use crate::log::Lsn;

/// A content that is wide.
const WIDE: u32 = 1 << 31;
const HEADER_BYTES: usize = 20;

/// The content of all partitions.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) heap: Heap,
    wide: Vec<Wide>,
    /// The oldest write, from which the records count theirs.
    pub(super) first: Lsn,
}

/// The content of one partition.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    Row(Record<'a>),
    Wide(&'a Wide),
}

/// A partition that is one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) last: Lsn,
    pub(super) token: u64,
    pub(super) key: &'a [u8],
    pub(super) clustering: &'a [u8],
    pub(super) row: &'a [u8],
}

/// How long the parts of a record are.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    key: usize,
    clustering: usize,
    row: Length,
}

impl Contents {
    /// Adds a partition with one row.
    pub(super) fn put_record(&mut self, record: &Record<'_>) -> u32 {
        let header = self.header(record);
        self.heap.note(record.row.len());
        self.arena_mut()
            .put(&[&header, record.key, record.clustering, record.row])
            .0
    }

    /// Replaces a partition's record by one with the same key and clustering; where it lies from now on.
    pub(super) fn replace_record(&mut self, at: u32, lsn: Lsn, row: &[u8]) -> u32 {
        let bytes = self.heap.arena.at(Place(at));
        let lengths = Lengths::of(bytes);
        let names = HEADER_BYTES..HEADER_BYTES + lengths.key + lengths.clustering;
        let mut header: [u8; HEADER_BYTES] = [0; HEADER_BYTES];
        header.copy_from_slice(&bytes[..HEADER_BYTES]);
        header[..4].copy_from_slice(&self.since_first(lsn).to_le_bytes());
        if row.len() <= lengths.row.room() {
            header[4..8].copy_from_slice(&lengths.row.replaced_by(row).bytes());
            let bytes = self.arena_mut().at_mut(Place(at));
            bytes[..HEADER_BYTES].copy_from_slice(&header);
            bytes[names.end..names.end + row.len()].copy_from_slice(row);
            return at;
        }
        let length = Length::roomy(row);
        header[4..8].copy_from_slice(&length.bytes());
        let names = bytes[names].to_vec();
        self.heap.note(row.len());
        self.arena_mut().put(&[&header, &names, row, length.padding()]).0
    }

    fn arena_mut(&mut self) -> &mut Arena {
        &mut self.heap.arena
    }

    fn header(&self, record: &Record<'_>) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&self.since_first(record.last).to_le_bytes());
        header[4..8].copy_from_slice(&Length::exact(record.row).bytes());
        header[8..16].copy_from_slice(&record.token.to_le_bytes());
        header[16..18].copy_from_slice(&(record.key.len() as u16).to_le_bytes());
        header[18..20].copy_from_slice(&(record.clustering.len() as u16).to_le_bytes());
        header
    }

    fn since_first(&self, lsn: Lsn) -> u32 {
        // A memtable is full long before it took so many writes.
        u32::try_from(lsn.0 - self.first.0).unwrap_or(u32::MAX)
    }

    /// Adds a wide partition.
    pub(super) fn put_wide(&mut self, wide: Wide) -> u32 {
        self.wide.push(wide);
        (self.wide.len() - 1) as u32 | WIDE
    }

    /// A wide partition, and the heap that its rows lie in.
    pub(super) fn wide_mut(&mut self, at: u32) -> Option<(&mut Wide, &mut Heap)> {
        if at & WIDE == 0 {
            return None;
        }
        let wide = &mut self.wide[(at & !WIDE) as usize];
        Some((wide, &mut self.heap))
    }

    /// The content of a partition.
    pub(super) fn at(&self, at: u32) -> Content<'_> {
        if at & WIDE == 0 {
            Content::Row(self.record(at))
        } else {
            Content::Wide(&self.wide[(at & !WIDE) as usize])
        }
    }

    fn record(&self, at: u32) -> Record<'_> {
        let bytes = self.heap.arena.at(Place(at));
        let lengths = Lengths::of(bytes);
        let (key, rest) = bytes[HEADER_BYTES..].split_at(lengths.key);
        let (clustering, rest) = rest.split_at(lengths.clustering);
        Record {
            last: Lsn(self.first.0 + u64::from(number(bytes, 0))),
            token: u64::from(number(bytes, 12)) << 32 | u64::from(number(bytes, 8)),
            key,
            clustering,
            row: &rest[..lengths.row.get()],
        }
    }
}

impl Lengths {
    #[inline]
    fn of(record: &[u8]) -> Self {
        let names = number(record, 16);
        Self {
            key: (names & 0xFFFF) as usize,
            clustering: (names >> 16) as usize,
            row: Length::from_bytes(number(record, 4).to_le_bytes()),
        }
    }
}

#[inline]
fn number(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
}

impl index::Contents for Contents {
    fn token(&self, content: u32) -> u64 {
        self.at(content).token()
    }

    fn key(&self, content: u32) -> &[u8] {
        self.at(content).key()
    }
}

impl<'a> Content<'a> {
    pub(super) fn token(&self) -> u64 {
        match self {
            Self::Row(record) => record.token,
            Self::Wide(wide) => wide.token,
        }
    }

    pub(super) fn key(&self) -> &'a [u8] {
        match self {
            Self::Row(record) => record.key,
            Self::Wide(wide) => &wide.key,
        }
    }

    /// The newest write to the partition.
    pub(super) fn last(&self) -> Lsn {
        match self {
            Self::Row(record) => record.last,
            Self::Wide(wide) => wide.last,
        }
    }
}

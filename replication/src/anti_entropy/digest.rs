//! What equal data has in common, wherever and however it is stored: a sum of hashes.
//!
//! Each row, static row and partition deletion is hashed (XXH3-128) in a layout of its own together with its place; the digest of a range is the wrapping sum of those hashes. A sum does not depend on an order, so a range's
//! digest is the sum of its parts' digests, however it is cut into parts.
//!
//! A range tombstone has no single place, and a page may cut it anywhere. Where a deletion `d` begins at `p` counts
//! `+G(p, d)`, where it ends counts `-G(p, d)`: what a cut adds to the part before it is what it takes from the part
//! behind it.
//!
//! What may be purged by now is left out, because one replica may have done so and another not. The data that
//! it shadows would differ, so nothing is missed. That something was left out is told with the digest.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use starling_model::{
    Cell, CellValue, ClusteringRange, DecoratedKey, Deletion, Partition, Row, Seconds, encoding::Writer,
};
use xxhash_rust::xxh3::xxh3_128;

/// How long before it may be purged something is left out, in seconds: so far may clocks be apart without replicas
/// seeming to differ.
const SKEW: u32 = 60;

/// The digest of a range: of nothing, all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The wrapping sum of the hashes.
    pub sum: u128,
    /// How many rows there are, static rows and partition deletions among them.
    pub rows: u64,
    /// From this second on the digest holds...
    pub from: Seconds,
    /// ...and before this one: then something is left out that counts now.
    pub until: Seconds,
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            sum: 0,
            rows: 0,
            from: Seconds(0),
            until: Seconds::MAX,
        }
    }
}

impl Digest {
    /// Adds another part's digest.
    pub fn add(&mut self, other: &Self) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.rows = self.rows.saturating_add(other.rows);
        self.from = self.from.max(other.from);
        self.until = self.until.min(other.until);
    }

    /// Whether it is what a scan at `now` would give, if the data is the same.
    pub fn holds_at(&self, now: Seconds) -> bool {
        self.from <= now && now < self.until
    }

    /// Whether something was left out that may be purged: then data with the same digest may have it, or not.
    pub fn leaves_out(&self) -> bool {
        self.from > Seconds(0)
    }

    /// Whether both are of equal data.
    pub fn agrees(&self, other: &Self) -> bool {
        self.sum == other.sum && self.rows == other.rows
    }
}

/// At which second one looks, and how long the table keeps what is deleted (`gc_grace_seconds`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// When one looks.
    pub now: Seconds,
    /// `gc_grace_seconds`.
    pub grace: u32,
}

impl View {
    /// The second from which on something deleted or expired at `at` is left out: it is no later than when a replica
    /// may purge it, and not before it is dead.
    fn end(self, at: Seconds) -> Seconds {
        at.max(Seconds(at.0.saturating_add(self.grace).saturating_sub(SKEW)))
    }

    /// What was deleted or expired before this second is left out.
    pub(crate) fn forgettable(self) -> Seconds {
        let purged = self.now.0.saturating_sub(self.grace).saturating_add(SKEW);
        Seconds(purged.min(self.now.0))
    }

    /// Whether it still counts; notes until when that holds.
    fn counts(self, at: Seconds, digest: &mut Digest) -> bool {
        let end = self.end(at);
        if end <= self.now {
            digest.from = digest.from.max(end).max(Seconds(1));
            return false;
        }
        digest.until = digest.until.min(end);
        true
    }

    fn cell(self, cell: &Cell, digest: &mut Digest) -> bool {
        match &cell.value {
            CellValue::Tombstone(at) => self.counts(*at, digest),
            CellValue::Live { expiry, .. } => expiry.is_none_or(|expiry| self.counts(expiry.at, digest)),
        }
    }
}

/// What is hashed. Never changes: nodes of different releases compare sums.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    Deletion = 0,
    Static = 1,
    Row = 2,
    Tombstone = 3,
    /// Where a tombstone that reaches to the partition's end ends.
    End = 4,
}

/// Hashes, with memory that is used again.
pub struct Hasher {
    view: View,
    out: Writer,
}

impl Hasher {
    /// Hashes what counts as `view` has it.
    pub fn new(view: View) -> Self {
        Self {
            view,
            out: Writer::with_capacity(512),
        }
    }

    /// Adds a part of a partition: what of `partition` lies in `window`, and where the window begins with the
    /// partition, its deletion and static row.
    pub fn partition(
        &mut self,
        digest: &mut Digest,
        key: &DecoratedKey,
        partition: &Partition,
        window: &ClusteringRange,
    ) {
        if window.start.is_empty() {
            self.head(digest, key, partition);
        }
        for tombstone in &partition.ranges {
            let range = tombstone.range.intersect(window);
            if !range.is_empty() && self.view.counts(tombstone.deletion.at, digest) {
                let begin = self.edge(key, Some(&range.start), tombstone.deletion);
                let end = self.edge(key, range.end.as_ref(), tombstone.deletion);
                digest.sum = digest.sum.wrapping_add(begin).wrapping_sub(end);
            }
        }
        for (clustering, row) in partition.range(window) {
            self.row(digest, key, Kind::Row, &clustering.0, row);
        }
    }

    fn head(&mut self, digest: &mut Digest, key: &DecoratedKey, partition: &Partition) {
        if let Some(deletion) = partition.deletion
            && self.view.counts(deletion.at, digest)
        {
            self.begin(Kind::Deletion, key);
            self.deletion(deletion);
            self.count(digest);
        }
        if !partition.static_row.is_empty() {
            self.row(digest, key, Kind::Static, &[], &partition.static_row);
        }
    }

    fn row(&mut self, digest: &mut Digest, key: &DecoratedKey, kind: Kind, clustering: &[u8], row: &Row) {
        let counting = self.counting(row, digest);
        let row = counting.as_ref().unwrap_or(row);
        if row.is_empty() {
            return;
        }
        self.begin(kind, key);
        self.out.bytes(clustering);
        self.content(row);
        self.count(digest);
    }

    /// What of a row still counts; `None`: all.
    fn counting(&self, row: &Row, digest: &mut Digest) -> Option<Row> {
        let view = self.view;
        let deletion = row.deletion.filter(|deletion| view.counts(deletion.at, digest));
        let lives = |marker: &starling_model::Marker, digest: &mut Digest| {
            marker.expiry.is_none_or(|expiry| view.counts(expiry.at, digest))
        };
        let marker = row.marker.filter(|marker| lives(marker, digest));
        // Every cell is asked, for the time until when the digest holds.
        let counting = row.cells.iter().filter(|cell| view.cell(cell, digest)).count();
        if deletion == row.deletion && marker == row.marker && counting == row.cells.len() {
            return None;
        }
        let mut ignored = Digest::default();
        let cells = row.cells.iter().filter(|cell| view.cell(cell, &mut ignored));
        Some(Row {
            marker,
            deletion,
            cells: cells.cloned().collect(),
        })
    }

    /// A row's content, each part behind a byte that names it. On purpose not the encoding of the model: that may
    /// change from release to release.
    fn content(&mut self, row: &Row) {
        if let Some(marker) = row.marker {
            self.out.byte(b'm');
            self.out.timestamp(marker.timestamp);
            self.expiry(marker.expiry);
        }
        if let Some(deletion) = row.deletion {
            self.out.byte(b'd');
            self.deletion(deletion);
        }
        for cell in &row.cells {
            self.out.byte(if cell.path.is_some() { b'e' } else { b'c' });
            self.out.varint(u64::from(cell.column.0));
            self.out.bytes(cell.path.as_deref().unwrap_or(&[]));
            self.out.timestamp(cell.timestamp);
            match &cell.value {
                CellValue::Tombstone(at) => {
                    self.out.byte(b't');
                    self.out.varint(u64::from(at.0));
                }
                CellValue::Live { value, expiry } => {
                    self.expiry(*expiry);
                    self.out.bytes(value);
                }
            }
        }
    }

    fn expiry(&mut self, expiry: Option<starling_model::Expiry>) {
        match expiry {
            None => self.out.byte(b'l'),
            Some(expiry) => {
                self.out.byte(b'x');
                self.out.varint(u64::from(expiry.at.0));
                self.out.varint(u64::from(expiry.ttl));
            }
        }
    }

    fn deletion(&mut self, deletion: Deletion) {
        self.out.timestamp(deletion.timestamp);
        self.out.varint(u64::from(deletion.at.0));
    }

    /// The hash of an edge of a range tombstone.
    fn edge(&mut self, key: &DecoratedKey, at: Option<&Bytes>, deletion: Deletion) -> u128 {
        self.begin(if at.is_some() { Kind::Tombstone } else { Kind::End }, key);
        self.out.bytes(at.map_or(&[], |at| &at[..]));
        self.deletion(deletion);
        xxh3_128(self.out.as_slice())
    }

    fn begin(&mut self, kind: Kind, key: &DecoratedKey) {
        self.out.clear();
        self.out.byte(kind as u8);
        self.out.bytes(&key.key);
    }

    fn count(&self, digest: &mut Digest) {
        digest.sum = digest.sum.wrapping_add(xxh3_128(self.out.as_slice()));
        digest.rows += 1;
    }
}

/// The digest of a whole partition.
#[cfg(test)]
pub(crate) fn of_partition(key: &DecoratedKey, partition: &Partition, view: View) -> Digest {
    let mut digest = Digest::default();
    Hasher::new(view).partition(&mut digest, key, partition, &ClusteringRange::ALL);
    digest
}

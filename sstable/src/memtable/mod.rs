//! Writes in memory, before they are in a table.
//!
//! A memtable has one writer and is made for uniform tokens: `index` computes where a partition is, and the
//! encoded rows lie in an `arena` as they came. A write of one row to a new partition, by far the usual one, is
//! a copy of its bytes; what comes later is merged as bytes too. Nothing is decoded but deletions and static
//! columns.
//!
//! - [`write`](mod@write): a mutation that was checked, and can be applied;
//! - `content` and `wide`: what is held of a partition with one row, and of one with more;
//! - `heap`: where the rows lie, `grown`: what is held of a large one that grows by small writes;
//! - [`part`] and [`cursor`]: how it is read, by partition and entry by entry.

mod arena;
mod content;
pub mod cursor;
pub mod facts;
mod grown;
mod heap;
mod index;
pub mod part;
mod row_key;
mod wide;
pub mod write;

use std::sync::Arc;

use starling_model::{
    DecodeError, DecoratedKey, Timestamp, Token, TokenRange, TokenSet, encoding::RowMerger,
};

pub use arena::Pool;
pub use cursor::Cursor;
pub use facts::Facts;
pub use part::Part;
pub use write::Write;

use crate::log::Lsn;
use content::{Content, Contents, Record};
use heap::{Heap, is_apart};
use index::{Index, Spot};
use wide::{WIDE_BYTES, Wide};

/// The most that a memtable can hold, in bytes.
pub const MAX_BYTES: usize = arena::MAX_BYTES;

/// The writes to one table since its last flush began, merged by partition.
#[derive(Debug, Default)]
pub struct Memtable {
    index: Index,
    contents: Contents,
    /// Bytes held by wide partitions outside of the heap, about.
    outside: usize,
    last: Lsn,
    facts: Facts,
    merger: RowMerger,
}

impl Memtable {
    /// An empty one whose memory comes from `pool` and goes there.
    pub fn with_pool(pool: &Arc<Pool>) -> Self {
        let mut memtable = Self::default();
        memtable.contents.heap.share(pool);
        memtable
    }

    /// Merges a write in. Numbers never go back. An error says that the write is not what was checked, and can
    /// only come from memory that went bad.
    pub fn apply(&mut self, lsn: Lsn, write: &Write<'_>) -> Result<(), DecodeError> {
        debug_assert!(lsn > self.last);
        if self.is_empty() {
            self.contents.first = lsn;
        }
        self.last = lsn;
        self.facts.add(write.facts);
        let token = place(write.view.token);
        let found = self.index.find(token, write.view.key, &self.contents);
        match &write.content {
            write::Content::Row(entry) => {
                let record = Record {
                    last: lsn,
                    token,
                    key: write.view.key,
                    clustering: entry.clustering,
                    row: entry.encoded,
                };
                match found {
                    Err(spot) => {
                        let content = self.contents.put_record(&record);
                        self.index.insert(spot, token, content, &self.contents);
                        Ok(())
                    }
                    Ok(spot) => self.merge_row(spot, &record),
                }
            }
            write::Content::Any(partition) => {
                let at = match found {
                    Ok(spot) => self.widen(spot, lsn),
                    Err(spot) => {
                        let at = self.new_wide(token, write.view.key);
                        self.index.insert(spot, token, at, &self.contents);
                        at
                    }
                };
                if let Some((wide, heap)) = self.contents.wide_mut(at) {
                    wide.last = lsn;
                    self.outside += wide.merge(partition, heap, &mut self.merger)?;
                }
                Ok(())
            }
        }
    }

    /// Merges a row into a partition that is there.
    fn merge_row(&mut self, spot: Spot, record: &Record<'_>) -> Result<(), DecodeError> {
        let at = self.index.content(spot).unwrap_or_default();
        if let Content::Row(held) = self.contents.at(at)
            && held.clustering == record.clustering
            && !is_apart(held.row, record.row)
        {
            if let Some(merged) = self.merger.merge(&[held.row, record.row], None)? {
                let at = self.contents.replace_record(at, record.last, merged);
                self.index.set(spot, at);
            }
            return Ok(());
        }
        let at = self.widen(spot, record.last);
        if let Some((wide, heap)) = self.contents.wide_mut(at) {
            self.outside += wide.put_row(record.clustering, record.row, heap, &mut self.merger)?;
        }
        Ok(())
    }

    /// Makes the partition at a spot a wide one, if it isn't yet; where its content is.
    fn widen(&mut self, spot: Spot, last: Lsn) -> u32 {
        let at = self.index.content(spot).unwrap_or_default();
        if let Some((wide, _)) = self.contents.wide_mut(at) {
            wide.last = last;
            return at;
        }
        let Content::Row(held) = self.contents.at(at) else {
            return at;
        };
        let (key, clustering, row) = (held.key.to_vec(), held.clustering.to_vec(), held.row.to_vec());
        let at = self.new_wide(held.token, &key);
        if let Some((wide, heap)) = self.contents.wide_mut(at) {
            wide.last = last;
            self.outside += wide.take_row(&clustering, row, heap);
        }
        self.index.set(spot, at);
        at
    }

    fn new_wide(&mut self, token: u64, key: &[u8]) -> u32 {
        self.outside += WIDE_BYTES + key.len();
        self.contents.put_wide(Wide::new(token, key))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// How many partitions are in it.
    pub fn partitions(&self) -> usize {
        self.index.len()
    }

    /// Memory held, in bytes.
    pub fn weight(&self) -> usize {
        self.contents.heap.bytes() + self.index.bytes() + self.outside
    }

    /// No row in it has more bytes, in its encoding.
    pub fn largest_row(&self) -> u64 {
        self.contents.heap.largest() as u64
    }

    /// The oldest write in it.
    pub fn first(&self) -> Lsn {
        self.contents.first
    }

    /// The newest write in it.
    pub fn last(&self) -> Lsn {
        self.last
    }

    /// What is known of its content.
    pub fn facts(&self) -> Facts {
        self.facts
    }

    /// The smallest timestamp in it; `None` if it is empty.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.facts.timestamps.map(|(oldest, _)| oldest)
    }

    /// One partition.
    pub fn get(&self, key: &DecoratedKey) -> Option<Part<'_>> {
        let found = self.index.find(place(key.token), &key.key, &self.contents);
        let at = self.index.content(found.ok()?)?;
        Some(Part::new(self.contents.at(at), &self.contents.heap))
    }

    /// The first partition after `after` whose token lies in `range`, which does not wrap.
    pub fn next(&self, range: TokenRange, after: Option<&DecoratedKey>) -> Option<DecoratedKey> {
        let spot = match after {
            Some(after) => {
                let token = place(after.token);
                match self.index.find(token, &after.key, &self.contents) {
                    Ok(spot) => self.index.next(spot),
                    Err(_) => self.index.seek(token, &after.key, &self.contents),
                }
            }
            // A range excludes its start; no key has the smallest token.
            None => self.seek(place(range.start).saturating_add(1), &[]),
        };
        let content = self.content(spot?)?;
        let token = Token::from_ordered_bytes(content.token().to_be_bytes());
        (token <= range.end).then(|| DecoratedKey {
            token,
            key: bytes::Bytes::copy_from_slice(content.key()),
        })
    }

    /// Whether it holds any of some tokens.
    pub fn holds(&self, tokens: &TokenSet) -> bool {
        let ranges = tokens.ranges().iter();
        !self.is_empty() && ranges.into_iter().any(|range| self.next(*range, None).is_some())
    }

    /// A cursor over all entries, as a table has them.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor::new(self)
    }

    fn seek(&self, token: u64, key: &[u8]) -> Option<Spot> {
        self.index.seek(token, key, &self.contents)
    }

    fn after(&self, spot: Spot) -> Option<Spot> {
        self.index.next(spot)
    }

    fn before(&self, spot: Spot) -> Option<Spot> {
        self.index.prev(spot)
    }

    fn last_spot(&self) -> Option<Spot> {
        self.index.last()
    }

    fn content(&self, spot: Spot) -> Option<Content<'_>> {
        self.index.content(spot).map(|at| self.contents.at(at))
    }

    fn heap(&self) -> &Heap {
        &self.contents.heap
    }
}

/// A token's place: a number in the tokens' order.
fn place(token: Token) -> u64 {
    u64::from_be_bytes(token.ordered_bytes())
}

#[cfg(test)]
mod tests;

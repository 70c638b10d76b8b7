//! Moving through a memtable's entries, both ways, in the key space of tables.

use std::{collections::btree_map, ops::Bound};

use starling_model::{Token, encoding::Writer, ordered};

use super::{
    Memtable,
    content::{Content, Record},
    heap::Slot,
    index::Spot,
    row_key::RowKey,
    wide::Wide,
};
use crate::{
    log::Lsn,
    table::{
        entry::{self, Head},
        key::Kind,
    },
};

/// A place among a memtable's entries: on one, or (after a call said `false`) on none.
///
/// Entries have the keys and values that they would have in a table (see [`crate::table::key`]), but a partition
/// has a [`Kind::Partition`] entry only if it, or a range of it, was deleted. Rows that the partition's deletion or range
/// tombstones cover may still be there.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    memtable: &'a Memtable,
    partition: Option<(Spot, Content<'a>)>,
    /// The entry's key.
    key: Vec<u8>,
    /// How much of `key` is the partition's prefix.
    prefix: usize,
    value: Value<'a>,
    rows: Option<RowsAhead<'a>>,
}

#[derive(Debug, Clone)]
enum Value<'a> {
    /// In the memtable.
    Held(&'a [u8]),
    /// Made for this entry.
    Made(Vec<u8>),
}

/// Rows of a wide partition next to the current one, so that stepping needs no search.
#[derive(Debug, Clone)]
struct RowsAhead<'a> {
    range: btree_map::Range<'a, RowKey, Slot>,
    backward: bool,
}

/// One entry of a partition.
enum Entry<'a> {
    Head(&'a Wide),
    Static(Slot),
    Range(&'a Wide, usize),
    Row { clustering: &'a [u8], row: &'a [u8] },
}

impl<'a> Cursor<'a> {
    pub(super) fn new(memtable: &'a Memtable) -> Self {
        Self {
            memtable,
            partition: None,
            key: Vec::new(),
            prefix: 0,
            value: Value::Held(&[]),
            rows: None,
        }
    }

    /// The entry's key; `None` on no entry.
    pub fn key(&self) -> Option<&[u8]> {
        self.partition.is_some().then_some(&self.key[..])
    }

    /// The entry's value; empty on no entry.
    pub fn value(&self) -> &[u8] {
        match &self.value {
            _ if self.partition.is_none() => &[],
            Value::Held(value) => value,
            Value::Made(value) => value,
        }
    }

    /// How much of the key is the prefix of the partition, in bytes.
    pub fn prefix_len(&self) -> usize {
        self.prefix
    }

    /// The newest write to the entry's partition; [`Lsn::ZERO`] on no entry.
    pub fn last_write(&self) -> Lsn {
        self.partition.map_or(Lsn::ZERO, |(_, content)| content.last())
    }

    /// Goes to the first entry of the memtable.
    pub fn first(&mut self) -> bool {
        self.seek(&[])
    }

    /// Goes to the first entry at or after `target`.
    pub fn seek(&mut self, target: &[u8]) -> bool {
        let mut spot = self.memtable.seek(place_of(target), &[]);
        while let Some(at) = spot {
            self.stand_in(at);
            let rest = match target.strip_prefix(&self.key[..]) {
                Some(rest) => Some(rest),
                None if &self.key[..] > target => Some(&[][..]),
                None => None,
            };
            if let Some(rest) = rest
                && self.first_from(rest)
            {
                return true;
            }
            spot = self.memtable.after(at);
        }
        self.partition = None;
        false
    }

    /// Goes to the last entry before `target`.
    pub fn seek_before(&mut self, target: &[u8]) -> bool {
        if self.seek(target) {
            return self.prev();
        }
        self.back_from(self.memtable.last_spot())
    }

    /// Goes to the next entry. On no entry it stays there.
    #[allow(
        clippy::should_implement_trait,
        reason = "a cursor that can go back is no iterator"
    )]
    pub fn next(&mut self) -> bool {
        let Some((spot, content)) = self.partition else {
            return false;
        };
        if let Content::Wide(wide) = content {
            if self.next_row(wide, false) {
                return true;
            }
            let mut rest = self.key[self.prefix..].to_vec();
            rest.push(0);
            if self.first_from(&rest) {
                return true;
            }
        }
        match self.memtable.after(spot) {
            Some(spot) => {
                self.stand_in(spot);
                self.first_from(&[])
            }
            None => {
                self.partition = None;
                false
            }
        }
    }

    /// Goes to the entry before. On no entry it stays there.
    pub fn prev(&mut self) -> bool {
        let Some((spot, content)) = self.partition else {
            return false;
        };
        if let Content::Wide(wide) = content {
            if self.next_row(wide, true) {
                return true;
            }
            let rest = self.key[self.prefix..].to_vec();
            if self.last_before(&rest) {
                return true;
            }
        }
        self.back_from(self.memtable.before(spot))
    }

    fn back_from(&mut self, mut spot: Option<Spot>) -> bool {
        while let Some(at) = spot {
            self.stand_in(at);
            if self.last_before(&[u8::MAX]) {
                return true;
            }
            spot = self.memtable.before(at);
        }
        self.partition = None;
        false
    }

    /// Goes to a partition, but to no entry of it yet.
    fn stand_in(&mut self, spot: Spot) {
        let content = self.memtable.content(spot);
        self.rows = None;
        self.key.clear();
        self.partition = content.map(|content| (spot, content));
        if let Some(content) = content {
            self.key
                .extend_from_slice(&token(content.token()).ordered_bytes());
            ordered::put_bytes(&mut self.key, content.key());
        }
        self.prefix = self.key.len();
    }

    /// Goes to the partition's first entry whose key without the prefix is at least `rest`.
    fn first_from(&mut self, rest: &[u8]) -> bool {
        let Some((_, content)) = self.partition else {
            return false;
        };
        let found = match content {
            Content::Row(record) => is_row_from(&record, rest).then(|| row_of(record)),
            Content::Wide(wide) => self.wide_from(wide, rest),
        };
        self.stand_on(found)
    }

    /// Goes to the partition's last entry whose key without the prefix is before `rest`.
    fn last_before(&mut self, rest: &[u8]) -> bool {
        let Some((_, content)) = self.partition else {
            return false;
        };
        let found = match content {
            Content::Row(record) => (!is_row_from(&record, rest)).then(|| row_of(record)),
            Content::Wide(wide) => self.wide_before(wide, rest),
        };
        self.stand_on(found)
    }

    fn wide_from(&mut self, wide: &'a Wide, rest: &[u8]) -> Option<Entry<'a>> {
        let (kind, clustering) = rest.split_first().map_or((0, rest), |(kind, rest)| (*kind, rest));
        let before = |own: Kind| kind < own as u8 || (kind == own as u8 && clustering.is_empty());
        if before(Kind::Partition) && has_head(wide) {
            return Some(Entry::Head(wide));
        }
        if before(Kind::Static)
            && let Some(slot) = wide.static_row
        {
            return Some(Entry::Static(slot));
        }
        let from = |own: Kind| if kind < own as u8 { &[] } else { clustering };
        if kind <= Kind::Range as u8 {
            let all = wide.ranges.iter().as_slice();
            let at = all.partition_point(|tombstone| tombstone.range.start < from(Kind::Range));
            if at < all.len() {
                return Some(Entry::Range(wide, at));
            }
        }
        if kind > Kind::Row as u8 {
            return None;
        }
        let from = Bound::Included(from(Kind::Row));
        let range = wide.rows().range::<[u8], _>((from, Bound::Unbounded));
        self.rows = Some(RowsAhead {
            range,
            backward: false,
        });
        self.take_row()
    }

    fn wide_before(&mut self, wide: &'a Wide, rest: &[u8]) -> Option<Entry<'a>> {
        let (kind, clustering) = rest.split_first().map_or((0, rest), |(kind, rest)| (*kind, rest));
        if kind >= Kind::Row as u8 {
            let to = if kind == Kind::Row as u8 {
                Bound::Excluded(clustering)
            } else {
                Bound::Unbounded
            };
            let range = wide.rows().range::<[u8], _>((Bound::Unbounded, to));
            self.rows = Some(RowsAhead {
                range,
                backward: true,
            });
            if let Some(row) = self.take_row() {
                return Some(row);
            }
        }
        if kind >= Kind::Range as u8 {
            let all = wide.ranges.iter().as_slice();
            let is_before = |start: &[u8]| kind > Kind::Range as u8 || start < clustering;
            let count = all.partition_point(|tombstone| is_before(&tombstone.range.start));
            if let Some(at) = count.checked_sub(1) {
                return Some(Entry::Range(wide, at));
            }
        }
        let after = |own: Kind| kind > own as u8 || (kind == own as u8 && !clustering.is_empty());
        if after(Kind::Static)
            && let Some(slot) = wide.static_row
        {
            return Some(Entry::Static(slot));
        }
        (after(Kind::Partition) && has_head(wide)).then_some(Entry::Head(wide))
    }

    /// Goes to the neighbour of a row; `false` if the entry is no row or the last one on this side.
    fn next_row(&mut self, wide: &'a Wide, backward: bool) -> bool {
        let clustering = match self.key.get(self.prefix..) {
            Some([kind, clustering @ ..]) if *kind == Kind::Row as u8 => clustering,
            _ => return false,
        };
        if self.rows.as_ref().is_none_or(|rows| rows.backward != backward) {
            let bounds = if backward {
                (Bound::Unbounded, Bound::Excluded(clustering))
            } else {
                (Bound::Excluded(clustering), Bound::Unbounded)
            };
            let range = wide.rows().range::<[u8], _>(bounds);
            self.rows = Some(RowsAhead { range, backward });
        }
        let row = self.take_row();
        row.is_some() && self.stand_on(row)
    }

    fn take_row(&mut self) -> Option<Entry<'a>> {
        let rows = self.rows.as_mut()?;
        let next = if rows.backward {
            rows.range.next_back()
        } else {
            rows.range.next()
        };
        let (key, slot) = next?;
        Some(Entry::Row {
            clustering: key.as_slice(),
            row: self.memtable.heap().row(*slot),
        })
    }

    fn stand_on(&mut self, entry: Option<Entry<'a>>) -> bool {
        let Some(entry) = entry else { return false };
        self.key.truncate(self.prefix);
        match entry {
            Entry::Row { clustering, row } => {
                self.key.push(Kind::Row as u8);
                self.key.extend_from_slice(clustering);
                self.value = Value::Held(row);
            }
            Entry::Static(slot) => {
                self.key.push(Kind::Static as u8);
                self.value = Value::Held(self.memtable.heap().row(slot));
            }
            Entry::Head(wide) => {
                self.key.push(Kind::Partition as u8);
                let head = Head {
                    deletion: wide.deletion,
                    ranges: !wide.ranges.is_empty(),
                };
                self.value = made(|out| entry::put_head(out, head));
            }
            Entry::Range(wide, at) => {
                let tombstone = &wide.ranges.iter().as_slice()[at];
                self.key.push(Kind::Range as u8);
                self.key.extend_from_slice(&tombstone.range.start);
                self.value = made(|out| entry::put_range(out, tombstone));
            }
        }
        true
    }
}

fn has_head(wide: &Wide) -> bool {
    wide.deletion.is_some() || !wide.ranges.is_empty()
}

fn made(put: impl FnOnce(&mut Writer)) -> Value<'static> {
    let mut out = Writer::default();
    put(&mut out);
    Value::Made(out.into_vec())
}

fn row_of(record: Record<'_>) -> Entry<'_> {
    Entry::Row {
        clustering: record.clustering,
        row: record.row,
    }
}

/// Whether a record's row comes at or after `rest`, a key without its prefix.
fn is_row_from(record: &Record<'_>, rest: &[u8]) -> bool {
    match rest.split_first() {
        None => true,
        Some((kind, clustering)) => (Kind::Row as u8, record.clustering) >= (*kind, clustering),
    }
}

/// The token that a key starts with, in its order; what is missing counts as zeros.
fn place_of(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = key.len().min(8);
    bytes[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(bytes)
}

fn token(place: u64) -> Token {
    Token::from_ordered_bytes(place.to_be_bytes())
}

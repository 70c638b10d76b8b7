//! Making a table, entry by entry, in constant memory.
//!
//! - `output`: blocks, stripes and the rest as they go to the file.

mod output;

use std::{path::PathBuf, sync::Arc};

use starling_model::{Clustering, DecodeError, DecoratedKey, RangeTombstone, Row, encoding};

use super::{
    Cursor, Table,
    block::{self, common_prefix},
    entry::{self, Head},
    filter,
    key::{self, Kind},
    layout,
    properties::Collector,
};
use crate::{Compression, Error, fs::Fs, log::Lsn};
use output::{Block, Output};

/// The largest row in its encoding, in bytes; one block must hold it.
pub const MAX_ROW_BYTES: usize = layout::MAX_CONTENT_BYTES / 2;

/// How a table is written.
#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// Content of a block, about, in bytes.
    pub block_bytes: usize,
    /// Compression of data blocks. Index and filter are never compressed.
    pub compression: Compression,
    /// Bits of the filter per partition.
    pub filter_bits: u32,
}

/// Writes one table. Entries come in the order of their keys: partitions by token and key; in each, the
/// head, the static row, the range tombstones (disjoint), the rows.
pub struct TableWriter {
    path: PathBuf,
    block_bytes: usize,
    output: Output,
    block: block::Builder,
    /// The last key that was written.
    last: Vec<u8>,
    /// How much of it is the partition's prefix.
    prefix: usize,
    /// A key after the last block's entries and not after this block's.
    separator: Vec<u8>,
    /// What the filter knows of the partitions that begin in this block.
    hashes: Vec<u64>,
    collector: Collector,
    raw_bytes: u64,
    /// Whose blocks it may take as they are.
    origin: Option<Arc<Table>>,
    /// For callers that come with keys in parts and values not encoded.
    key: Vec<u8>,
    begun: usize,
}

impl TableWriter {
    /// Begins a table in a new file. `newest` is the newest write whose data it will hold.
    pub fn new(fs: &Arc<dyn Fs>, path: PathBuf, newest: Lsn, options: WriterOptions) -> Result<Self, Error> {
        let file = fs.create(&path).map_err(Error::io("create", &path))?;
        Ok(Self {
            output: Output::new(file, path.clone(), options.compression, options.filter_bits)?,
            path,
            block_bytes: options.block_bytes,
            block: block::Builder::default(),
            last: Vec::new(),
            prefix: 0,
            separator: Vec::new(),
            hashes: Vec::new(),
            collector: Collector::new(newest),
            raw_bytes: 0,
            origin: None,
            key: Vec::new(),
            begun: 0,
        })
    }

    /// Begins a table of a part of another, whose dictionary it takes over, so that it can [take over](Self::take_over)
    /// its blocks.
    pub fn part_of(
        fs: &Arc<dyn Fs>,
        path: PathBuf,
        origin: &Arc<Table>,
        options: WriterOptions,
    ) -> Result<Self, Error> {
        let mut writer = Self::new(fs, path, origin.properties().last, options)?;
        writer.output.adopt(origin.decompressor().dictionary())?;
        writer.origin = Some(Arc::clone(origin));
        Ok(writer)
    }

    /// About how many bytes the file has so far, those that are not written yet included.
    pub fn bytes(&self) -> u64 {
        self.output.bytes() + self.block.len() as u64
    }

    /// A hint that nobody waits for the table: it goes to the disk bit by bit, so that the log's syncs don't wait for all of it.
    pub fn sync_in_pieces(&mut self) {
        self.output.sync_in_pieces();
    }

    /// A hint that nobody will read the table soon: it need not stay in memory.
    pub fn drop_behind(&mut self) {
        self.output.drop_behind();
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// Adds an entry: its whole key (see [`super::key`]) and its value as it is encoded (see
    /// [`super::entry`]). A head that says nothing is left out.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if key or value are malformed, [`Error::TooLarge`] if they don't fit a block. The
    /// table is to be given up after an error.
    ///
    /// # Panics
    ///
    /// If the key is not greater than the one before.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let shared = common_prefix(&self.last, key);
        assert!(
            key.get(shared) > self.last.get(shared) || self.is_empty(),
            "entries come in order"
        );
        let (kind, prefix) = self
            .parts(key, shared)
            .ok_or_else(|| self.malformed("malformed key"))?;
        if kind == Kind::Partition && entry::says_nothing(value) {
            return Ok(());
        }
        check_size(key.len() + value.len())?;
        if !self.block.has_room(key.len() + value.len(), self.block_bytes) {
            self.flush_block()?;
        }
        if self.block.is_empty() {
            self.separate(key, shared);
        }
        self.count(key, (kind, prefix, shared), value)
            .map_err(|error: DecodeError| self.malformed(error.to_string()))?;
        self.block.push(key, shared, value);
        Ok(())
    }

    /// Adds all entries of the block that a cursor of the table's [origin](Self::part_of) stands at the beginning of: the
    /// block is taken as it is stored, neither taken apart nor compressed anew. The cursor stands on the block's last entry
    /// then. Returns the bytes of the keys and values.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`], of the origin, if something in the block is malformed, or out of order. The table is to be given up
    /// after an error.
    ///
    /// # Panics
    ///
    /// If the cursor is one of another table, or is not at the beginning of a block.
    pub fn take_over(&mut self, cursor: &mut Cursor) -> Result<u64, Error> {
        let is_origin = self
            .origin
            .as_ref()
            .is_some_and(|origin| Arc::ptr_eq(origin, cursor.table()));
        assert!(
            is_origin,
            "only blocks of the origin can be read with its dictionary"
        );
        assert!(cursor.begins_block(), "a block is taken over as a whole");
        self.flush_block()?;
        let before = self.raw_bytes;
        let mut begins = true;
        cursor.each_of_block(|key, value| {
            let shared = common_prefix(&self.last, key);
            if key.get(shared) <= self.last.get(shared) && !self.is_empty() {
                return Err(DecodeError::NotCanonical);
            }
            let (kind, prefix) = self.parts(key, shared).ok_or(DecodeError::NotCanonical)?;
            if std::mem::take(&mut begins) {
                self.separate(key, shared);
            }
            self.count(key, (kind, prefix, shared), value)
        })?;
        if !self.output.copy(cursor.block(), &self.separator, &self.hashes)? {
            return Err(cursor.malformed("the block changed while it was copied"));
        }
        self.hashes.clear();
        Ok(self.raw_bytes - before)
    }

    /// What the entry of a key is that follows on the last one, with which it begins in common, and how much of the key is
    /// its partition's prefix; `None` if it is no key.
    #[inline]
    fn parts(&self, key: &[u8], shared: usize) -> Option<(Kind, usize)> {
        if shared >= self.prefix && self.prefix > 0 {
            return Some((Kind::from_byte(*key.get(self.prefix)?)?, self.prefix));
        }
        let parts = key::parts(key)?;
        Some((parts.kind, parts.prefix.len()))
    }

    /// A block begins with a key.
    fn separate(&mut self, key: &[u8], shared: usize) {
        // The table's first one is a whole token, so that places can be computed from it.
        let length = if self.is_empty() { 8 } else { shared + 1 };
        self.separator.clear();
        self.separator.extend_from_slice(&key[..length]);
    }

    /// Counts an entry in: what it is, how much of its key is the prefix, and how much it has in common with the last key.
    #[inline]
    fn count(
        &mut self,
        key: &[u8],
        (kind, prefix, shared): (Kind, usize, usize),
        value: &[u8],
    ) -> Result<(), DecodeError> {
        if shared < self.prefix || self.prefix == 0 {
            self.collector.partition(&key[..prefix]);
            self.hashes.push(filter::hash(&key[..prefix]));
        }
        self.collector.entry(kind, &key[prefix + 1..], value)?;
        self.raw_bytes += (key.len() + value.len()) as u64;
        self.last.truncate(shared);
        self.last.extend_from_slice(&key[shared..]);
        self.prefix = prefix;
        Ok(())
    }

    /// Begins a partition, for the functions below.
    pub fn partition(&mut self, key: &DecoratedKey, head: Head) -> Result<(), Error> {
        self.key.clear();
        key::put_prefix(&mut self.key, key);
        self.begun = self.key.len();
        let mut value = encoding::Writer::default();
        entry::put_head(&mut value, head);
        self.put(Kind::Partition, &[], value.as_slice())
    }

    /// The static row of the partition that was begun.
    pub fn static_row(&mut self, row: &Row) -> Result<(), Error> {
        self.put(Kind::Static, &[], &encoded(row))
    }

    /// A range tombstone of the partition that was begun.
    pub fn range(&mut self, tombstone: &RangeTombstone) -> Result<(), Error> {
        let mut value = encoding::Writer::default();
        entry::put_range(&mut value, tombstone);
        self.put(Kind::Range, &tombstone.range.start, value.as_slice())
    }

    /// A row of the partition that was begun.
    pub fn row(&mut self, clustering: &Clustering, row: &Row) -> Result<(), Error> {
        self.put(Kind::Row, &clustering.0, &encoded(row))
    }

    fn put(&mut self, kind: Kind, clustering: &[u8], value: &[u8]) -> Result<(), Error> {
        assert!(self.begun > 0, "a partition was begun");
        let mut key = std::mem::take(&mut self.key);
        key.truncate(self.begun);
        key.push(kind as u8);
        key.extend_from_slice(clustering);
        let result = self.push(&key, value);
        self.key = key;
        result
    }

    /// Writes the entries that wait, if there are any.
    fn flush_block(&mut self) -> Result<(), Error> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.output.block(Block {
            entries: &mut self.block,
            separator: &self.separator,
            hashes: &self.hashes,
        })?;
        self.hashes.clear();
        Ok(())
    }

    /// Completes the file and syncs it; its name is durable once the directory is synced, too.
    ///
    /// # Panics
    ///
    /// If nothing was written.
    pub fn finish(self) -> Result<(), Error> {
        self.complete(true)
    }

    /// Completes the file without syncing it: it can be read, and a crash may leave any part of it.
    ///
    /// # Panics
    ///
    /// If nothing was written.
    pub fn finish_transient(self) -> Result<(), Error> {
        self.complete(false)
    }

    fn complete(mut self, is_durable: bool) -> Result<(), Error> {
        assert!(!self.is_empty(), "a table is not empty");
        self.flush_block()?;
        let properties = self.collector.finish(self.raw_bytes);
        self.output.finish(&properties, is_durable)
    }

    fn malformed(&self, what: impl Into<String>) -> Error {
        Error::corrupt(&self.path, self.output.bytes(), what)
    }
}

fn encoded(row: &Row) -> bytes::Bytes {
    let mut value = encoding::Writer::default();
    value.row(row);
    value.finish()
}

fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes > MAX_ROW_BYTES {
        return Err(Error::TooLarge {
            what: "a row",
            bytes,
            limit: MAX_ROW_BYTES,
        });
    }
    Ok(())
}

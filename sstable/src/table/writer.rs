//! Making a table, entry by entry, in constant memory.

use std::{path::PathBuf, sync::Arc};

use starling_model::{Clustering, DecoratedKey, RangeTombstone, Row, encoding::Writer};

use super::{
    Properties, block,
    block::common_prefix,
    entry::{self, Head},
    filter,
    key::{self, Kind},
    layout::{self, Footer, Handle},
};
use crate::{
    Compression, Error,
    fs::{Fs, WriteFile},
    log::Lsn,
};

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
/// static row, the range tombstones (disjoint), the rows.
pub struct TableWriter {
    file: Box<dyn WriteFile>,
    path: PathBuf,
    options: WriterOptions,
    offset: u64,
    block: block::Builder,
    /// The last key that was written.
    last: Vec<u8>,
    /// A key after the last block's entries and not after this block's.
    separator: Vec<u8>,
    index: Vec<Level>,
    filter: filter::Builder,
    filters: Vec<filter::Part>,
    properties: Option<Properties>,
    prefix: Vec<u8>,
    newest: Lsn,
    value: Writer,
}

/// One level of the index that grows: the block in the making, and the key that leads to it.
#[derive(Default)]
struct Level {
    block: block::Builder,
    separator: Vec<u8>,
}

impl TableWriter {
    /// Begins a table in a new file. `newest` is the newest write whose data it will hold.
    pub fn new(fs: &Arc<dyn Fs>, path: PathBuf, newest: Lsn, options: WriterOptions) -> Result<Self, Error> {
        let mut file = fs.create(&path).map_err(Error::io("create", &path))?;
        let header = layout::header();
        file.append(&header).map_err(Error::io("write", &path))?;
        Ok(Self {
            file,
            path,
            options,
            offset: header.len() as u64,
            block: block::Builder::default(),
            last: Vec::new(),
            separator: Vec::new(),
            index: vec![Level::default()],
            filter: filter::Builder::new(options.filter_bits),
            filters: Vec::new(),
            properties: None,
            prefix: Vec::new(),
            newest,
            value: Writer::default(),
        })
    }

    /// Bytes of the file so far.
    pub fn bytes(&self) -> u64 {
        self.offset + self.block.len() as u64
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.properties.is_none()
    }

    /// Begins a partition.
    pub fn partition(&mut self, key: &DecoratedKey, head: Head) -> Result<(), Error> {
        self.prefix = key::prefix(key);
        let newest = self.newest;
        let properties = self
            .properties
            .get_or_insert_with(|| Properties::new(key.clone(), newest));
        properties.partitions += 1;
        properties.last_key = key.clone();
        if let Some(deletion) = head.deletion {
            properties.deletion(deletion);
        }
        if self.filter.add(key.token, &self.prefix) {
            self.flush_filter()?;
        }
        self.value.clear();
        entry::put_head(&mut self.value, head);
        self.put(Kind::Partition, &[])
    }

    /// The static row of the partition that was begun.
    pub fn static_row(&mut self, row: &Row) -> Result<(), Error> {
        self.row_entry(Kind::Static, &[], row)
    }

    /// A range tombstone of the partition that was begun.
    pub fn range(&mut self, tombstone: &RangeTombstone) -> Result<(), Error> {
        if let Some(properties) = &mut self.properties {
            properties.range_tombstones += 1;
            properties.deletion(tombstone.deletion);
        }
        self.value.clear();
        entry::put_range(&mut self.value, tombstone);
        self.put(Kind::Range, &tombstone.range.start)
    }

    /// A row of the partition that was begun.
    pub fn row(&mut self, clustering: &Clustering, row: &Row) -> Result<(), Error> {
        self.row_entry(Kind::Row, &clustering.0, row)
    }

    fn row_entry(&mut self, kind: Kind, clustering: &[u8], row: &Row) -> Result<(), Error> {
        if let Some(properties) = &mut self.properties {
            properties.row(row);
        }
        self.value.clear();
        self.value.row(row);
        let bytes = self.value.as_slice().len();
        if bytes > MAX_ROW_BYTES {
            return Err(Error::TooLarge {
                what: "a row",
                bytes,
                limit: MAX_ROW_BYTES,
            });
        }
        self.put(kind, clustering)
    }

    /// Adds the entry whose value is in `self.value`.
    fn put(&mut self, kind: Kind, clustering: &[u8]) -> Result<(), Error> {
        assert!(!self.prefix.is_empty(), "a partition was begun");
        let key = key::entry(&self.prefix, kind, clustering);
        assert!(key > self.last, "entries come in order");
        let size = key.len() + self.value.as_slice().len();
        if !self.block.is_empty() && self.block.len() + size > self.options.block_bytes {
            self.flush_block()?;
        }
        if self.block.is_empty() {
            let separator = common_prefix(&self.last, &key) + 1;
            self.separator.clear();
            self.separator.extend_from_slice(&key[..separator]);
        }
        self.block.push(&key, self.value.as_slice());
        self.last = key;
        Ok(())
    }

    fn flush_block(&mut self) -> Result<(), Error> {
        let content = self.block.finish();
        let handle = self.write_frame(&content, self.options.compression)?;
        let separator = std::mem::take(&mut self.separator);
        self.add_to_index(0, separator, handle)
    }

    fn flush_filter(&mut self) -> Result<(), Error> {
        if let Some((first, last, bits)) = self.filter.finish() {
            let handle = self.write_frame(&bits, Compression::None)?;
            self.filters.push(filter::Part { first, last, handle });
        }
        Ok(())
    }

    /// Adds a block to a level of the index; a block of the index that is full goes to the level above.
    fn add_to_index(&mut self, level: usize, separator: Vec<u8>, handle: Handle) -> Result<(), Error> {
        if self.index.len() == level {
            self.index.push(Level::default());
        }
        let block = &self.index[level].block;
        let size = separator.len() + Handle::BYTES;
        // At least two entries a block, or the tree would never end.
        let full = block.entries() >= 2 && block.len() + size > self.options.block_bytes;
        if full {
            let (full, first) = self.take_index_block(level);
            let handle = self.write_frame(&full, Compression::None)?;
            self.add_to_index(level + 1, first, handle)?;
        }
        let level = &mut self.index[level];
        level.block.push(&separator, &handle.encode());
        if level.block.entries() == 1 {
            level.separator = separator;
        }
        Ok(())
    }

    fn take_index_block(&mut self, level: usize) -> (Vec<u8>, Vec<u8>) {
        let level = &mut self.index[level];
        (level.block.finish(), std::mem::take(&mut level.separator))
    }

    fn write_frame(&mut self, content: &[u8], compression: Compression) -> Result<Handle, Error> {
        let frame = layout::frame(content, self.offset, compression);
        let handle = Handle {
            offset: self.offset,
            length: frame.len() as u32,
        };
        self.append(&frame)?;
        Ok(handle)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.append(bytes).map_err(Error::io("write", &self.path))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Completes the file and syncs it; its name is durable once the directory is synced, too.
    ///
    /// # Panics
    ///
    /// If nothing was written.
    pub fn finish(mut self) -> Result<(), Error> {
        let properties = self.properties.take().expect("a table is not empty");
        self.flush_block()?;
        self.flush_filter()?;
        let mut level = 0;
        let root = loop {
            let (content, first) = self.take_index_block(level);
            let handle = self.write_frame(&content, Compression::None)?;
            level += 1;
            if self.index.len() == level {
                break handle;
            }
            self.add_to_index(level, first, handle)?;
        };
        let filter = filter::encode_index(&self.filters);
        let filter = self.write_frame(&filter, Compression::None)?;
        let properties = self.write_frame(&properties.encode(), Compression::None)?;
        let footer = Footer {
            root,
            levels: level as u32,
            filter,
            properties,
        };
        let length = self.offset + layout::FOOTER_BYTES as u64;
        self.append(&footer.encode(length))?;
        self.file.sync().map_err(Error::io("sync", &self.path))
    }
}

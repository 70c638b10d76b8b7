//! An open table.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use starling_model::DecoratedKey;

use super::{
    Cursor, Properties,
    block::BlockCursor,
    filter,
    layout::{self, Footer, Handle},
};
use crate::{Error, fs::Fs};

/// An open, immutable table, mapped into memory.
///
/// Opening checks the frame of the file (header, footer, filter index, properties); every block is checked
/// each time it is read.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    number: u64,
    file: Bytes,
    footer: Footer,
    filters: Vec<filter::Part>,
    properties: Properties,
}

impl Table {
    /// Opens the table with this number in a directory.
    pub fn open(fs: &dyn Fs, dir: &Path, number: u64) -> Result<Self, Error> {
        let path = dir.join(file_name(number));
        let file = fs.map(&path).map_err(Error::io("open", &path))?;
        let footer = Footer::decode(&path, &file)?;
        let filters = layout::unframe(&path, &file, footer.filter)?;
        let filters = filter::decode_index(&filters)
            .ok_or_else(|| Error::corrupt(&path, footer.filter.offset, "malformed filter index"))?;
        let properties = layout::unframe(&path, &file, footer.properties)?;
        let properties = Properties::decode(properties)
            .map_err(|error| Error::corrupt(&path, footer.properties.offset, error.to_string()))?;
        Ok(Self {
            path,
            number,
            file,
            footer,
            filters,
            properties,
        })
    }

    /// Its number, which is in its file's name.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of its file.
    pub fn bytes(&self) -> u64 {
        self.file.len() as u64
    }

    /// What is known of it without reading.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Whether a partition with this prefix (see [`super::key::prefix`]) may be in it.
    pub fn may_contain(&self, key: &DecoratedKey, prefix: &[u8]) -> Result<bool, Error> {
        if *key < self.properties.first_key || *key > self.properties.last_key {
            return Ok(false);
        }
        let from = self.filters.partition_point(|part| part.last < key.token);
        let hash = filter::hash(prefix);
        for part in self.filters[from..]
            .iter()
            .take_while(|part| part.first <= key.token)
        {
            let bits = layout::unframe(&self.path, &self.file, part.handle)?;
            let hit = filter::may_contain(&bits, hash)
                .ok_or_else(|| Error::corrupt(&self.path, part.handle.offset, "malformed filter"))?;
            if hit {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A cursor over all entries.
    pub fn cursor(self: &Arc<Self>) -> Cursor {
        Cursor::new(Arc::clone(self))
    }

    /// The root of the index, and how many index blocks lead to a data block.
    pub(super) fn root(&self) -> (Handle, usize) {
        (self.footer.root, self.footer.levels as usize)
    }

    /// Reads and checks a block.
    pub(super) fn block(&self, handle: Handle) -> Result<BlockCursor, Error> {
        let content = layout::unframe(&self.path, &self.file, handle)?;
        BlockCursor::new(content).map_err(|_| Error::corrupt(&self.path, handle.offset, "malformed block"))
    }

    pub(super) fn malformed(&self, handle: Handle) -> Error {
        Error::corrupt(&self.path, handle.offset, "malformed block")
    }
}

/// The suffix of a table's file.
const SUFFIX: &str = ".table";

/// The name of a table's file.
pub fn file_name(number: u64) -> String {
    format!("{number:016x}{SUFFIX}")
}

/// The number in a table's file name; `None` if the file is something else.
pub fn file_number(path: &Path) -> Option<u64> {
    let stem = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    if stem.len() == 16 {
        u64::from_str_radix(stem, 16).ok()
    } else {
        None
    }
}

//! Moving through a table's entries, both ways.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Table,
    block::{BlockCursor, Malformed},
    layout::Handle,
};
use crate::Error;

/// A place among a table's entries: on one, or (after a call said `false`) on none.
///
/// It holds one block of each level of the index and one of data, and reads a block only if it does not
/// hold it already, so that short hops are cheap.
#[derive(Debug, Clone)]
pub struct Cursor {
    table: Arc<Table>,
    /// From the root of the index down to the data.
    levels: Vec<Loaded>,
    valid: bool,
}

#[derive(Debug, Clone)]
struct Loaded {
    handle: Handle,
    block: BlockCursor,
}

/// Where to go in a block that was just entered.
#[derive(Clone, Copy)]
enum Enter {
    First,
    Last,
}

impl Cursor {
    /// A cursor on no entry.
    pub(super) fn new(table: Arc<Table>) -> Self {
        Self {
            table,
            levels: Vec::new(),
            valid: false,
        }
    }

    /// The table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The entry's key; `None` on no entry.
    pub fn key(&self) -> Option<&[u8]> {
        self.data().map(|loaded| loaded.block.key())
    }

    /// The entry's value; `None` on no entry. It shares memory with the block or the file.
    pub fn value(&self) -> Option<Bytes> {
        self.data().map(|loaded| loaded.block.value())
    }

    /// The error for an entry whose content can't be right.
    pub fn malformed(&self, what: impl Into<String>) -> Error {
        let offset = self.levels.last().map_or(0, |loaded| loaded.handle.offset);
        Error::corrupt(self.table.path(), offset, what)
    }

    fn data(&self) -> Option<&Loaded> {
        if self.valid { self.levels.last() } else { None }
    }

    /// Goes to the first entry of the table.
    pub fn first(&mut self) -> Result<bool, Error> {
        self.seek(&[])
    }

    /// Goes to the first entry at or after `target`.
    pub fn seek(&mut self, target: &[u8]) -> Result<bool, Error> {
        let depth = self.descend(target)?;
        let found = self.at(depth, |block| block.seek(target))?;
        self.valid = found || self.turn(depth, Enter::First)?;
        Ok(self.valid)
    }

    /// Goes to the last entry before `target`.
    pub fn seek_before(&mut self, target: &[u8]) -> Result<bool, Error> {
        let depth = self.descend(target)?;
        let found = if self.at(depth, |block| block.seek(target))? {
            self.at(depth, BlockCursor::prev)?
        } else {
            self.at(depth, BlockCursor::last)?
        };
        self.valid = found || self.turn(depth, Enter::Last)?;
        Ok(self.valid)
    }

    /// Goes to the next entry. On no entry it stays there.
    #[allow(
        clippy::should_implement_trait,
        reason = "a cursor that can fail and go back is no iterator"
    )]
    pub fn next(&mut self) -> Result<bool, Error> {
        self.step(BlockCursor::next, Enter::First)
    }

    /// Goes to the entry before. On no entry it stays there.
    pub fn prev(&mut self) -> Result<bool, Error> {
        self.step(BlockCursor::prev, Enter::Last)
    }

    fn step(
        &mut self,
        go: impl FnOnce(&mut BlockCursor) -> Result<bool, Malformed>,
        enter: Enter,
    ) -> Result<bool, Error> {
        if !self.valid {
            return Ok(false);
        }
        let depth = self.levels.len() - 1;
        self.valid = self.at(depth, go)? || self.turn(depth, enter)?;
        Ok(self.valid)
    }

    /// Goes down to the only block of data that may hold `target`; returns its level.
    fn descend(&mut self, target: &[u8]) -> Result<usize, Error> {
        self.valid = false;
        let (root, depth) = self.table.root();
        self.load(0, root)?;
        for level in 0..depth {
            if !self.at(level, |block| block.seek_back(target))? {
                self.at(level, BlockCursor::first)?;
            }
            self.enter(level)?;
        }
        Ok(depth)
    }

    /// Goes to the neighbour of the block at `level`, and in it to its near end.
    fn turn(&mut self, level: usize, enter: Enter) -> Result<bool, Error> {
        let Some(parent) = level.checked_sub(1) else {
            return Ok(false);
        };
        let moved = self.at(parent, |block| match enter {
            Enter::First => block.next(),
            Enter::Last => block.prev(),
        })?;
        if !moved && !self.turn(parent, enter)? {
            return Ok(false);
        }
        self.enter(parent)?;
        self.at(level, |block| match enter {
            Enter::First => block.first(),
            Enter::Last => block.last(),
        })
    }

    /// Loads the block that the entry at `level` of the index leads to.
    fn enter(&mut self, level: usize) -> Result<(), Error> {
        let loaded = &self.levels[level];
        let handle =
            Handle::decode(&loaded.block.value()).ok_or_else(|| self.table.malformed(loaded.handle))?;
        self.load(level + 1, handle)
    }

    fn load(&mut self, level: usize, handle: Handle) -> Result<(), Error> {
        match self.levels.get_mut(level) {
            Some(loaded) if loaded.handle == handle => {}
            Some(loaded) => {
                // A failed load must not leave the old block under the new handle.
                *loaded = Loaded {
                    block: self.table.block(handle)?,
                    handle,
                };
            }
            None => self.levels.push(Loaded {
                block: self.table.block(handle)?,
                handle,
            }),
        }
        Ok(())
    }

    fn at(
        &mut self,
        level: usize,
        go: impl FnOnce(&mut BlockCursor) -> Result<bool, Malformed>,
    ) -> Result<bool, Error> {
        let loaded = &mut self.levels[level];
        go(&mut loaded.block).map_err(|Malformed| self.table.malformed(loaded.handle))
    }
}

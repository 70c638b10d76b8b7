//! One input of a merge, as a stream of entries in the key space of tables.

use std::sync::Arc;

use crate::{
    Error, memtable,
    memtable::Memtable,
    table::{
        Cursor, Table,
        key::{self, Kind},
    },
};

/// What is merged. Shared with readers, who go on using it.
#[derive(Debug, Clone)]
pub enum Input {
    /// A memtable that takes no more writes.
    Memory(Arc<Memtable>),
    /// A table.
    Table(Arc<Table>),
}

/// A cursor over an input.
#[derive(Debug)]
pub(super) enum Stream<'a> {
    Memory(Box<memtable::Cursor<'a>>),
    Table(Box<Cursor>),
}

impl Input {
    pub(super) fn stream(&self) -> Stream<'_> {
        match self {
            Self::Memory(memtable) => Stream::Memory(Box::new(memtable.cursor())),
            Self::Table(table) => Stream::Table(Box::new(table.cursor())),
        }
    }
}

impl Stream<'_> {
    /// Goes to the first entry at or after `target`.
    pub(super) fn seek(&mut self, target: &[u8]) -> Result<bool, Error> {
        match self {
            Self::Memory(cursor) => Ok(cursor.seek(target)),
            Self::Table(cursor) => cursor.seek(target),
        }
    }

    /// Goes to the last entry before `target`.
    pub(super) fn seek_before(&mut self, target: &[u8]) -> Result<bool, Error> {
        match self {
            Self::Memory(cursor) => Ok(cursor.seek_before(target)),
            Self::Table(cursor) => cursor.seek_before(target),
        }
    }

    /// Goes to the next entry.
    pub(super) fn next(&mut self) -> Result<bool, Error> {
        match self {
            Self::Memory(cursor) => Ok(cursor.next()),
            Self::Table(cursor) => cursor.next(),
        }
    }

    /// The entry's key; empty on no entry.
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Memory(cursor) => cursor.key(),
            Self::Table(cursor) => cursor.key(),
        }
        .unwrap_or_default()
    }

    /// The entry's value; empty on no entry.
    pub(super) fn value(&self) -> &[u8] {
        match self {
            Self::Memory(cursor) => cursor.value(),
            Self::Table(cursor) => cursor.value_bytes(),
        }
    }

    /// What the entry is, and how much of its key is the partition's prefix.
    pub(super) fn kind(&self) -> Result<(Kind, usize), Error> {
        let key = self.key();
        let parts = match self {
            Self::Memory(cursor) => key::parts_at(key, cursor.prefix_len()),
            Self::Table(_) => key::parts(key),
        };
        let parts = parts.ok_or_else(|| self.malformed("malformed key"))?;
        Ok((parts.kind, parts.prefix.len()))
    }

    /// The error for an entry whose content can't be right.
    pub(super) fn malformed(&self, what: impl Into<String>) -> Error {
        match self {
            Self::Memory(_) => Error::Invalid("what a memtable holds is not what was written to it"),
            Self::Table(cursor) => cursor.malformed(what),
        }
    }
}

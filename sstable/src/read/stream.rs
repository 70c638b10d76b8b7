//! The entries of a memtable or a table, in one order.

use starling_model::DecodeError;

use crate::{
    Error,
    log::Lsn,
    memtable,
    table::{
        Cursor,
        key::{self, Kind},
    },
};

/// A cursor over a source.
#[derive(Debug, Clone)]
pub enum Stream<'a> {
    /// Over a memtable.
    Memory(memtable::Cursor<'a>),
    /// Over a table.
    Table(Cursor),
}

impl Stream<'_> {
    /// Goes to the first entry at or after `target`.
    pub fn seek(&mut self, target: &[u8]) -> Result<bool, Error> {
        match self {
            Self::Memory(cursor) => Ok(cursor.seek(target)),
            Self::Table(cursor) => cursor.seek(target),
        }
    }

    /// Goes to the last entry before `target`.
    pub fn seek_before(&mut self, target: &[u8]) -> Result<bool, Error> {
        match self {
            Self::Memory(cursor) => Ok(cursor.seek_before(target)),
            Self::Table(cursor) => cursor.seek_before(target),
        }
    }

    /// Goes to the next entry.
    #[allow(
        clippy::should_implement_trait,
        reason = "a cursor that can fail is no iterator"
    )]
    pub fn next(&mut self) -> Result<bool, Error> {
        match self {
            Self::Memory(cursor) => Ok(cursor.next()),
            Self::Table(cursor) => cursor.next(),
        }
    }

    /// Hands the entry that it stands on and those that follow to `take`, key, value and
    /// [`last_write`](Self::last_write), as long as that says `true`. Then it stands on the entry that was not
    /// taken, or behind the last.
    pub fn each(&mut self, mut take: impl FnMut(&[u8], &[u8], Lsn) -> bool) -> Result<(), Error> {
        match self {
            Self::Memory(cursor) => {
                let mut taken = |cursor: &memtable::Cursor<'_>| {
                    let key = cursor.key();
                    key.is_some_and(|key| take(key, cursor.value(), cursor.last_write()))
                };
                while taken(cursor) && cursor.next() {}
                Ok(())
            }
            Self::Table(cursor) => cursor.each(|key, value| take(key, value, Lsn::ZERO)),
        }
    }

    /// Goes to the entry before.
    pub fn prev(&mut self) -> Result<bool, Error> {
        match self {
            Self::Memory(cursor) => Ok(cursor.prev()),
            Self::Table(cursor) => cursor.prev(),
        }
    }

    /// The entry's key; `None` on no entry.
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(cursor) => cursor.key(),
            Self::Table(cursor) => cursor.key(),
        }
    }

    /// The entry's key; empty on no entry.
    #[inline]
    pub fn here(&self) -> &[u8] {
        self.key().unwrap_or_default()
    }

    /// What the entry is, and how much of its key is the partition's prefix.
    pub fn parts(&self) -> Result<(Kind, usize), Error> {
        let key = self.here();
        let parts = match self {
            Self::Memory(cursor) => key::parts_at(key, cursor.prefix_len()),
            Self::Table(_) => key::parts(key),
        };
        let parts = parts.ok_or_else(|| self.malformed("malformed key"))?;
        Ok((parts.kind, parts.prefix.len()))
    }

    /// What follows `prefix` in the entry's key; `None` if it is another one, or on no entry.
    pub fn under(&self, prefix: &[u8]) -> Option<&[u8]> {
        self.key()?.strip_prefix(prefix)
    }

    /// The entry's value; empty on no entry.
    pub fn value(&self) -> &[u8] {
        match self {
            Self::Memory(cursor) => cursor.value(),
            Self::Table(cursor) => cursor.value_bytes(),
        }
    }

    /// What the entry is, if it is one of the partition with this prefix.
    pub fn kind(&self, prefix: &[u8]) -> Option<Kind> {
        Kind::from_byte(*self.under(prefix)?.first()?)
    }

    /// The prefix of the entry's partition; `None` on no entry.
    pub fn prefix(&self) -> Result<Option<&[u8]>, Error> {
        let Some(key) = self.key() else { return Ok(None) };
        if let Self::Memory(cursor) = self {
            return Ok(key.get(..cursor.prefix_len()));
        }
        match key::parts(key) {
            Some(parts) => Ok(Some(parts.prefix)),
            None => Err(self.malformed("malformed key")),
        }
    }

    /// The newest write to the entry's partition that may not be in a table.
    pub fn last_write(&self) -> Lsn {
        match self {
            Self::Memory(cursor) => cursor.last_write(),
            Self::Table(_) => Lsn::ZERO,
        }
    }

    /// The error for an entry whose content can't be right.
    pub fn malformed(&self, what: impl Into<String>) -> Error {
        match self {
            Self::Memory(_) => {
                Error::Invalid("what a memtable holds is not what was written: memory went bad")
            }
            Self::Table(cursor) => cursor.malformed(what),
        }
    }

    /// The same, for a value that could not be read.
    pub fn unreadable(&self, error: DecodeError) -> Error {
        self.malformed(error.to_string())
    }
}

//! What is merged.

use std::sync::Arc;

use crate::{memtable::Memtable, read::Source, table::Table};

/// One input of a merge. Shared with readers, who go on using it.
#[derive(Debug, Clone)]
pub enum Input {
    /// A memtable that takes no more writes.
    Memory(Arc<Memtable>),
    /// A table.
    Table(Arc<Table>),
}

impl Input {
    /// Bytes of its largest row, as far as is known; 0 if that is small.
    pub(crate) fn largest_row(&self) -> u64 {
        match self {
            Self::Memory(memtable) => memtable.largest_row(),
            Self::Table(table) => table.largest_row(),
        }
    }

    /// The same, as readers see it.
    pub(super) fn source(&self) -> Source<'_> {
        match self {
            Self::Memory(memtable) => Source::Memory(memtable),
            Self::Table(table) => Source::Table(table),
        }
    }
}

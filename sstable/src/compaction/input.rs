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
    /// The input as readers see it.
    pub(super) fn source(&self) -> Source<'_> {
        match self {
            Self::Memory(memtable) => Source::Memory(memtable),
            Self::Table(table) => Source::Table(table),
        }
    }
}

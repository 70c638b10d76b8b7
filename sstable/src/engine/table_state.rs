//! One table id's data: its memtables and its files.

use std::{collections::VecDeque, sync::Arc};

use starling_model::Timestamp;

use crate::{PurgePolicy, log::Lsn, memtable::Memtable, read::Source, version::Tables};

/// Everything the engine holds of one table id.
#[derive(Debug, Default)]
pub(super) struct TableState {
    /// Takes the writes.
    pub(super) active: Memtable,
    /// Full ones, oldest first; still read until their flush is installed.
    pub(super) waiting: VecDeque<Arc<Memtable>>,
    /// The oldest of `waiting` is being flushed.
    pub(super) flushing: bool,
    /// The files.
    pub(super) tables: Tables,
    pub(super) purge: PurgePolicy,
    /// Writes up to this are in files, or truncated.
    pub(super) replayed: Lsn,
    /// Counts truncations, so that jobs begun before one are not installed after it.
    pub(super) epoch: u64,
}

impl TableState {
    /// Makes the active memtable wait for its flush, if there is anything in it.
    pub(super) fn rotate(&mut self) {
        if !self.active.is_empty() {
            self.waiting.push_back(Arc::new(std::mem::take(&mut self.active)));
        }
    }

    /// The oldest write that is in no file; `None`: all are.
    pub(super) fn first_unflushed(&self) -> Option<Lsn> {
        let active = (!self.active.is_empty()).then(|| self.active.first());
        self.waiting
            .iter()
            .map(|memtable| memtable.first())
            .chain(active)
            .min()
    }

    /// The oldest timestamp in memory.
    pub(super) fn oldest_in_memory(&self) -> Option<Timestamp> {
        self.waiting
            .iter()
            .filter_map(|memtable| memtable.oldest())
            .chain(self.active.oldest())
            .min()
    }

    /// Everything to read from.
    pub(super) fn sources(&self) -> Vec<Source<'_>> {
        let memtables = self
            .waiting
            .iter()
            .map(|memtable| &**memtable)
            .chain([&self.active]);
        memtables
            .filter(|memtable| !memtable.is_empty())
            .map(Source::Memory)
            .chain(self.tables.live().iter().map(Source::table))
            .collect()
    }
}

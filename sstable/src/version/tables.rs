//! The live tables of one table id.

use std::{collections::BTreeSet, sync::Arc};

use crate::table::Table;

/// Live tables, oldest file first. Cheap to copy: readers and jobs keep the version they began with.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    live: Vec<Arc<Table>>,
    /// Files that a compaction is reading, to be replaced by its output.
    busy: BTreeSet<u64>,
}

impl Tables {
    /// The live tables.
    pub fn live(&self) -> &[Arc<Table>] {
        &self.live
    }

    /// Those that no compaction is working on.
    pub fn idle(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.live
            .iter()
            .filter(|table| !self.busy.contains(&table.number()))
    }

    /// Adds a table.
    pub fn add(&mut self, table: Arc<Table>) {
        let at = self.live.partition_point(|other| other.number() < table.number());
        self.live.insert(at, table);
    }

    /// This version with some files taken out and perhaps one put in.
    #[must_use]
    pub fn replaced(&self, removed: &[u64], added: Option<Arc<Table>>) -> Self {
        let mut next = self.clone();
        next.live.retain(|table| !removed.contains(&table.number()));
        for number in removed {
            next.busy.remove(number);
        }
        if let Some(added) = added {
            next.add(added);
        }
        next
    }

    /// Marks files as being compacted.
    pub fn reserve(&mut self, files: &[u64]) {
        self.busy.extend(files);
    }

    /// Takes the marks back.
    pub fn release(&mut self, files: &[u64]) {
        for file in files {
            self.busy.remove(file);
        }
    }
}

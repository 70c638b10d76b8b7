//! The live tables of one table id.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use starling_model::TokenRange;

use crate::table::Table;

/// Live tables, oldest file first. Cheap to copy: readers and jobs keep the version they began with.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    live: Vec<Arc<Table>>,
    /// The tokens that each was made for.
    tokens: BTreeMap<u64, TokenRange>,
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
        self.live.iter().filter(|table| !self.is_busy(table.number()))
    }

    /// Whether a compaction is working on a file.
    pub fn is_busy(&self, number: u64) -> bool {
        self.busy.contains(&number)
    }

    /// The tokens that a file was made for: it holds nothing else, and need not hold all of them.
    pub fn tokens(&self, number: u64) -> TokenRange {
        self.tokens.get(&number).copied().unwrap_or(TokenRange::ALL)
    }

    /// Adds a table that was made for some tokens, which do not wrap.
    pub fn add(&mut self, table: Arc<Table>, tokens: TokenRange) {
        let at = self.live.partition_point(|other| other.number() < table.number());
        self.tokens.insert(table.number(), tokens);
        self.live.insert(at, table);
    }

    /// Takes files out. They are not busy any more.
    pub fn remove(&mut self, files: &[u64]) {
        self.live.retain(|table| !files.contains(&table.number()));
        for number in files {
            self.busy.remove(number);
            self.tokens.remove(number);
        }
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

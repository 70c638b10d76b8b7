//! Flushes and compactions that are under way.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use starling_model::{TableId, TokenRange};

use super::remove::Leftovers;
use crate::{
    compaction::{
        space::Promise,
        worker::{Plan, Worker},
    },
    log::Lsn,
    table::Table,
};

/// One flush or compaction: what it replaces, and the parts that it is done in.
pub(super) struct Merge {
    pub(super) table: TableId,
    /// Which life of the table it belongs to; a truncation begins another.
    pub(super) epoch: u64,
    pub(super) replaces: Replaces,
    pub(super) plan: Arc<Plan>,
    /// Bytes of the inputs that are tables.
    pub(super) bytes: u64,
    /// The space for them; a flush has the reserve.
    pub(super) _promise: Option<Promise>,
    /// It is part of a compaction of everything, which goes on with what it makes that overlaps the rest.
    pub(super) major: bool,
    /// Parts that nobody works on yet.
    pub(super) left: VecDeque<TokenRange>,
    /// How many parts are handed out.
    pub(super) out: usize,
    pub(super) outputs: Vec<Output>,
    pub(super) failed: bool,
}

/// What a merge stands for once it is installed.
#[derive(Debug, Clone)]
pub(super) enum Replaces {
    /// That many memtables, from the oldest; the newest write in them.
    Memtables(usize, Lsn),
    /// These files.
    Files(Vec<u64>),
    /// No files: what it brings was ingested, by this number.
    Nothing(u64),
    /// All that the table holds; the newest write that is truncated.
    Everything(Lsn),
}

/// A table that a merge made.
#[derive(Debug, Clone)]
pub(super) struct Output {
    pub(super) table: Arc<Table>,
    /// The tokens that it was made for.
    pub(super) tokens: TokenRange,
}

/// A part of a merge that is handed out.
pub(super) struct Part {
    pub(super) merge: u64,
    pub(super) table: TableId,
    pub(super) is_flush: bool,
    pub(super) worker: Worker,
}

impl Merge {
    pub(super) fn is_flush(&self) -> bool {
        matches!(self.replaces, Replaces::Memtables(..))
    }

    /// Takes the next part, if there is one.
    pub(super) fn take_part(&mut self) -> Option<TokenRange> {
        let tokens = self.left.pop_front()?;
        self.out += 1;
        Some(tokens)
    }

    /// Takes back a part: with its output, if it has one, or failed.
    pub(super) fn part_back(&mut self, complete: bool, output: Option<Output>) {
        self.out -= 1;
        self.outputs.extend(output);
        if !complete {
            self.failed = true;
            self.left.clear();
        }
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        self.out == 0 && self.left.is_empty()
    }
}

/// All that is under way in an engine.
#[derive(Default)]
pub(super) struct Work {
    /// By number, in the order they began.
    pub(super) merges: BTreeMap<u64, Merge>,
    /// The number of the next one.
    pub(super) next: u64,
    /// The table of which a compaction was begun last.
    pub(super) compacted: Option<TableId>,
    /// Complete, and in no manifest yet.
    pub(super) ready: Vec<super::install::Change>,
    /// What the install job makes durable that is handed out.
    pub(super) installing: Option<super::install::Installing>,
    /// To be removed.
    pub(super) leftovers: Leftovers,
    /// A file for the log is being made.
    pub(super) log_file: bool,
}

impl Work {
    pub(super) fn begin(&mut self, merge: Merge) -> u64 {
        let number = self.next;
        self.next += 1;
        self.merges.insert(number, merge);
        number
    }

    /// Parts of compactions that are handed out.
    pub(super) fn compacting(&self) -> usize {
        let compactions = self.merges.values().filter(|merge| !merge.is_flush());
        compactions.map(|merge| merge.out).sum()
    }

    /// Bytes that compactions of this engine may still write: as much as they read.
    pub(super) fn promised(&self) -> u64 {
        self.merges.values().map(|merge| merge.bytes).sum()
    }
}

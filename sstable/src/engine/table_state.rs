//! One table id's data: its memtables and its files.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
    sync::Arc,
};

use starling_model::{Seconds, Timestamp, TokenSet};

use super::{
    changed::Cells,
    install::Change,
    merges::{Output, Replaces},
    remove::Leftovers,
};
use crate::{
    PurgePolicy,
    compaction::{rows, slices},
    log::Lsn,
    memtable::{Memtable, Pool},
    options::{Options, TableOptions},
    read::Source,
    table::WriterOptions,
    version::Tables,
};

/// Everything the engine holds of one table id.
#[derive(Debug, Default)]
pub(super) struct TableState {
    /// Takes the writes.
    pub(super) active: Memtable,
    /// Full ones, oldest first; still read until their flush is installed.
    pub(super) waiting: VecDeque<Arc<Memtable>>,
    /// How many of `waiting`, from the oldest, are being flushed.
    pub(super) flushing: usize,
    /// The files.
    pub(super) tables: Tables,
    pub(super) purge: PurgePolicy,
    /// What was written to since somebody asked; `None`: nobody has, so all of it is news.
    pub(super) changed: Option<Cells>,
    pub(super) options: Option<TableOptions>,
    /// Bytes of a usual flush on disk; 0: not known yet.
    pub(super) flushed: u64,
    /// Files that were asked to be compacted, and wait for it.
    pub(super) major: BTreeSet<u64>,
    /// Those and the ones that are being compacted because of it.
    pub(super) asked: BTreeSet<u64>,
    /// The compaction that was begun last is the strategy's, and came before what was asked for.
    pub(super) yielded: bool,
    /// The most files that overlap, as [`count_crowd`](Self::count_crowd) counts them.
    pub(super) crowd: usize,
    /// Bytes of the compactions that are due and not begun.
    pub(super) owed: u64,
    /// A compaction is due for which there is no room on the disk: the least bytes that one needs.
    pub(super) lacks: Option<u64>,
    /// No compaction is due before this second, unless something changes.
    pub(super) look_at: Option<Seconds>,
    /// When the files were made that merges made since the engine was opened.
    pub(super) merged: BTreeMap<u64, Seconds>,
    /// Writes up to this are in files, or truncated.
    pub(super) replayed: Lsn,
    /// Counts truncations, so that jobs begun before one are not installed after it.
    pub(super) epoch: u64,
}

impl TableState {
    /// Makes the active memtable wait for its flush, if there is anything in it.
    pub(super) fn rotate(&mut self, pool: &Arc<Pool>) {
        if !self.active.is_empty() {
            let full = std::mem::replace(&mut self.active, Memtable::with_pool(pool));
            self.waiting.push_back(Arc::new(full));
        }
    }

    /// The same if it holds any of some tokens. Returns a write up to which all of those are in files once it is, too.
    pub(super) fn rotate_if_it_holds(&mut self, tokens: &TokenSet, pool: &Arc<Pool>) -> Lsn {
        if self.active.holds(tokens) {
            self.rotate(pool);
        }
        let holders = self.waiting.iter().filter(|memtable| memtable.holds(tokens));
        holders.map(|memtable| memtable.last()).max().unwrap_or_default()
    }

    /// Its settings.
    pub(super) fn options(&self, engine: &Options) -> TableOptions {
        self.options.unwrap_or(engine.table())
    }

    pub(super) fn writer_options(&self, engine: &Options) -> WriterOptions {
        let TableOptions {
            block_bytes,
            compression,
            filter_bits,
            ..
        } = self.options(engine);
        WriterOptions {
            block_bytes,
            compression,
            filter_bits,
        }
    }

    /// What a flush writes, about. Until there was one, half of what a memtable holds.
    pub(super) fn flush_bytes(&self, engine: &Options) -> u64 {
        match self.flushed {
            0 => engine.memtable_bytes as u64 / 2,
            flushed => flushed,
        }
    }

    /// Takes back a flush or compaction that failed.
    pub(super) fn give_up(&mut self, replaces: &Replaces) {
        match replaces {
            Replaces::Memtables(..) => self.flushing = 0,
            Replaces::Files(files) => {
                self.tables.release(files);
                let again = files.iter().filter(|file| self.asked.contains(file));
                self.major.extend(again);
            }
            Replaces::Nothing(_) | Replaces::Everything(_) => {}
        }
        self.look_at = None;
    }

    /// Carries a change out that the manifest has, and returns what is not needed any more.
    pub(super) fn carry_out(&mut self, change: &Change, pool: &Arc<Pool>, now: Seconds) -> Leftovers {
        let mut leftovers = Leftovers::default();
        self.look_at = None;
        let mut flushed = 0;
        match &change.replaces {
            Replaces::Memtables(count, last) => {
                flushed = *count;
                self.flushing = 0;
                self.replayed = *last;
                self.learn_flush(change.written(), *count);
            }
            Replaces::Files(files) => {
                let paths = files.iter().filter_map(|file| self.tables.path(*file));
                leftovers.files.extend(paths.map(Path::to_path_buf));
                leftovers.tables = self.tables.remove(files);
                self.asked.retain(|file| !files.contains(file));
            }
            Replaces::Nothing(_) => {}
            Replaces::Everything(last) => {
                self.rotate(pool);
                flushed = self.waiting.len();
                self.flushing = 0;
                self.replayed = *last;
                self.epoch += 1;
                self.major.clear();
                self.asked.clear();
                let paths = self.tables.files().filter_map(|file| self.tables.path(file));
                leftovers.files.extend(paths.map(Path::to_path_buf));
                leftovers.tables = std::mem::take(&mut self.tables).into_live();
                self.changed = None;
            }
        }
        for Output { table, tokens } in &change.outputs {
            // Also with what another merge is about to replace: what that makes overlaps this one, too.
            let overlaps =
                |file: &u64| self.is_asked(*file) && slices::overlap(self.tables.tokens(*file), *tokens);
            if change.major && self.asked.iter().any(overlaps) {
                self.major.insert(table.number());
                self.asked.insert(table.number());
            }
            if matches!(change.replaces, Replaces::Files(_)) {
                self.merged.insert(table.number(), now);
            }
            if let (Replaces::Nothing(_), Some(changed)) = (&change.replaces, &mut self.changed) {
                let properties = table.properties();
                changed.add_between(properties.first_key.token, properties.last_key.token);
            }
            self.tables.add(Arc::clone(table), *tokens);
        }
        let live = self.tables.live();
        self.merged
            .retain(|file, _| live.iter().any(|table| table.number() == *file));
        self.count_crowd();
        leftovers.memtables.extend(self.waiting.drain(..flushed));
        leftovers
    }

    /// Counts how many files overlap, without those that no compaction may change.
    pub(super) fn count_crowd(&mut self) {
        let tables = self.tables.live().iter();
        let tables = tables.filter(|table| !rows::is_stuck(table.largest_row()));
        self.crowd = slices::crowd(tables.map(|table| self.tables.tokens(table.number())));
    }

    /// Whether a compaction of a file was asked for and is to come. A damaged one waits until it is healed.
    pub(super) fn is_asked(&self, file: u64) -> bool {
        self.asked.contains(&file) && !self.tables.quarantined().any(|damage| damage.file == file)
    }

    /// Whether a merge of a file for what it may forget is not one that was just done.
    pub(super) fn may_forget(&self, file: u64, now: Seconds, pause: u32) -> bool {
        let merged = self.merged.get(&file);
        merged.is_none_or(|merged| now.0.saturating_sub(merged.0) >= pause)
    }

    /// A flush wrote `bytes` of `count` memtables. Smaller ones count less, because a memtable can be flushed
    /// before it is full.
    fn learn_flush(&mut self, bytes: u64, count: usize) {
        let one = bytes / count.max(1) as u64;
        self.flushed = if one >= self.flushed {
            one
        } else {
            self.flushed - (self.flushed - one) / 8
        };
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

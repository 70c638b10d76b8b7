//! Forgetting tokens: what a node does with ranges that it is no replica of any more.
//!
//! No tombstone is written. Files that hold nothing else are dropped without a read; those that hold some of the tokens are
//! written anew without them, one after the other, each atomically by the manifest; those that are damaged get holes there. So a crash leaves a part of it done,
//! and who asks again finishes it. Which files hold any is found out by a job that looks into their indexes, because
//! a file's first and last token say little of what lies between.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use starling_model::{Seconds, TableId, Token, TokenSet};

use super::{Engine, compact::begin, install::Change, job::Kind, merges::Replaces, snapshot::MAX_WAITING};
use crate::{
    Error,
    compaction::Pick,
    log::Lsn,
    table::{Cursor, Table},
};

/// Ranges that are looked for in one step.
const STEP_RANGES: usize = 64;

/// Who is told when it is done, and how many bytes of files went, about.
type Done = Box<dyn FnOnce(Result<u64, Error>) + Send>;

/// What is being forgotten.
pub(super) struct Discarding {
    number: u64,
    table: TableId,
    /// A truncation meanwhile has done it all.
    epoch: u64,
    tokens: TokenSet,
    /// Writes up to this may be among what is forgotten; they have to be in files first.
    last: Lsn,
    /// Files that hold none of the tokens.
    clean: BTreeSet<u64>,
    /// Files that hold some.
    holders: BTreeSet<u64>,
    /// Files that are being looked into.
    surveyed: BTreeSet<u64>,
    /// Damaged files got holes instead: the manifest has to tell of them.
    marked: bool,
    /// How often the damage had changed when that was done.
    forgotten: Option<u64>,
    freed: u64,
    done: Done,
}

/// Discards that are asked for.
#[derive(Default)]
pub(super) struct Discards {
    under_way: VecDeque<Discarding>,
    next: u64,
    /// Whether it was the discards' turn.
    had_turn: bool,
}

impl Discards {
    /// Every other time it is the discards' turn.
    pub(super) fn take_turn(&mut self) -> bool {
        self.had_turn = !self.had_turn;
        self.had_turn
    }
}

/// What a look at a discard gave.
enum Found {
    Work(Kind),
    /// It waits for work that is out.
    Waits,
    Over,
}

impl Engine {
    /// Forgets what was written of a table id for some tokens until now, in memory and in files. Reads may see any part
    /// of it until `done` is told, from [`finish`](Self::finish) or [`next_job`](Self::next_job), with how many bytes
    /// went, about; then it is gone, durably. Meant for tokens that nobody reads or writes here: what is written to
    /// them meanwhile may go or stay.
    ///
    /// It needs room on the disk for one file at a time, and waits for it. What of it is quarantined is given up. A damaged file
    /// with other tokens can't be written anew: it keeps the bytes until it is healed, and nobody finds them; but if it is in very many
    /// pieces (`version/quarantine.rs`) it is left as it is.
    /// [`Error::Invalid`] at once if too many wait.
    pub fn discard(
        &mut self,
        table: TableId,
        tokens: TokenSet,
        done: impl FnOnce(Result<u64, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        if self.bulk.discards.under_way.len() >= MAX_WAITING {
            return Err(Error::Invalid("too many cleanups wait"));
        }
        let Some(state) = self.tables.get_mut(&table) else {
            done(Ok(0));
            return Ok(());
        };
        let last = state.rotate_if_it_holds(&tokens, &self.pool);
        let discarding = Discarding {
            number: self.bulk.discards.next,
            table,
            epoch: state.epoch,
            last,
            tokens,
            clean: BTreeSet::new(),
            holders: BTreeSet::new(),
            surveyed: BTreeSet::new(),
            marked: false,
            forgotten: None,
            freed: 0,
            done: Box::new(done),
        };
        self.bulk.discards.next += 1;
        self.bulk.discards.under_way.push_back(discarding);
        Ok(())
    }

    /// The next piece of work on what is to be forgotten. Tells those that are through.
    pub(super) fn next_discard(&mut self, now: Seconds) -> Option<Kind> {
        for _ in 0..self.bulk.discards.under_way.len() {
            let mut discard = self.bulk.discards.under_way.pop_front()?;
            match self.go_on(&mut discard, now) {
                Found::Over => (discard.done)(Ok(discard.freed)),
                Found::Waits => self.bulk.discards.under_way.push_back(discard),
                Found::Work(kind) => {
                    self.bulk.discards.under_way.push_back(discard);
                    return Some(kind);
                }
            }
        }
        None
    }

    fn go_on(&mut self, discard: &mut Discarding, now: Seconds) -> Found {
        let room = self.room();
        let may_merge = self.work.compacting() < self.options.compactions.max(1);
        let Some(state) = self.tables.get_mut(&discard.table) else {
            return Found::Over;
        };
        if state.epoch != discard.epoch {
            return Found::Over;
        }
        if discard.forgotten != Some(state.tables.damage_changes()) {
            let changed = state.tables.forget(&discard.tokens, self.reports.now);
            discard.forgotten = Some(state.tables.damage_changes());
            if changed {
                discard.marked = true;
                self.reports.unsaved = true;
                state.look_at = None;
                self.give_up_healed();
            }
        }
        let Some(state) = self.tables.get_mut(&discard.table) else {
            return Found::Over;
        };
        let mut waits = state.first_unflushed().is_some_and(|first| first <= discard.last);
        waits |= discard.marked && (self.reports.unsaved || self.work.installing.is_some());
        let tables: Vec<Arc<Table>> = state.tables.live().to_vec();
        for table in tables {
            let file = table.number();
            if discard.clean.contains(&file) {
                continue;
            }
            if state.tables.is_reserved(file) || discard.surveyed.contains(&file) {
                waits = true;
                continue;
            }
            let span = table.span();
            if discard.tokens.covers(span) {
                state.tables.reserve(&[file]);
                discard.freed += table.bytes();
                self.work.ready.push(Change {
                    table: discard.table,
                    epoch: discard.epoch,
                    replaces: Replaces::Files(vec![file]),
                    outputs: Vec::new(),
                    bytes: table.bytes(),
                    major: false,
                });
                waits = true;
            } else if state.tables.is_quarantined(file) {
                // It has holes there.
            } else if !discard.tokens.touches(span) {
                discard.clean.insert(file);
            } else if !discard.holders.contains(&file) {
                discard.surveyed.insert(file);
                return Found::Work(Kind::Survey(Box::new(Survey::new(discard, table))));
            } else if may_merge && let Some(promise) = self.options.promises.promise(table.bytes(), room) {
                discard.freed += table.bytes_of(&discard.tokens);
                let pick = Pick {
                    files: vec![file],
                    bytes: table.bytes(),
                    parts: vec![state.tables.tokens(file)],
                };
                let only = Some(discard.tokens.complement());
                let merge = begin(state, discard.table, (pick, promise), &self.options, now, only);
                let number = self.work.begin(merge);
                return match self.part_of(number) {
                    Some(part) => Found::Work(Kind::Merge(part)),
                    None => Found::Waits,
                };
            } else {
                waits = true;
            }
        }
        if waits {
            return Found::Waits;
        }
        if let Some(changed) = &mut state.changed {
            for range in discard.tokens.ranges() {
                changed.add_between(Token(range.start.0.saturating_add(1)), range.end);
            }
        }
        Found::Over
    }

    /// Takes a survey back. One that failed has reported what it met; the file is looked into again, unless it is
    /// damaged.
    pub(super) fn surveyed(&mut self, survey: &Survey) {
        let mut all = self.bulk.discards.under_way.iter_mut();
        let Some(discard) = all.find(|discard| discard.number == survey.discard) else {
            return;
        };
        let file = survey.table.number();
        discard.surveyed.remove(&file);
        match survey.holds {
            Some(true) => drop(discard.holders.insert(file)),
            Some(false) => drop(discard.clean.insert(file)),
            None => {}
        }
    }
}

/// Looks whether a file holds any of some tokens.
pub(super) struct Survey {
    discard: u64,
    table: Arc<Table>,
    cursor: Cursor,
    tokens: TokenSet,
    /// The first range that was not looked for.
    next: usize,
    holds: Option<bool>,
}

impl Survey {
    fn new(discard: &Discarding, table: Arc<Table>) -> Self {
        Self {
            discard: discard.number,
            cursor: table.cursor(),
            tokens: discard.tokens.intersection(&TokenSet::from(table.span())),
            table,
            next: 0,
            holds: None,
        }
    }

    /// Looks for some ranges; `true` once the answer is known.
    pub(super) fn step(&mut self) -> Result<bool, Error> {
        let ranges = self.tokens.ranges();
        for range in ranges.iter().skip(self.next).take(STEP_RANGES) {
            // A range excludes its start, and is not empty.
            let first = Token(range.start.0.saturating_add(1)).ordered_bytes();
            let found = self.cursor.seek(&first)?;
            let key = self.cursor.key().filter(|_| found).unwrap_or_default();
            if found && key.get(..8) <= Some(&range.end.ordered_bytes()[..]) {
                self.holds = Some(true);
                return Ok(true);
            }
            self.next += 1;
        }
        if self.next >= ranges.len() {
            self.holds = Some(false);
        }
        Ok(self.holds.is_some())
    }
}

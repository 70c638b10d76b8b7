//! Damaged tables: what is known of them, and how it is left behind.
//!
//! A read or a job that meets a block which fails its checks answers [`Error::Corrupt`]; so does a verification that
//! the caller runs, and [reports](Engine::report). The engine quarantines the block's tokens in that table, says so
//! in [`Engine::quarantined`], and is told by [`Engine::heal`] when the data was written anew. See
//! [`version::quarantine`](crate::version::quarantine).

use std::{
    borrow::Cow,
    cell::RefCell,
    path::{Path, PathBuf},
    sync::Arc,
};

use starling_model::{KeyRange, Position, ReadCommand, Seconds, TableId, Token, TokenRange};

use super::{
    Engine,
    install::Change,
    merges::{Merge, Replaces},
    table_state::TableState,
};
use crate::{Error, read::Answer, table::Table, version::Damage};

/// The most reports that are kept until the next look for work. What is left out is found again.
pub(super) const MAX_REPORTS: usize = 64;

/// Tokens of a table that can't be read here, until their data was written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The table.
    pub table: TableId,
    /// The damaged file.
    pub file: PathBuf,
    /// Where in the file the damage was found, in bytes.
    pub offset: u64,
    /// The tokens concerned.
    pub tokens: TokenRange,
    /// What is wrong.
    pub what: String,
    /// When it was found.
    pub since: Seconds,
}

/// What an engine keeps of its damage beside its tables.
#[derive(Debug)]
pub(super) struct Reports {
    /// Not looked at yet.
    waiting: RefCell<Vec<Error>>,
    /// The last time that the engine was told.
    pub(super) now: Seconds,
    /// The manifest does not know all of it.
    pub(super) unsaved: bool,
    pub(super) found: u64,
    pub(super) healed: u64,
    /// Some of it was found before the time was known.
    undated: bool,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            waiting: RefCell::default(),
            now: Seconds(0),
            unsaved: false,
            found: 0,
            healed: 0,
            undated: false,
        }
    }
}

impl Reports {
    /// Of an engine that was opened without so many of its tables.
    pub(super) fn opened(lost: u64) -> Self {
        Self {
            found: lost,
            undated: lost > 0,
            ..Self::default()
        }
    }
}

impl Engine {
    /// Tells the engine of an [`Error::Corrupt`] that someone met who reads its tables by himself. Other errors,
    /// and those of other files, are ignored.
    pub fn report(&self, error: &Error) {
        if !matches!(error, Error::Corrupt { .. }) {
            return;
        }
        let mut waiting = self.reports.waiting.borrow_mut();
        if waiting.len() < MAX_REPORTS {
            waiting.push(error.clone());
        }
    }

    /// [`report`](Self::report), on an error's way out.
    #[cold]
    pub(super) fn met(&self, error: Error) -> Error {
        self.report(&error);
        error
    }

    /// What can't be read, and is to be written anew: the data for `tokens` as the other replicas have it. Then
    /// [`heal`](Self::heal).
    pub fn quarantined(&mut self) -> Vec<Quarantined> {
        self.look_at_reports();
        let mut all = Vec::new();
        for (id, state) in &self.tables {
            for damage in state.tables.quarantined() {
                all.push(Quarantined {
                    table: *id,
                    file: self.dir.join(crate::table::reader::file_name(damage.file)),
                    offset: damage.offset,
                    tokens: damage.range(),
                    what: damage.what.clone(),
                    since: damage.since,
                });
            }
        }
        all
    }

    /// Says that a table's data for these tokens was written anew, durably: what is quarantined within them is
    /// given up, and reads go on without it. Of a piece that lies in part within them, that part is. Returns how many pieces
    /// that were.
    ///
    /// It holds at once, and is made durable by the next install job; a crash before that brings the quarantine
    /// back, and nothing else.
    pub fn heal(&mut self, table: TableId, tokens: TokenRange) -> usize {
        self.look_at_reports();
        let Some(state) = self.tables.get_mut(&table) else {
            return 0;
        };
        let healed = state.tables.heal(tokens);
        if healed > 0 {
            state.changed = None;
            state.look_at = None;
            for export in &mut self.bulk.exports {
                export.take_healed((table, tokens), state, &self.pool);
            }
            self.reports.healed += healed as u64;
            self.reports.unsaved = true;
            self.give_up_healed();
            tracing::info!(%table, %tokens, healed, "quarantined tokens are healed");
        }
        healed
    }

    /// Makes files that can't be opened due to go, once all of their tokens are healed. One that is due already may
    /// become so again: it goes once.
    pub(super) fn give_up_healed(&mut self) {
        for (table, state) in &self.tables {
            let files = state.tables.given_up();
            if files.is_empty() {
                continue;
            }
            self.work.ready.push(Change {
                table: *table,
                epoch: state.epoch,
                replaces: Replaces::Files(files),
                outputs: Vec::new(),
                bytes: 0,
                major: false,
            });
        }
    }

    /// The tables (files) of a table id that are not damaged, to be verified by the caller on another thread.
    /// They can be read also when they are not alive any more.
    pub fn files(&self, table: TableId) -> Vec<Arc<Table>> {
        let Some(state) = self.tables.get(&table) else {
            return Vec::new();
        };
        let is_whole = |file: u64| state.tables.damage().iter().all(|damage| damage.file != file);
        let live = state.tables.live().iter();
        live.filter(|file| is_whole(file.number())).cloned().collect()
    }

    /// Whether a merge's inputs were found damaged while it ran.
    pub(super) fn reads_damage(&mut self, merge: &Merge) -> bool {
        self.look_at_reports();
        let Replaces::Files(files) = &merge.replaces else {
            return false;
        };
        let state = self.tables.get(&merge.table);
        state.is_some_and(|state| {
            state
                .tables
                .quarantined()
                .any(|damage| files.contains(&damage.file))
        })
    }

    /// Quarantines what was reported.
    pub(super) fn look_at_reports(&mut self) {
        if self.reports.undated && self.reports.now != Seconds(0) {
            self.reports.undated = false;
            self.reports.unsaved = true;
            for state in self.tables.values_mut() {
                state.tables.date_damage(self.reports.now);
            }
        }
        for error in self.reports.waiting.take() {
            let Error::Corrupt { file, offset, what } = error else {
                continue;
            };
            for (id, state) in &mut self.tables {
                let Some(table) = state.tables.live().iter().find(|table| table.path() == file) else {
                    continue;
                };
                let damage = Damage::at(table, offset, &what, self.reports.now);
                let (from, to) = (damage.from, damage.to);
                if state.tables.add_damage(damage) {
                    self.reports.found += 1;
                    self.reports.unsaved = true;
                    tracing::error!(
                        table = %id, file = %file.display(), offset, %from, %to, what,
                        "a damaged block: its tokens are quarantined until other replicas' data replaces them"
                    );
                }
                break;
            }
        }
    }
}

/// A read of a table with damage: as much of it as lies before that.
pub(super) struct Guarded<'c> {
    pub(super) command: Cow<'c, ReadCommand>,
    /// What the rest answers.
    rest: Option<Error>,
}

impl<'c> Guarded<'c> {
    /// A read that passes what is damaged.
    pub(super) fn rest(command: &'c ReadCommand) -> Self {
        Self {
            command: Cow::Borrowed(command),
            rest: None,
        }
    }

    /// [`Error::Corrupt`] where the read begins in what is quarantined.
    pub(super) fn new(state: Option<&TableState>, command: &'c ReadCommand) -> Result<Self, Error> {
        let whole = Self::rest(command);
        let Some(state) = state.filter(|state| !state.tables.damage().is_empty()) else {
            return Ok(whole);
        };
        let range = match &command.keys {
            KeyRange::Partition(key) => {
                state.check_token(key.token)?;
                return Ok(whole);
            }
            KeyRange::Tokens(range) => *range,
        };
        let first = command
            .after
            .as_ref()
            .map_or(Token(range.start.0.saturating_add(1)), |after| after.key.token);
        let Some(damage) = state.tables.quarantined_in(first, range.end) else {
            return Ok(whole);
        };
        let rest = state.corrupt(damage);
        if damage.from <= first {
            return Err(rest);
        }
        let mut command = command.clone();
        command.keys = KeyRange::Tokens(TokenRange {
            start: range.start,
            end: damage.range().start,
        });
        Ok(Self {
            command: Cow::Owned(command),
            rest: Some(rest),
        })
    }

    /// Ends a page that came as far as the damage: it is short, and the next one begins there.
    pub(super) fn finish(self, answer: &mut Answer) -> Result<(), Error> {
        let Some(rest) = self.rest.filter(|_| answer.page.next.is_none()) else {
            return Ok(());
        };
        let key = answer.page.last_key().ok_or(rest)?;
        answer.page.next = Some(Position {
            key,
            clustering: None,
            rows: 0,
        });
        Ok(())
    }
}

impl TableState {
    /// [`Error::Corrupt`] if a token is quarantined.
    #[inline]
    pub(super) fn check_token(&self, token: Token) -> Result<(), Error> {
        if self.tables.damage().is_empty() {
            return Ok(());
        }
        match self.tables.quarantined_in(token, token) {
            Some(damage) => Err(self.corrupt(damage)),
            None => Ok(()),
        }
    }

    #[cold]
    fn corrupt(&self, damage: &Damage) -> Error {
        let file = self.tables.path(damage.file);
        Error::Corrupt {
            file: file.map(Path::to_path_buf).unwrap_or_default(),
            offset: damage.offset,
            what: format!(
                "{}; tokens {} to {} are quarantined until other replicas' data replaces them",
                damage.what, damage.from, damage.to
            ),
        }
    }
}

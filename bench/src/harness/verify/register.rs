//! What may still be read of one record.

use super::{
    super::workload::version,
    MAX_HISTORY,
    linear::{Action, Operation},
};

/// A write that a read may return.
#[derive(Debug, Clone, Copy)]
struct Write {
    version: u64,
    began: u64,
    /// When it was acknowledged; [`OPEN`] while it is under way, or for ever if its outcome is unknown.
    ended: u64,
    refused: bool,
    /// What a conditional write expects; absent of others.
    condition: Option<Condition>,
}

/// The version that the record must have; `None`: there must be no record.
type Condition = Option<i64>;

impl Write {
    /// As the checker of histories has it. `applied` is what the server said of a conditional write.
    fn action(self, applied: Option<bool>) -> Action {
        let new = self.version as i64;
        match self.condition {
            None => Action::Write(new),
            Some(expected) => Action::Swap {
                expected,
                new,
                applied,
            },
        }
    }
}

/// Not acknowledged.
const OPEN: u64 = u64::MAX;

/// What a session knows: the latest beginning of the writes that it had acknowledged, and of those that it read.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    session: u32,
    wrote: u64,
    read: u64,
}

/// A read under way, and what was known when it began.
#[derive(Debug, Clone, Copy)]
struct Reading {
    began: u64,
    floor: u64,
    own: Known,
}

/// What a read says about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// As it should be.
    Right,
    /// It returned what was certainly superseded before it began.
    Old {
        /// What it returned.
        version: Option<i64>,
        /// By the session's own acknowledged write.
        own_write: bool,
        /// By what the session had read.
        own_read: bool,
    },
    /// It returned what nobody wrote.
    Phantom(Option<i64>),
}

/// One record. Times are those of the verifier's clock.
#[derive(Debug)]
pub(super) struct Register {
    record: u64,
    writes: Vec<Write>,
    /// What every read from now on must reach: writes that ended before this began are superseded.
    floor: u64,
    known: Vec<Known>,
    reading: Vec<Reading>,
    /// The greatest version that was written to it; absent if none was.
    greatest: Option<u64>,
    history: Option<Vec<Operation>>,
    /// Whether the history lacks what came later.
    cut_off: bool,
}

impl Register {
    /// A record that was loaded, or is not there yet.
    pub(super) fn new(record: u64, loaded: bool, keeps_history: bool) -> Self {
        let first = version::loaded(record);
        let writes = if loaded {
            vec![Write {
                version: first,
                began: 1,
                ended: 1,
                refused: false,
                condition: None,
            }]
        } else {
            Vec::new()
        };
        let mut history = keeps_history.then(Vec::new);
        if let (Some(history), true) = (&mut history, loaded) {
            history.push(Operation {
                began: 1,
                ended: 1,
                action: Action::Write(first as i64),
            });
        }
        Self {
            record,
            writes,
            floor: u64::from(loaded),
            known: Vec::new(),
            reading: Vec::new(),
            greatest: loaded.then_some(first),
            history,
            cut_off: false,
        }
    }

    pub(super) fn write_begins(&mut self, version: u64, began: u64) {
        self.begins(version, began, None);
    }

    /// One that is carried out if the record has the expected version.
    pub(super) fn swap_begins(&mut self, expected: Option<i64>, version: u64, began: u64) {
        self.begins(version, began, Some(expected));
    }

    fn begins(&mut self, version: u64, began: u64, condition: Option<Condition>) {
        self.greatest = self.greatest.max(Some(version));
        self.writes.push(Write {
            version,
            began,
            ended: OPEN,
            refused: false,
            condition,
        });
    }

    pub(super) fn write_acknowledged(&mut self, session: u32, version: u64, ended: u64) {
        let Some(write) = self.writes.iter_mut().find(|write| write.version == version) else {
            return;
        };
        write.ended = ended;
        let (began, action) = (write.began, write.action(Some(true)));
        self.floor = self.floor.max(began);
        let known = self.known(session);
        known.wrote = known.wrote.max(began);
        self.remember(began, ended, action);
        self.forget();
    }

    pub(super) fn write_refused(&mut self, version: u64, ended: u64) {
        if let Some(write) = self.writes.iter_mut().find(|write| write.version == version) {
            write.ended = ended;
            write.refused = true;
        }
    }

    /// The condition of a conditional write did not hold: it was not carried out, and says so of what the record had.
    pub(super) fn swap_refused(&mut self, version: u64, ended: u64) {
        self.write_refused(version, ended);
        if let Some(write) = self.writes.iter().find(|write| write.version == version).copied() {
            self.remember(write.began, ended, write.action(Some(false)));
        }
        self.forget();
    }

    pub(super) fn write_unknown(&mut self, version: u64) {
        if let Some(write) = self.writes.iter().find(|write| write.version == version) {
            let (began, action) = (write.began, write.action(None));
            self.remember(began, OPEN, action);
        }
    }

    pub(super) fn read_begins(&mut self, session: u32, began: u64) {
        let own = *self.known(session);
        self.reading.push(Reading {
            began,
            floor: self.floor,
            own,
        });
    }

    pub(super) fn read_failed(&mut self, began: u64) {
        self.reading.retain(|reading| reading.began != began);
        self.forget();
    }

    pub(super) fn read_returned(
        &mut self,
        session: u32,
        began: u64,
        ended: u64,
        version: Option<i64>,
    ) -> Finding {
        let Some(place) = self.reading.iter().position(|reading| reading.began == began) else {
            return Finding::Right;
        };
        let reading = self.reading.swap_remove(place);
        self.remember(began, ended, Action::Read(version));
        let old = |ended: u64| Finding::Old {
            version,
            own_write: ended < reading.own.wrote,
            own_read: ended < reading.own.read,
        };
        let finding = match version {
            // Before anything was written there is no row.
            None if reading.floor > 0 => old(0),
            None => Finding::Right,
            Some(number) => {
                let write = self
                    .writes
                    .iter()
                    .find(|write| write.version as i64 == number)
                    .copied();
                match write {
                    Some(write) if write.refused => Finding::Phantom(version),
                    Some(write) => {
                        self.floor = self.floor.max(write.began);
                        let known = self.known(session);
                        known.read = known.read.max(write.began);
                        if write.ended < reading.floor {
                            old(write.ended)
                        } else {
                            Finding::Right
                        }
                    }
                    // It was superseded for all reads under way, and forgotten.
                    None if self.may_have_had(number) => old(0),
                    None => Finding::Phantom(version),
                }
            }
        };
        self.forget();
        finding
    }

    /// Whether a version that is not known any more may have been one of this record's. Another record's row is none, however old.
    fn may_have_had(&self, number: i64) -> bool {
        let written = self.greatest.map(|greatest| 0..=greatest as i64);
        version::is_of(number, self.record) && written.is_some_and(|written| written.contains(&number))
    }

    /// The history, if it is kept.
    pub(super) fn history(&self) -> Option<&[Operation]> {
        self.history.as_deref()
    }

    /// Whether the history, if it is kept, was full before the record's last operation.
    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    fn known(&mut self, session: u32) -> &mut Known {
        let place = match self.known.iter().position(|known| known.session == session) {
            Some(place) => place,
            None => {
                self.known.push(Known {
                    session,
                    ..Known::default()
                });
                self.known.len() - 1
            }
        };
        &mut self.known[place]
    }

    /// Forgets writes that no read may return any more.
    fn forget(&mut self) {
        let oldest = self.reading.iter().map(|reading| reading.floor).min();
        let floor = oldest.unwrap_or(self.floor).min(self.floor);
        self.writes.retain(|write| write.ended >= floor);
    }

    /// Keeps an operation. A history that is full takes no more: what is missing ended after all that it has.
    fn remember(&mut self, began: u64, ended: u64, action: Action) {
        let Some(history) = &mut self.history else {
            return;
        };
        if history.len() < MAX_HISTORY {
            history.push(Operation { began, ended, action });
        } else {
            self.cut_off = true;
        }
    }
}

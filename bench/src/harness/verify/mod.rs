//! Whether what the server acknowledged is true (`--verify`).
//!
//! Each write of the run carries a version that no other write has. The verifier follows, for each record, the writes
//! that a read may still return, and judges each read as it ends:
//!
//! 1. A read returns a version that was written to that record, by a write that the server did not refuse. A version says
//!    which record it was written to, so that another one's row is known for what it is ([`super::workload::version`]).
//! 2. It returns none that was *certainly superseded* before the read began: the write of version v was
//!    acknowledged before another write of the record began, and that other one was acknowledged, or read, before this
//!    read began.
//! 3. At the end every record is read at ALL, also those that were loaded and not touched since, and rule 2 holds again:
//!    otherwise an acknowledged write is lost.
//!
//! Rule 2 is what R + W > N promises. It includes read-your-writes and monotonic reads, which are counted apart
//! where the read's own session knew better. Writes that overlap in time may win in either order, and a write whose
//! outcome is unknown may appear at any time, or never.
//!
//! For some records the whole history is kept and checked for linearizability ([`linear`]), which asks for more: one
//! order of all operations that every read agrees with.
//!
//! Memory is bounded: [`MAX_RECORDS`] records are followed (a sample, if there are more), a superseded write is forgotten
//! once no read can return it, and histories have at most [`MAX_HISTORY`] operations.

pub mod last_reads;
pub mod linear;
mod promise;
mod register;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use starling_model::Consistency;

pub use promise::{Promise, needed};
use register::{Finding, Register};

use super::{
    drive::answer::{Answer, Failure},
    evidence::result::Verification,
    workload::random::mix,
};

/// Records that are followed at most.
pub const MAX_RECORDS: u64 = 100_000;

/// Records whose whole history is kept.
pub const MAX_HISTORIES: usize = 256;

/// Operations of a history; what comes later is judged by rules 1 to 3 alone.
pub const MAX_HISTORY: usize = 2000;

/// Violations that are told in words.
const MAX_EXAMPLES: usize = 20;

/// The session that reads at the end.
const FINAL_SESSION: u32 = u32::MAX;

/// An operation that the verifier knows to be under way.
#[derive(Debug)]
pub struct Ticket {
    record: u64,
    session: u32,
    began: u64,
    /// What is written; `None`: a read.
    writes: Option<u64>,
}

/// Follows the versions of a run.
#[derive(Debug)]
pub struct Verifier {
    loaded: u64,
    every: u64,
    promise: Promise,
    clock: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    registers: HashMap<u64, Register>,
    histories: usize,
    /// Records that were read at the end.
    last_read: HashSet<u64>,
    counts: Verification,
}

impl Verifier {
    /// For a run over `loaded` records with statements at these levels.
    pub fn new(loaded: u64, write: Consistency, read: Consistency, replicas: u32) -> Self {
        let promise = Promise::of(write, read, replicas);
        Self {
            loaded,
            every: loaded.div_ceil(MAX_RECORDS).max(1),
            promise,
            // 0 is before anything was there, 1 is when it was loaded.
            clock: AtomicU64::new(2),
            state: Mutex::new(State::default()),
        }
    }

    /// A write is about to be sent. `None` if its record is not followed.
    pub fn write_begins(&self, session: u32, record: u64, version: u64) -> Option<Ticket> {
        let mut state = self.state();
        let register = self.register(&mut state, record)?;
        let began = self.now();
        register.write_begins(version, began);
        Some(Ticket {
            record,
            session,
            began,
            writes: Some(version),
        })
    }

    /// A conditional write is about to be sent, which is carried out if the record has the version `expected`, or if there is
    /// no record (`None`). `None` if its record is not followed.
    pub fn swap_begins(
        &self,
        session: u32,
        record: u64,
        expected: Option<i64>,
        version: u64,
    ) -> Option<Ticket> {
        let mut state = self.state();
        let register = self.register(&mut state, record)?;
        let began = self.now();
        register.swap_begins(expected, version, began);
        Some(Ticket {
            record,
            session,
            began,
            writes: Some(version),
        })
    }

    /// A read is about to be sent. `None` if its record is not followed.
    pub fn read_begins(&self, session: u32, record: u64) -> Option<Ticket> {
        let mut state = self.state();
        let register = self.register(&mut state, record)?;
        let began = self.now();
        register.read_begins(session, began);
        Some(Ticket {
            record,
            session,
            began,
            writes: None,
        })
    }

    /// An operation was answered, or given up.
    pub fn ends(&self, ticket: Ticket, outcome: &Result<Answer, Failure>) {
        let mut state = self.state();
        let ended = self.now();
        let State {
            registers, counts, ..
        } = &mut *state;
        let Some(register) = registers.get_mut(&ticket.record) else {
            return;
        };
        match (ticket.writes, outcome) {
            (Some(version), Ok(answer)) if answer.applied == Some(false) => {
                counts.conditions_failed += 1;
                register.swap_refused(version, ended);
            }
            (Some(version), Ok(_)) => {
                counts.writes += 1;
                register.write_acknowledged(ticket.session, version, ended);
            }
            (Some(version), Err(failure)) if !failure.maybe_applied => register.write_refused(version, ended),
            (Some(version), Err(_)) => {
                counts.unknown_writes += 1;
                register.write_unknown(version);
            }
            (None, Ok(answer)) => {
                counts.reads += 1;
                let finding = register.read_returned(ticket.session, ticket.began, ended, answer.version);
                Self::note(counts, ticket.record, finding, false);
            }
            (None, Err(failure)) if failure.kind == "MissingRow" => {
                counts.reads += 1;
                let finding = register.read_returned(ticket.session, ticket.began, ended, None);
                Self::note(counts, ticket.record, finding, false);
            }
            (None, Err(_)) => register.read_failed(ticket.began),
        }
    }

    /// Follows the records that were loaded and that no operation came to, too: they are to be there at the end. As many as
    /// there is room for.
    pub fn follow_untouched(&self) {
        let mut state = self.state();
        let followed = (0..self.loaded).filter(|&record| self.follows(record));
        for record in followed {
            if state.registers.len() as u64 >= MAX_RECORDS {
                return;
            }
            // Nothing happened to it: its history says nothing.
            let untouched = || Register::new(record, true, false);
            state.registers.entry(record).or_insert_with(untouched);
        }
    }

    /// The records that are followed, and have not been read at the end of the run: each is to be read once more.
    pub fn unread(&self) -> Vec<u64> {
        let state = self.state();
        let all = state.registers.keys().copied();
        let mut records: Vec<u64> = all.filter(|record| !state.last_read.contains(record)).collect();
        records.sort_unstable();
        records
    }

    /// What the levels of the run promise.
    pub fn promise(&self) -> Promise {
        self.promise
    }

    /// What a record held at the end. `None`: there was no row. A record counts once.
    pub fn final_read(&self, record: u64, version: Option<i64>) {
        let mut state = self.state();
        let (began, ended) = (self.now(), self.now());
        let State {
            registers,
            counts,
            last_read,
            ..
        } = &mut *state;
        if let Some(register) = registers.get_mut(&record)
            && last_read.insert(record)
        {
            counts.final_reads += 1;
            register.read_begins(FINAL_SESSION, began);
            let finding = register.read_returned(FINAL_SESSION, began, ended, version);
            Self::note(counts, record, finding, true);
        }
    }

    /// The verdict.
    pub fn verdict(&self) -> Verification {
        let mut state = self.state();
        let State {
            registers, counts, ..
        } = &mut *state;
        counts.records = registers.len() as u64;
        counts.promise = self.promise.to_string();
        let mut records: Vec<_> = registers.iter().collect();
        records.sort_unstable_by_key(|(record, _)| **record);
        (counts.histories, counts.histories_cut_off) = (0, 0);
        (counts.not_linearizable, counts.undecided) = (0, 0);
        for (record, register) in records {
            let Some(history) = register.history() else {
                continue;
            };
            counts.histories += 1;
            counts.histories_cut_off += u64::from(register.is_cut_off());
            match linear::check(history) {
                linear::Verdict::Linearizable => {}
                linear::Verdict::Undecided => counts.undecided += 1,
                linear::Verdict::Violation => {
                    counts.not_linearizable += 1;
                    example(
                        counts,
                        format!("the history of record {record} is not linearizable"),
                    );
                }
            }
        }
        let broken = counts.lost + counts.phantoms;
        let strong =
            counts.own_writes_missed + counts.reads_went_back + counts.stale_reads + counts.not_linearizable;
        counts.beyond_promise = if self.promise.overlap { 0 } else { strong };
        counts.passed = broken == 0 && (strong == 0 || !self.promise.overlap);
        counts.clone()
    }

    fn note(counts: &mut Verification, record: u64, finding: Finding, last: bool) {
        let text = match (&finding, last) {
            (Finding::Right, _) => return,
            (Finding::Phantom(version), _) => {
                counts.phantoms += 1;
                format!("record {record} held version {version:?}, which nobody wrote to it")
            }
            (Finding::Old { version, .. }, true) => {
                counts.lost += 1;
                format!(
                    "record {record} held version {version:?} at the end: a later acknowledged write is lost"
                )
            }
            (
                Finding::Old {
                    version,
                    own_write: true,
                    ..
                },
                _,
            ) => {
                counts.own_writes_missed += 1;
                format!(
                    "record {record}: a session read version {version:?}, which its own write had superseded"
                )
            }
            (
                Finding::Old {
                    version,
                    own_read: true,
                    ..
                },
                _,
            ) => {
                counts.reads_went_back += 1;
                format!("record {record}: a session read version {version:?} after a later one")
            }
            (Finding::Old { version, .. }, _) => {
                counts.stale_reads += 1;
                format!(
                    "record {record}: a read gave version {version:?}, which was superseded before it began"
                )
            }
        };
        example(counts, text);
    }

    fn register<'s>(&self, state: &'s mut State, record: u64) -> Option<&'s mut Register> {
        if !self.follows(record) {
            return None;
        }
        let full = state.registers.len() as u64 >= MAX_RECORDS && !state.registers.contains_key(&record);
        if full {
            return None;
        }
        let histories = &mut state.histories;
        let loaded = record < self.loaded;
        Some(state.registers.entry(record).or_insert_with(|| {
            let keeps = *histories < MAX_HISTORIES;
            *histories += usize::from(keeps);
            Register::new(record, loaded, keeps)
        }))
    }

    /// Whether a record belongs to the sample.
    fn follows(&self, record: u64) -> bool {
        mix(record).is_multiple_of(self.every)
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a verdict says nothing, although nothing was found: there was nothing to be found.
pub fn says_nothing(verdict: &Verification) -> Option<String> {
    let reason = if verdict.writes == 0 {
        "no write of [verify] was acknowledged, so that none could be lost"
    } else if verdict.final_reads == 0 {
        "no record was read at the end"
    } else if verdict.histories > 0 && verdict.undecided == verdict.histories {
        "of no history it could be decided whether it is linearizable"
    } else {
        return None;
    };
    Some(reason.to_owned())
}

fn example(counts: &mut Verification, text: String) {
    if counts.examples.len() < MAX_EXAMPLES {
        counts.examples.push(text);
    }
}

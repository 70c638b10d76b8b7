//! One connection's share of the load, whatever the protocol.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use starling_client::ColumnSpec;

use super::{
    super::{
        evidence::recorder::Recorder,
        verify::{Ticket, Verifier},
        workload::{
            field::Subject,
            file::Expect,
            random::Random,
            script::{Bound, Drawn, Program, Role, Script},
            version,
        },
    },
    answer::{Answer, Failure},
    pace::Pace,
};

/// How often a statement is tried before the run.
const ATTEMPTS: u32 = 20;

/// What is done with each record, once, before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// It is written.
    Load,
    /// It is read as the workload reads records, so that what is read for the first time is none of what is measured.
    Read,
}

impl Pass {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "loading",
            Self::Read => "reading",
        }
    }

    /// The statements, by place, that are carried out for a record.
    pub fn steps(self, program: &Program) -> &[usize] {
        match self {
            Self::Load => &program.load,
            Self::Read => &program.reads,
        }
    }
}

/// Where a lane's operations come from.
#[derive(Debug)]
pub enum Source {
    /// Each record once: the next one's number, for all lanes together.
    Each {
        /// What is done with it.
        pass: Pass,
        /// The next record.
        next: Arc<AtomicU64>,
        /// How many there are.
        records: u64,
        /// For the values.
        random: Random,
    },
    /// As the workload says.
    Run(Script),
}

/// The first failure that makes going on useless; it ends all lanes.
#[derive(Debug, Default)]
pub struct Abort {
    is_set: AtomicBool,
    reason: Mutex<Option<String>>,
}

impl Abort {
    /// Ends all lanes. The first reason stays.
    pub fn with(&self, reason: String) {
        let mut first = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(reason);
        self.is_set.store(true, Ordering::Release);
    }

    /// Whether lanes are to end.
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// Why.
    pub fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An operation under way.
#[derive(Debug)]
pub struct Work {
    drawn: Drawn,
    step: usize,
    attempts: u32,
    intended: Instant,
    payload: u64,
    /// The version that an earlier step read.
    read: Option<i64>,
    ticket: Option<Ticket>,
}

/// What a lane holds beside its connection.
#[derive(Debug)]
pub struct Lane {
    /// The workload.
    pub program: Arc<Program>,
    /// Where operations come from.
    pub source: Source,
    /// When they begin.
    pub pace: Pace,
    /// What was measured.
    pub recorder: Recorder,
    /// Ends all lanes.
    pub abort: Arc<Abort>,
    /// Follows the versions, with `--verify`.
    pub verifier: Option<Arc<Verifier>>,
    /// Its number: a session of its own for the verifier.
    pub session: u32,
    /// Statements are given up after this.
    pub timeout: Duration,
}

impl Lane {
    /// The next operation, if one may begin now.
    pub fn begin(&mut self, now: Instant) -> Option<Work> {
        if self.abort.is_set() {
            return None;
        }
        let intended = self.pace.take(now)?;
        if self.pace.is_open() {
            self.recorder.begun(intended, now);
        }
        let drawn = match &mut self.source {
            Source::Run(script) => script.draw(),
            Source::Each { next, records, .. } => {
                let record = next.fetch_add(1, Ordering::Relaxed);
                if record >= *records {
                    return None;
                }
                Drawn { operation: 0, record }
            }
        };
        Some(Work {
            drawn,
            step: 0,
            attempts: 0,
            intended,
            payload: 0,
            read: None,
            ticket: None,
        })
    }

    /// Whether no operation begins later than `now`, the time of the last call of [`Lane::begin`].
    pub fn is_over(&self, now: Instant) -> bool {
        let loaded = match &self.source {
            Source::Each { next, records, .. } => next.load(Ordering::Relaxed) >= *records,
            Source::Run(_) => false,
        };
        loaded || self.pace.is_over(now) || self.abort.is_set()
    }

    /// The statement that an operation is at.
    pub fn statement_of(&self, work: &Work) -> usize {
        self.steps(work)[work.step]
    }

    fn steps(&self, work: &Work) -> &[usize] {
        match &self.source {
            Source::Each { pass, .. } => pass.steps(&self.program),
            Source::Run(_) => &self.program.operations[work.drawn.operation].steps,
        }
    }

    /// The statement's values. From here on the verifier takes it for sent.
    ///
    /// # Errors
    /// A marker's type can't have the field's value: the workload does not fit its table.
    pub fn bind(&mut self, work: &mut Work, markers: &[ColumnSpec]) -> Result<Bound, String> {
        let statement = self.statement_of(work);
        let version = match &self.source {
            Source::Each { .. } => version::loaded(work.drawn.record),
            Source::Run(_) => self.program.next_version(work.drawn.record),
        };
        let program = Arc::clone(&self.program);
        let subject = Subject {
            record: work.drawn.record,
            version,
            read: work.read,
        };
        let random = match &mut self.source {
            Source::Each { random, .. } => random,
            Source::Run(script) => script.random(),
        };
        let bound = program.bind(statement, markers, subject, random)?;
        work.payload = bound.payload;
        if let (Some(verifier), Source::Run(_)) = (&self.verifier, &self.source) {
            work.ticket = match program.statements[statement].role {
                Role::None => None,
                Role::Write => verifier.write_begins(self.session, subject.record, version),
                Role::Swap { expects_read } => {
                    let expected = work.read.filter(|_| expects_read);
                    verifier.swap_begins(self.session, subject.record, expected, version)
                }
                Role::Read => verifier.read_begins(self.session, work.drawn.record),
            };
        }
        Ok(bound)
    }

    /// A statement was answered. Gives the operation back if it goes on with its next statement, or must try again.
    pub fn answered(
        &mut self,
        mut work: Work,
        outcome: Result<Answer, Failure>,
        now: Instant,
    ) -> Option<Work> {
        let statement = self.statement_of(&work);
        let outcome = self.checked(statement, outcome);
        if let (Some(verifier), Some(ticket)) = (&self.verifier, work.ticket.take()) {
            verifier.ends(ticket, &outcome);
        }
        match outcome {
            Ok(answer) => {
                if matches!(self.source, Source::Run(_)) {
                    self.program.growth.acknowledge(work.drawn.record);
                }
                if answer.applied != Some(false) {
                    self.recorder.wrote(work.payload, work.intended);
                }
                work.read = answer.version.or(work.read);
                work.step += 1;
                if work.step < self.steps(&work).len() {
                    return Some(work);
                }
                self.recorder.done(work.drawn.operation, work.intended, now);
                None
            }
            Err(failure) => self.failed(work, failure, now),
        }
    }

    fn checked(&self, statement: usize, outcome: Result<Answer, Failure>) -> Result<Answer, Failure> {
        let answer = outcome?;
        let statement = &self.program.statements[statement];
        if statement.expect == Some(Expect::Row) && answer.rows == 0 {
            return Err(Failure::wrong(
                "MissingRow",
                format!("'{}' found no row where there is one", statement.name),
            ));
        }
        Ok(answer)
    }

    fn failed(&mut self, mut work: Work, failure: Failure, now: Instant) -> Option<Work> {
        let Source::Each { pass, .. } = &self.source else {
            self.recorder
                .failed(work.drawn.operation, work.intended, now, &failure);
            return None;
        };
        work.attempts += 1;
        if failure.passing && work.attempts < ATTEMPTS && !self.abort.is_set() {
            return Some(work);
        }
        self.abort.with(format!(
            "{} record {} failed: {}: {}",
            pass.name(),
            work.drawn.record,
            failure.kind,
            failure.message
        ));
        None
    }

    /// Ends the lane: operations that were due and never sent are errors.
    pub fn close(&mut self) {
        if let Some(missed) = self.pace.abandon() {
            self.recorder.never_sent(missed);
        }
        self.recorder.close();
    }
}

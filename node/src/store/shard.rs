//! One shard: what an engine is asked, and what is done about its background work.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crossbeam::channel::{Sender, TrySendError};
use parking_lot::Mutex;
use starling_model::{Seconds, TableId};
use starling_replication::{Damaged, StoreError};
use starling_sstable::{Engine, Error, Job, Log, Lsn, Room};
use tracing::error;

use super::{
    CommitLogSync,
    failures::Failures,
    jobs::JobQueue,
    readers::Readers,
    request::{Answer, Read, Request, Told, store_error},
    slowdown::Slowdown,
    sync::{Ack, Group, Waiting},
};

/// How long a read may take a thread that has other things to do. After that it is begun anew by the shard's own.
const IN_PASSING: Duration = Duration::from_micros(200);

/// How often a read is parked at most: for its indexes, for its blocks, and once more for what the system took back
/// meanwhile. Then it is done, whatever it has to wait for.
const MOST_PARKED: u32 = 3;

/// How long background work rests after it failed.
const REST: Duration = Duration::from_secs(1);

/// A shard's state.
pub(super) struct Shard {
    pub(super) engine: Engine,
    pub(super) log: Arc<Log>,
    pub(super) mode: CommitLogSync,
    /// To this shard's own thread: for jobs that are through, and for reads that take long.
    pub(super) own: Sender<Request>,
    /// What waits for the log.
    pub(super) waiting: Waiting,
    pub(super) jobs: JobQueue,
    pub(super) readers: Readers,
    /// Its number.
    pub(super) number: u32,
    pub(super) slowdown: Slowdown,
    /// Requests that were served since background work was last looked for.
    pub(super) unlooked: usize,
    /// Who asked for the end.
    pub(super) stopped: Option<Answer<()>>,
    /// What flushes and compactions fail of.
    pub(super) failures: Failures,
    /// After a job failed: when background work goes on. A disk that is full is not asked without pause.
    pub(super) rest_until: Option<Instant>,
}

impl Shard {
    /// Hands acknowledgements to the thread that syncs the log for them.
    pub(super) fn hand_on(&self, group: Group) {
        if !group.is_empty() {
            self.waiting.add(group);
        }
    }

    /// Counts requests that were served since background work was last looked for; how many they are now.
    pub(super) fn count_unlooked(&mut self, served: usize) -> usize {
        self.unlooked += served;
        self.unlooked
    }

    /// Carries a request out. Who serves `in_passing` has other things to do: what turns out to take long goes to the
    /// shard's own thread.
    pub(super) fn serve(&mut self, request: Request, group: &mut Group, in_passing: bool) -> ControlFlow<()> {
        // What waited for too long in the queue is not worth the time of those behind it.
        if request.is_abandoned() {
            return ControlFlow::Continue(());
        }
        match request {
            Request::Look => {}
            Request::Apply(.., answer) if self.waiting.is_full() => {
                let _ = answer.send(Err(StoreError::Overloaded));
            }
            Request::Apply(_, deadline, answer) if Instant::now() >= deadline => {
                let _ = answer.send(Err(StoreError::Late));
            }
            Request::Apply(mutation, _, answer) => {
                let record = mutation.bytes();
                match self.engine.apply_encoded(record) {
                    Ok(lsn) => self.acknowledge(group, lsn, answer, record.len()),
                    Err(error) => refuse(answer, &error),
                }
            }
            Request::Read(read) => self.read(read, group, in_passing),
            Request::Truncate(table, answer) => {
                let outcome = self.engine.truncate(table).map_err(|error| store_error(&error));
                let _ = answer.send(outcome);
            }
            Request::Changed(table, answer) => drop(answer.send(Ok(self.engine.take_changed(table)))),
            Request::SetPurge(table, policy, answer) => {
                self.engine.set_purge(table, policy);
                let _ = answer.send(Ok(()));
            }
            Request::SetOptions(table, settings, answer) => {
                self.engine.set_table_settings(table, &settings);
                let _ = answer.send(Ok(()));
            }
            Request::Damaged(answer) => drop(answer.send(Ok(self.damaged()))),
            Request::Heal(piece, answer) => {
                self.engine.heal(piece.table, piece.tokens);
                let _ = answer.send(Ok(()));
            }
            Request::Sizes(table, sets, answer) => {
                let sizes = sets.iter().map(|set| self.engine.bytes_of(table, set)).collect();
                let _ = answer.send(Ok(sizes));
            }
            Request::Parts(table, tokens, slices, bytes, answer) => {
                let parts = self.engine.parts_of(table, &tokens, &slices, &bytes);
                let _ = answer.send(Ok(parts));
            }
            Request::Export(table, tokens, parts, dir, options, answer) => {
                later(answer, |done| {
                    self.engine
                        .export_with(table, &tokens, &parts, dir, options, done)
                });
            }
            Request::Ingest(table, files, answer) => {
                later(answer, |done| self.engine.ingest(table, files, done));
            }
            Request::Discard(table, tokens, answer) => {
                later(answer, |done| self.engine.discard(table, tokens, done));
            }
            Request::Stats(answer) => {
                let told = Told {
                    engine: self.engine.stats(),
                    large_rows: self.engine.large_rows(),
                    flushes_wait_for: self.failures.of_flushes(),
                    waits_for: self.waits_for(),
                };
                drop(answer.send(Ok(told)));
            }
            Request::Operate(operation) => operation.carry_out(self),
            Request::JobDone(job, outcome) => self.install(*job, outcome),
            Request::Stop(answer) => {
                self.stopped = Some(answer);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Answers a write of `bytes`: after its sync, or at once where the log is synced by the clock; later where
    /// flushes or compactions lag.
    fn acknowledge(&mut self, group: &mut Group, lsn: Lsn, answer: Answer<()>, bytes: usize) {
        let delay = Duration::from_nanos(self.engine.write_delay(bytes));
        let due = self.slowdown.hold(delay, Instant::now);
        match self.mode {
            CommitLogSync::Group => group.add_not_before(lsn, Ack::Write(answer), due),
            CommitLogSync::Periodic(_) if due.is_some() => {
                group.add_not_before(Lsn::ZERO, Ack::Write(answer), due);
            }
            CommitLogSync::Periodic(_) => drop(answer.send(Ok(()))),
        }
    }

    /// Reads a page. What it needs of a disk is loaded by others first: it comes back then.
    fn read(&mut self, mut read: Box<Read>, group: &mut Group, in_passing: bool) {
        let now = Instant::now();
        if now >= read.deadline {
            let _ = read.answer.send(Err(StoreError::Late));
            return;
        }
        if read.parked < MOST_PARKED
            && let Some(cold) = self.engine.cold(&read.command)
        {
            read.parked += 1;
            if let Err(read) = self.readers.park(cold, read, self.own.clone()) {
                let _ = read.answer.send(Err(StoreError::Overloaded));
            }
            return;
        }
        let deadline = if in_passing {
            read.deadline.min(now + IN_PASSING)
        } else {
            read.deadline
        };
        let mut stopped = false;
        let mut stop = || {
            stopped |= read.answer.is_closed() || Instant::now() >= deadline;
            stopped
        };
        let page = self.engine.read_extent(&read.command, read.extent, &mut stop);
        if stopped && in_passing {
            if let Err(TrySendError::Full(Request::Read(read))) = self.own.try_send(Request::Read(read)) {
                let _ = read.answer.send(Err(StoreError::Overloaded));
            }
            return;
        }
        let answer = read.answer;
        match page {
            Ok(result) => {
                let durable =
                    matches!(self.mode, CommitLogSync::Periodic(_)) || result.durable_at <= self.log.synced();
                if durable {
                    let _ = answer.send(Ok(result));
                } else {
                    group.add(result.durable_at, Ack::Read(answer, result));
                }
            }
            Err(error) => refuse(answer, &error),
        }
    }

    /// Has everything that was taken made durable, and says so to whoever asked for the end.
    pub(super) fn stop(&mut self) {
        if let Some(answer) = self.stopped.take() {
            let mut last = Group::default();
            last.add(self.log.appended(), Ack::Write(answer));
            self.hand_on(last);
        }
    }

    /// What flushes and compactions wait for, in words; `None`: for nothing.
    fn waits_for(&self) -> Option<String> {
        let flushes = self.failures.of_flushes();
        flushes.or_else(|| self.compactions_wait_for(None))
    }

    /// What compactions wait for, of some tables or (`None`) of any.
    pub(super) fn compactions_wait_for(&self, tables: Option<&[TableId]>) -> Option<String> {
        if let Some(failed) = self.failures.of_compactions(tables) {
            return Some(failed);
        }
        let (needs, room) = self.engine.lacks_room(tables)?;
        let Room {
            free,
            reserve,
            promised,
        } = room;
        Some(format!(
            "a compaction of {needs} bytes waits for room on the disk: {free} are free, of which {reserve} are kept for flushes \
             and {promised} for what is under way"
        ))
    }

    fn damaged(&mut self) -> Vec<Damaged> {
        let quarantined = self.engine.quarantined();
        let pieces = quarantined.iter().map(|piece| Damaged {
            table: piece.table,
            tokens: piece.tokens,
        });
        pieces.collect()
    }

    /// Hands new flushes and compactions to the background threads.
    pub(super) fn offer_jobs(&mut self) {
        self.unlooked = 0;
        if self.rest_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        self.rest_until = None;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Seconds(u32::try_from(now.as_secs()).unwrap_or(u32::MAX));
        while let Some(job) = self.engine.next_job(now) {
            if let Some(task) = job.task() {
                self.failures.begun(task);
            }
            self.jobs.push(Box::new(job), self.own.clone());
        }
        self.failures.all_begun();
        self.jobs.owe(self.number, self.engine.compaction_debt());
    }

    fn install(&mut self, job: Job, outcome: Result<(), Error>) {
        let task = job.task();
        // A job that failed is handed back too: so the engine knows that the work is to be offered again.
        let outcome = outcome.and(self.engine.finish(job));
        if let Err(error) = &outcome {
            error!(%error, "background work failed; nothing is lost, it will be tried again");
            self.rest_until = Some(Instant::now() + REST);
        }
        if let Some(task) = task {
            self.failures
                .ended(task, outcome.err().map(|error| error.to_string()));
        }
    }
}

/// Begins what the engine tells the end of; the answer is sent then, or at once if it refuses.
pub(super) fn later<T: Send + 'static>(
    answer: Answer<T>,
    begin: impl FnOnce(Box<dyn FnOnce(Result<T, Error>) + Send>) -> Result<(), Error>,
) {
    let waiting = Arc::new(Mutex::new(Some(answer)));
    let told = Arc::clone(&waiting);
    let done = move |outcome: Result<T, Error>| {
        if let Some(answer) = told.lock().take() {
            let _ = answer.send(outcome.map_err(|error| store_error(&error)));
        }
    };
    if let Err(error) = begin(Box::new(done))
        && let Some(answer) = waiting.lock().take()
    {
        refuse(answer, &error);
    }
}

fn refuse<T>(answer: Answer<T>, error: &Error) {
    if !matches!(error, Error::Overloaded { .. }) {
        error!(%error, "the storage could not do what it was asked");
    }
    let _ = answer.send(Err(store_error(error)));
}

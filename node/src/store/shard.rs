//! One shard: the thread that owns an engine.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;
use starling_model::Seconds;
use starling_replication::{Damaged, StoreError};
use starling_sstable::{Engine, Error, Job, Log, Lsn};
use tracing::error;

use super::{
    CommitLogSync,
    jobs::JobQueue,
    readers::Readers,
    request::{Answer, Read, Request, store_error},
    sync::{Ack, Group},
};

/// Requests that a shard takes at one wake-up, before it hands their acknowledgements on.
const BATCH_REQUESTS: usize = 256;

/// An idle shard looks for background work this often.
const IDLE: Duration = Duration::from_secs(1);

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
    pub(super) inbox: Receiver<Request>,
    /// To this shard itself, for jobs that are through.
    pub(super) own: Sender<Request>,
    pub(super) groups: Sender<Group>,
    pub(super) jobs: JobQueue,
    pub(super) readers: Readers,
    /// Its number.
    pub(super) number: u32,
    /// When the writes that were slowed down have waited for long enough.
    pub(super) writes_due: Option<Instant>,
    /// After a job failed: when background work goes on. A disk that is full is not asked without pause.
    pub(super) rest_until: Option<Instant>,
}

impl Shard {
    /// Serves requests until it is told to stop, or nobody can ask any more.
    pub(super) fn run(mut self) {
        loop {
            let first = match self.inbox.recv_timeout(IDLE) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut group = Group::default();
            let mut flow = ControlFlow::Continue(());
            for request in first
                .into_iter()
                .chain(self.inbox.clone().try_iter().take(BATCH_REQUESTS - 1))
            {
                flow = self.serve(request, &mut group);
                if flow.is_break() {
                    break;
                }
            }
            if !group.is_empty() && self.groups.send(group).is_err() {
                return;
            }
            if flow.is_break() {
                return;
            }
            self.offer_jobs();
        }
    }

    fn serve(&mut self, request: Request, group: &mut Group) -> ControlFlow<()> {
        // What waited for too long in the channel is not worth the time of those behind it.
        if request.is_abandoned() {
            return ControlFlow::Continue(());
        }
        match request {
            Request::Apply(mutation, answer) => {
                let record = mutation.bytes();
                match self.engine.apply_encoded(record) {
                    Ok(lsn) => self.acknowledge(group, lsn, answer, record.len()),
                    Err(error) => refuse(answer, &error),
                }
            }
            Request::Read(read) => self.read(read, group),
            Request::Truncate(table, answer) => {
                let outcome = self.engine.truncate(table).map_err(|error| store_error(&error));
                let _ = answer.send(outcome);
            }
            Request::Changed(table, answer) => drop(answer.send(Ok(self.engine.take_changed(table)))),
            Request::SetPurge(table, policy, answer) => {
                self.engine.set_purge(table, policy);
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
            Request::Export(table, tokens, parts, dir, answer) => {
                later(answer, |done| {
                    self.engine.export(table, &tokens, &parts, dir, done)
                });
            }
            Request::Ingest(table, files, answer) => {
                later(answer, |done| self.engine.ingest(table, files, done));
            }
            Request::Discard(table, tokens, answer) => {
                later(answer, |done| self.engine.discard(table, tokens, done));
            }
            Request::Stats(answer) => drop(answer.send(Ok(self.engine.stats()))),
            Request::JobDone(job, outcome) => self.install(*job, outcome),
            Request::Stop(answer) => {
                group.add(self.log.appended(), Ack::Write(answer));
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Answers a write of `bytes`: after its sync, or at once where the log is synced by the clock; later where
    /// flushes or compactions lag.
    fn acknowledge(&mut self, group: &mut Group, lsn: Lsn, answer: Answer<()>, bytes: usize) {
        let due = self.slowed_down(bytes);
        match self.mode {
            CommitLogSync::Group => group.add_not_before(lsn, Ack::Write(answer), due),
            CommitLogSync::Periodic(_) if due.is_some() => {
                group.add_not_before(Lsn::ZERO, Ack::Write(answer), due);
            }
            CommitLogSync::Periodic(_) => drop(answer.send(Ok(()))),
        }
    }

    /// When a write may be answered, if the engine wants writes to be slower: each after the delay of all before
    /// it, so that many clients are slowed down as one is.
    fn slowed_down(&mut self, bytes: usize) -> Option<Instant> {
        let delay = self.engine.write_delay(bytes);
        if delay == 0 && self.writes_due.is_none() {
            return None;
        }
        let now = Instant::now();
        let from = self.writes_due.filter(|due| *due > now).unwrap_or(now);
        let due = from + Duration::from_nanos(delay);
        self.writes_due = (due > now).then_some(due);
        self.writes_due
    }

    /// Reads a page. What it needs of a disk is loaded by others first: it comes back then.
    fn read(&mut self, mut read: Box<Read>, group: &mut Group) {
        if Instant::now() >= read.deadline {
            // Whoever asked does not wait any more.
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
        let Read {
            command,
            deadline,
            answer,
            ..
        } = *read;
        match self
            .engine
            .read_encoded(&command, &mut || answer.is_closed() || Instant::now() >= deadline)
        {
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

    fn damaged(&mut self) -> Vec<Damaged> {
        let quarantined = self.engine.quarantined();
        let pieces = quarantined.iter().map(|piece| Damaged {
            table: piece.table,
            tokens: piece.tokens,
        });
        pieces.collect()
    }

    /// Hands new flushes and compactions to the background threads.
    fn offer_jobs(&mut self) {
        if self.rest_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        self.rest_until = None;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Seconds(u32::try_from(now.as_secs()).unwrap_or(u32::MAX));
        while let Some(job) = self.engine.next_job(now) {
            self.jobs.push(Box::new(job), self.own.clone());
        }
        self.jobs.owe(self.number, self.engine.compaction_debt());
    }

    fn install(&mut self, job: Job, outcome: Result<(), Error>) {
        // A job that failed is handed back too: so the engine knows that the work is to be offered again.
        if let Err(error) = outcome.and(self.engine.finish(job)) {
            error!(%error, "a flush or compaction failed; nothing is lost, it will be tried again");
            self.rest_until = Some(Instant::now() + REST);
        }
    }
}

/// Begins what the engine tells the end of; the answer is sent then, or at once if it refuses.
fn later<T: Send + 'static>(
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

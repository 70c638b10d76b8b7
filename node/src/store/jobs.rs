//! Background work: flushes and compactions, in small steps, on a few threads for all shards.
//!
//! What writes wait for goes first, and as fast as it can. Compactions share a pace that follows how much of them
//! is owed, so that they take the disk and the processors from requests no more than they have to. What somebody waits for
//! besides (exports, ingests, snapshots) takes turns with them and does not rest (`turns`).

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use parking_lot::Mutex;
use starling_sstable::{Job, Pace, PaceLimits, Step};

use super::{
    request::Request,
    thread,
    turns::{Class, Turns},
};

struct Queued {
    job: Box<Job>,
    owner: Sender<Request>,
}

/// Where shards put their jobs. Its length is bounded by the engines, each of which has at most a few jobs
/// under way.
#[derive(Clone)]
pub(super) struct JobQueue {
    queue: Sender<Queued>,
    /// What each shard owes in compactions, in bytes.
    debts: Arc<[AtomicU64]>,
}

impl JobQueue {
    /// Starts `threads` background threads for `shards` shards. They end when the last clone of the queue is
    /// dropped.
    pub(super) fn start(threads: usize, shards: u32) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (queue, jobs) = unbounded();
        let debts: Arc<[AtomicU64]> = (0..shards).map(|_| AtomicU64::new(0)).collect();
        let limiter = Arc::new(Limiter {
            limits: PaceLimits::default(),
            debts: Arc::clone(&debts),
            start: Instant::now(),
            pace: Mutex::new(Pace::new(PaceLimits::default().least)),
        });
        let threads = (0..threads)
            .map(|n| {
                let worker = Worker {
                    jobs: jobs.clone(),
                    limiter: Arc::clone(&limiter),
                    turns: Turns::default(),
                };
                thread::vital(format!("background-{n}"), move || worker.run())
            })
            .collect::<io::Result<_>>()?;
        Ok((Self { queue, debts }, threads))
    }

    pub(super) fn push(&self, job: Box<Job>, owner: Sender<Request>) {
        // The threads live as long as the queue.
        let _ = self.queue.send(Queued { job, owner });
    }

    /// Tells how much a shard owes in compactions, in bytes.
    pub(super) fn owe(&self, shard: u32, bytes: u64) {
        if let Some(debt) = self.debts.get(shard as usize) {
            debt.store(bytes, Ordering::Relaxed);
        }
    }
}

/// The pace of all compactions together.
struct Limiter {
    limits: PaceLimits,
    debts: Arc<[AtomicU64]>,
    start: Instant,
    pace: Mutex<Pace>,
}

impl Limiter {
    /// Until when no more should be done after `bytes` of work.
    fn paid_at(&self, bytes: u64) -> Instant {
        let debt = self.debts.iter().map(|debt| debt.load(Ordering::Relaxed)).sum();
        let now = Instant::now();
        let elapsed = u64::try_from((now - self.start).as_nanos()).unwrap_or(u64::MAX);
        let mut pace = self.pace.lock();
        pace.set(self.limits.bytes_per_second(debt));
        now + std::time::Duration::from_nanos(pace.take(elapsed, bytes))
    }
}

/// One background thread.
struct Worker {
    jobs: Receiver<Queued>,
    limiter: Arc<Limiter>,
    turns: Turns<Queued>,
}

impl Worker {
    /// Gives jobs a step in turn, and looks at what else waits. Ends when all shards have stopped: what is half
    /// done then would be thrown away.
    fn run(mut self) {
        loop {
            for queued in self.jobs.clone().try_iter() {
                self.turns.enqueue(class_of(&queued.job), queued);
            }
            if let Some(queued) = self.turns.next(Instant::now()) {
                self.step(queued);
                continue;
            }
            let received = match self.turns.idle_until() {
                Some(rested) => self.jobs.recv_deadline(rested),
                None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match received {
                Ok(queued) => self.turns.enqueue(class_of(&queued.job), queued),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn step(&mut self, mut queued: Queued) {
        let before = queued.job.worked();
        let outcome = queued.job.step();
        let bytes = queued.job.worked() - before;
        let class = class_of(&queued.job);
        if class == Class::Paced && bytes > 0 {
            self.turns.rest(self.limiter.paid_at(bytes));
        }
        match outcome {
            Ok(Step::More) => self.turns.go_on(class, queued),
            Ok(Step::Done) => drop(queued.owner.send(Request::JobDone(queued.job, Ok(())))),
            Err(error) => drop(queued.owner.send(Request::JobDone(queued.job, Err(error)))),
        }
    }
}

fn class_of(job: &Job) -> Class {
    if job.is_urgent() {
        Class::Urgent
    } else if job.is_paced() {
        Class::Paced
    } else {
        Class::Prompt
    }
}

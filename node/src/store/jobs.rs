//! Background work: flushes and compactions, on a few threads for all shards.
//!
//! What writes wait for has threads of its own, and goes as fast as it can. All else is done in small steps on threads that
//! stand back where requests want the processors too. Compactions share a pace that follows how much of them
//! is owed, so that they take the disk from requests no more than they have to. What somebody waits for
//! besides (exports, ingests, snapshots) takes turns with them and does not rest (`turns`). These threads take their steps from
//! one line, so that none is idle while another has several jobs to do.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use crossbeam::channel::{Receiver, Sender, unbounded};
use parking_lot::{Condvar, Mutex};
use starling_sstable::{Error, Job, Pace, PaceLimits, Step};

use super::{
    request::Request,
    thread,
    turns::{Class, Turns},
};

struct Queued {
    job: Box<Job>,
    owner: Sender<Request>,
}

impl Queued {
    fn give_back(self, outcome: Result<(), Error>) {
        // A shard that has stopped has no use for it.
        let _ = self.owner.send(Request::JobDone(self.job, outcome));
    }
}

/// What waits for a thread, of all threads.
struct Line<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    turns: Turns<T>,
    /// Nothing new will come.
    ended: bool,
}

impl<T> Line<T> {
    fn new() -> Self {
        Self {
            state: Mutex::new(State {
                turns: Turns::default(),
                ended: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Puts something new behind what waits.
    fn put(&self, class: Class, job: T) {
        self.state.lock().turns.enqueue(class, job);
        self.changed.notify_one();
    }

    /// Puts something back that has more to do: who does so takes the next thing.
    fn put_back(&self, class: Class, job: T) {
        self.state.lock().turns.enqueue(class, job);
    }

    /// Paced jobs rest.
    fn rest(&self, until: Instant) {
        self.state.lock().turns.rest(until);
    }

    /// What comes next, once there is something; `None` once nothing more will come and what is left, if anything,
    /// rests.
    fn take(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.turns.next(Instant::now()) {
                // Who is woken for one thing may have taken another, and all others may wait for nothing in particular.
                if !state.turns.is_empty() {
                    self.changed.notify_one();
                }
                return Some(job);
            }
            if state.ended {
                return None;
            }
            match state.turns.idle_until() {
                Some(rested) => {
                    self.changed.wait_until(&mut state, rested);
                }
                None => self.changed.wait(&mut state),
            }
        }
    }

    fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }
}

/// Ends the line when the last shard lets go of it.
struct Entrance(Arc<Line<Queued>>);

impl Drop for Entrance {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Where shards put their jobs. Its length is bounded by the engines: each has a flush of each table and a few compactions and exports under way, and
/// of what this node asks for, ingests and snapshots, as many as were asked for.
#[derive(Clone)]
pub(super) struct JobQueue {
    urgent: Sender<Queued>,
    entrance: Arc<Entrance>,
    /// What each shard owes in compactions, in bytes.
    debts: Arc<[AtomicU64]>,
}

impl JobQueue {
    /// Starts `threads` threads for urgent jobs, and as many for others, of `shards` shards. They end when the last
    /// clone of the queue is dropped.
    pub(super) fn start(threads: usize, shards: u32) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let line = Arc::new(Line::new());
        let entrance = Arc::new(Entrance(Arc::clone(&line)));
        let debts: Arc<[AtomicU64]> = (0..shards).map(|_| AtomicU64::new(0)).collect();
        let limiter = Arc::new(Limiter {
            limits: PaceLimits::default(),
            debts: Arc::clone(&debts),
            start: Instant::now(),
            pace: Mutex::new(Pace::new(PaceLimits::default().least)),
        });
        let (urgent, queue) = unbounded();
        let mut started = Vec::new();
        for n in 0..threads {
            let queue = queue.clone();
            started.push(thread::vital(format!("urgent-{n}"), move || run_urgent(&queue))?);
            let worker = Worker {
                line: Arc::clone(&line),
                limiter: Arc::clone(&limiter),
            };
            started.push(thread::vital(format!("background-{n}"), move || worker.run())?);
        }
        let queue = Self {
            urgent,
            entrance,
            debts,
        };
        Ok((queue, started))
    }

    pub(super) fn push(&self, job: Box<Job>, owner: Sender<Request>) {
        let queued = Queued { job, owner };
        if queued.job.is_urgent() {
            self.urgent
                .send(queued)
                .expect("the threads live as long as the queue");
        } else {
            self.entrance.0.put(class_of(&queued.job), queued);
        }
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

/// Does urgent jobs, each to its end: writes wait for them.
fn run_urgent(queue: &Receiver<Queued>) {
    for mut queued in queue {
        let outcome = loop {
            match queued.job.step() {
                Ok(Step::More) => {}
                Ok(Step::Done) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        queued.give_back(outcome);
    }
}

/// One thread for all that is not urgent.
struct Worker {
    line: Arc<Line<Queued>>,
    limiter: Arc<Limiter>,
}

impl Worker {
    /// Gives jobs a step in turn. Ends when all shards have stopped: what is half done then would be thrown away.
    fn run(&self) {
        thread::stand_back();
        while let Some(queued) = self.line.take() {
            self.step(queued);
        }
    }

    fn step(&self, mut queued: Queued) {
        let before = queued.job.worked();
        let outcome = queued.job.step();
        let bytes = queued.job.worked() - before;
        let class = class_of(&queued.job);
        if class == Class::Paced && bytes > 0 {
            self.line.rest(self.limiter.paid_at(bytes));
        }
        match outcome {
            Ok(Step::More) => self.line.put_back(class, queued),
            Ok(Step::Done) => queued.give_back(Ok(())),
            Err(error) => queued.give_back(Err(error)),
        }
    }
}

fn class_of(job: &Job) -> Class {
    if job.is_paced() {
        Class::Paced
    } else {
        Class::Prompt
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    /// Each of two jobs waits for the other to be under way.
    #[test]
    fn as_many_jobs_are_under_way_as_there_are_threads() {
        let line = Line::new();
        let both = Barrier::new(2);
        line.put(Class::Prompt, 1);
        line.put(Class::Prompt, 2);
        let mut taken = thread::scope(|scope| {
            let take = || {
                let job = line.take();
                both.wait();
                job
            };
            let threads = [scope.spawn(take), scope.spawn(take)];
            threads.map(|thread| thread.join().unwrap())
        });
        taken.sort_unstable();
        assert_eq!(taken, [Some(1), Some(2)]);
    }

    #[test]
    fn what_is_put_back_goes_on_until_it_is_done_and_the_threads_end() {
        let line = Line::new();
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while let Some((class, steps, number)) = line.take() {
                        if steps > 0 {
                            line.put_back(class, (class, steps - 1, number));
                        } else {
                            done.lock().push(number);
                        }
                    }
                });
            }
            for number in 0..300 {
                let class = [Class::Prompt, Class::Paced][number % 2];
                line.put(class, (class, number % 7, number));
            }
            line.end();
        });
        let mut done = done.into_inner();
        done.sort_unstable();
        assert_eq!(done, (0..300).collect::<Vec<_>>());
    }

    #[test]
    fn paced_jobs_rest_in_all_threads_and_hold_up_nothing_else() {
        let line = Line::new();
        line.put(Class::Paced, "compaction");
        line.rest(Instant::now() + std::time::Duration::from_hours(1));
        line.put(Class::Prompt, "export");
        assert_eq!(line.take(), Some("export"));
        line.end();
        assert_eq!(line.take(), None, "what rests is thrown away");
    }
}

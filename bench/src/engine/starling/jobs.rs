//! Flushes and compactions on threads of their own.

use std::{collections::VecDeque, io, thread};

use crossbeam::channel::{Receiver, Sender, TryRecvError, unbounded};
use starling_sstable::{Error, Job, Step};

/// A job that is through, and how it went.
pub(super) type Done = (Box<Job>, Result<(), Error>);

struct Queued {
    job: Box<Job>,
    owner: Sender<Done>,
}

/// Where shards put their jobs. The threads end when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Jobs {
    queue: Sender<Queued>,
}

impl Jobs {
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let (queue, jobs) = unbounded();
        for number in 0..threads {
            let jobs = jobs.clone();
            thread::Builder::new()
                .name(format!("background-{number}"))
                .spawn(move || run(&jobs))?;
        }
        Ok(Self { queue })
    }

    pub(super) fn push(&self, job: Box<Job>, owner: Sender<Done>) {
        // The threads live as long as the queue.
        let _ = self.queue.send(Queued { job, owner });
    }
}

/// Gives each job a step in turn; a flush, which writes wait for, all it needs.
fn run(jobs: &Receiver<Queued>) {
    let mut own = VecDeque::new();
    loop {
        if own.is_empty() {
            match jobs.recv() {
                Ok(job) => own.push_back(job),
                Err(_) => return,
            }
        }
        match jobs.try_recv() {
            Ok(job) => own.push_front(job),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return,
        }
        let Some(Queued { mut job, owner }) = own.pop_front() else {
            continue;
        };
        match job.step() {
            Ok(Step::More) if job.is_urgent() => own.push_front(Queued { job, owner }),
            Ok(Step::More) => own.push_back(Queued { job, owner }),
            Ok(Step::Done) => drop(owner.send((job, Ok(())))),
            Err(error) => drop(owner.send((job, Err(error)))),
        }
    }
}

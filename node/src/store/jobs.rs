//! Background work: flushes and compactions, in small steps, on a few threads for all shards.

use std::{io, thread::JoinHandle};

use crossbeam::channel::{Receiver, Sender, TryRecvError, unbounded};
use starling_sstable::{Job, Step};

use super::{request::Request, thread};

struct Queued {
    job: Box<Job>,
    owner: Sender<Request>,
}

/// Where shards put their jobs. Its length is bounded by the engines, each of which has at most a few jobs
/// under way.
#[derive(Clone)]
pub(super) struct JobQueue {
    queue: Sender<Queued>,
}

impl JobQueue {
    /// Starts `threads` background threads. They end when the last clone of the queue is dropped.
    pub(super) fn start(threads: usize) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (queue, jobs) = unbounded();
        let threads = (0..threads)
            .map(|n| {
                let jobs = jobs.clone();
                thread::vital(format!("background-{n}"), move || run(&jobs))
            })
            .collect::<io::Result<_>>()?;
        Ok((Self { queue }, threads))
    }

    pub(super) fn push(&self, job: Box<Job>, owner: Sender<Request>) {
        // The threads live as long as the queue.
        let _ = self.queue.send(Queued { job, owner });
    }
}

/// Takes jobs in turn, so that a short flush does not wait for a long compaction: each thread gives a job
/// one step, and looks at what else waits.
fn run(jobs: &Receiver<Queued>) {
    let mut own: std::collections::VecDeque<Queued> = std::collections::VecDeque::new();
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
            // All shards have stopped: what is half done would be thrown away.
            Err(TryRecvError::Disconnected) => return,
        }
        let Some(mut queued) = own.pop_front() else {
            continue;
        };
        match queued.job.step() {
            // Flushes free memory, which writes wait for.
            Ok(Step::More) if queued.job.is_urgent() => own.push_front(queued),
            Ok(Step::More) => own.push_back(queued),
            Ok(Step::Done) => drop(queued.owner.send(Request::JobDone(queued.job, Ok(())))),
            Err(error) => drop(queued.owner.send(Request::JobDone(queued.job, Err(error)))),
        }
    }
}

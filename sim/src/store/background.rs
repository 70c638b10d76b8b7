//! Flushes and compactions, step by step.
//!
//! As in production, what writes wait for has a worker of its own that goes as fast as the disk does, and all else takes turns and
//! stands back. So writers can't fill memory faster than it is flushed for ever, and an export, which waits for the flush of what
//! was written before it, has its turn however much is written meanwhile.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use starling_sstable::{Job, Step};

use super::shard::Shard;
use crate::executor::signal::Signal;

/// The jobs of a shard that wait for their next step.
#[derive(Default)]
pub(super) struct Jobs {
    urgent: Line,
    other: Line,
}

impl Jobs {
    pub(super) fn put(&self, job: Job) {
        if job.is_urgent() {
            self.urgent.put(job);
        } else {
            self.other.put(job);
        }
    }
}

/// Jobs in the order of their turns.
#[derive(Default)]
struct Line {
    jobs: Mutex<VecDeque<Job>>,
    longer: Signal,
}

impl Line {
    fn put(&self, job: Job) {
        self.jobs.lock().push_back(job);
        self.longer.raise();
    }

    async fn take(&self) -> Job {
        loop {
            let longer = self.longer.wait();
            if let Some(job) = self.jobs.lock().pop_front() {
                return job;
            }
            longer.await;
        }
    }
}

/// Hands out what the engine offers, with random pauses between two looks. Who finds nothing looks again after a longer pause:
/// otherwise most of a run's time would go into looking.
pub(super) async fn hand_out(shard: Arc<Shard>) {
    loop {
        shard.pause().await;
        if !shard.hand_out() {
            shard.rest().await;
        }
    }
}

/// Does the jobs that writes wait for, each to its end. A step takes as long as a sync.
pub(super) async fn run_urgent(shard: Arc<Shard>) {
    loop {
        let mut job = shard.jobs().urgent.take().await;
        shard.sync_time().await;
        while let Ok(Step::More) = job.step() {
            shard.sync_time().await;
        }
        end(&shard, job);
    }
}

/// Gives the other jobs a step in turn, with pauses between.
pub(super) async fn run_others(shard: Arc<Shard>) {
    loop {
        let mut job = shard.jobs().other.take().await;
        shard.pause().await;
        if let Ok(Step::More) = job.step() {
            shard.jobs().other.put(job);
        } else {
            end(&shard, job);
        }
    }
}

/// Gives a job back, and hands out what there is to do next. Also one that failed, of a full or dead disk: it is given up, the
/// engine learns of damage and offers it again.
fn end(shard: &Shard, job: Job) {
    shard.finish(job);
    shard.hand_out();
}

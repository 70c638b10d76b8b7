//! Group commit: one sync of the log for all acknowledgements that wait for one. Those that the shard wants to come
//! later, because flushes or compactions lag, are held back.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, RecvTimeoutError};
use starling_replication::StoreError;
use starling_sstable::{Log, Lsn, PageResult};
use tracing::error;

use super::request::{Answer, store_error};

/// While the log refuses writes, because the disk is full or fails, it is tried again this often.
const RETRY: Duration = Duration::from_millis(250);

/// An acknowledgement that waits for the log.
pub(super) enum Ack {
    /// Of a write.
    Write(Answer<()>),
    /// Of a read that saw writes which are not durable yet.
    Read(Answer<PageResult>, PageResult),
}

/// Acknowledgements that may go once the log is durable up to a point.
#[derive(Default)]
pub(super) struct Group {
    up_to: Lsn,
    /// Each with the time before which it must not go.
    acks: Vec<(Ack, Option<Instant>)>,
}

impl Group {
    pub(super) fn add(&mut self, lsn: Lsn, ack: Ack) {
        self.add_not_before(lsn, ack, None);
    }

    /// Adds one that is not to go before some time. Such times never go back.
    pub(super) fn add_not_before(&mut self, lsn: Lsn, ack: Ack, due: Option<Instant>) {
        self.up_to = self.up_to.max(lsn);
        self.acks.push((ack, due));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.acks.is_empty()
    }

    fn absorb(&mut self, other: Self) {
        self.up_to = self.up_to.max(other.up_to);
        self.acks.extend(other.acks);
    }
}

/// Syncs the log whenever acknowledgements wait, until the shard is gone. With `period`, also by the clock.
pub(super) fn run(log: &Arc<Log>, groups: &Receiver<Group>, period: Option<Duration>) {
    let mut sync_at = period.map(|period| Instant::now() + period);
    let mut held = Held::default();
    let mut retry_at = None;
    loop {
        held.release(Instant::now());
        retry_at = log
            .is_refusing()
            .then(|| retry_at.unwrap_or_else(|| Instant::now() + RETRY));
        let wake_at = sync_at.into_iter().chain(held.next()).chain(retry_at).min();
        let received = match wake_at {
            None => groups.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(wake_at) => groups.recv_deadline(wake_at),
        };
        match received {
            Ok(mut group) => {
                for more in groups.try_iter() {
                    group.absorb(more);
                }
                commit(log, group, &mut held);
            }
            Err(RecvTimeoutError::Timeout) => {
                if retry_at.take_if(|retry_at| *retry_at <= Instant::now()).is_some() {
                    // How it went, the log says itself.
                    let _ = log.sync();
                }
                if sync_at.is_some_and(|sync_at| sync_at <= Instant::now()) {
                    let all = Group {
                        up_to: log.appended(),
                        acks: Vec::new(),
                    };
                    commit(log, all, &mut held);
                    sync_at = period.map(|period| Instant::now() + period);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                held.release_all();
                return;
            }
        }
    }
}

/// Acknowledgements of writes that were slowed down, in the order of their times.
#[derive(Default)]
struct Held {
    acks: VecDeque<(Instant, Ack, Result<(), StoreError>)>,
}

impl Held {
    fn next(&self) -> Option<Instant> {
        self.acks.front().map(|(due, ..)| *due)
    }

    fn release(&mut self, now: Instant) {
        while let Some((_, ack, outcome)) = self.acks.pop_front_if(|(due, ..)| *due <= now) {
            ack.answer(outcome);
        }
    }

    fn release_all(&mut self) {
        for (_, ack, outcome) in self.acks.drain(..) {
            ack.answer(outcome);
        }
    }
}

impl Ack {
    fn answer(self, outcome: Result<(), StoreError>) {
        // Whoever asked may have given up: then nobody hears of it.
        match self {
            Self::Write(answer) => drop(answer.send(outcome)),
            // A disk that fails or is full must not stop reads. What this one shows beyond what is durable was
            // answered with an error to who wrote it: it may have been written, or not.
            Self::Read(answer, page) => drop(answer.send(Ok(page))),
        }
    }
}

fn commit(log: &Log, group: Group, held: &mut Held) {
    let outcome = if log.synced() >= group.up_to {
        Ok(())
    } else {
        log.sync().map(drop).map_err(|error| {
            error!(%error, "the log can't be synced: writes fail until it can, reads go on");
            store_error(&error)
        })
    };
    let now = Instant::now();
    for (ack, due) in group.acks {
        match due.filter(|due| *due > now) {
            Some(due) => held.acks.push_back((due, ack, outcome.clone())),
            None => ack.answer(outcome.clone()),
        }
    }
}

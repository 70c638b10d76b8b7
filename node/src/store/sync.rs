//! Group commit: one sync of the log for all acknowledgements that wait for one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, RecvTimeoutError};
use starling_model::Page;
use starling_sstable::{Log, Lsn};
use tracing::error;

use super::request::{Answer, store_error};

/// An acknowledgement that waits for the log.
pub(super) enum Ack {
    /// Of a write.
    Write(Answer<()>),
    /// Of a read that saw writes which are not durable yet.
    Read(Answer<Page>, Page),
}

/// Acknowledgements that may go once the log is durable up to a point.
#[derive(Default)]
pub(super) struct Group {
    up_to: Lsn,
    acks: Vec<Ack>,
}

impl Group {
    pub(super) fn add(&mut self, lsn: Lsn, ack: Ack) {
        self.up_to = self.up_to.max(lsn);
        self.acks.push(ack);
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
    let mut due = period.map(|period| Instant::now() + period);
    loop {
        let received = match due {
            None => groups.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => groups.recv_deadline(due),
        };
        match received {
            Ok(mut group) => {
                for more in groups.try_iter() {
                    group.absorb(more);
                }
                commit(log, group);
            }
            Err(RecvTimeoutError::Timeout) => {
                commit(
                    log,
                    Group {
                        up_to: log.appended(),
                        acks: Vec::new(),
                    },
                );
                due = period.map(|period| Instant::now() + period);
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn commit(log: &Log, group: Group) {
    let outcome = if log.synced() >= group.up_to {
        Ok(())
    } else {
        log.sync().map(drop).map_err(|error| {
            error!(%error, "the log can't be synced: writes fail until the node is restarted, reads go on");
            store_error(&error)
        })
    };
    for ack in group.acks {
        // Whoever asked may have given up: then nobody hears of it.
        match ack {
            Ack::Write(answer) => drop(answer.send(outcome.clone())),
            Ack::Read(answer, page) => drop(answer.send(outcome.clone().map(|()| page))),
        }
    }
}

//! Group commit: one sync of the log for all acknowledgements that wait for one. Those that the shard wants to come
//! later, because flushes or compactions lag, are held back.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use starling_replication::StoreError;
use starling_sstable::{Log, Lsn, PageResult};
use tracing::{error, warn};

use super::request::{Answer, store_error};

/// While the log refuses writes, because the disk is full or fails, it is tried again this often.
const RETRY: Duration = Duration::from_millis(250);

/// Acknowledgements of one shard that may wait for the log; with more, writes are refused.
const MOST_WAITING: usize = 16_384;

/// The longest that acknowledgements wait for others to share their sync.
const MOST_GATHERING: Duration = Duration::from_millis(1);

/// An operator who looks for the cause of slow writes is told of syncs that take as long as this.
const SLOW: Duration = Duration::from_millis(500);

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

    /// Adds one that is not to go before some time.
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

/// The acknowledgements that wait for the next sync of a log. Who drops it ends the thread that syncs.
#[derive(Default)]
pub(super) struct Waiting(Arc<Gathering>);

/// The same, seen from the thread that syncs.
pub(super) struct Syncer(Arc<Gathering>);

#[derive(Default)]
struct Gathering {
    state: Mutex<Gathered>,
    news: Condvar,
    /// How many acknowledgements wait, for the next sync or for that which is under way.
    count: AtomicUsize,
}

#[derive(Default)]
struct Gathered {
    group: Group,
    /// So many acknowledgements are waited for before the thread that syncs is woken; 0 as 1.
    wanted: usize,
    ended: bool,
}

impl Waiting {
    pub(super) fn syncer(&self) -> Syncer {
        Syncer(Arc::clone(&self.0))
    }

    pub(super) fn add(&self, group: Group) {
        self.0.count.fetch_add(group.acks.len(), Ordering::Relaxed);
        let mut state = self.0.state.lock();
        state.group.absorb(group);
        if state.group.acks.len() >= state.wanted {
            drop(state);
            self.0.news.notify_one();
        }
    }

    /// Whether no more should be added.
    pub(super) fn is_full(&self) -> bool {
        self.0.count.load(Ordering::Relaxed) >= MOST_WAITING
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.state.lock().ended = true;
        self.0.news.notify_one();
    }
}

/// The shard is gone, and nothing waits.
struct Ended;

/// What the last sync tells about the next one.
#[derive(Debug, Clone, Copy, Default)]
struct Pattern {
    /// How many acknowledgements it was for.
    acks: usize,
    took: Duration,
}

impl Syncer {
    /// All that waits, as soon as something does; `None` once it is `wake_at`.
    fn take(&self, wake_at: Option<Instant>, last: Pattern) -> Result<Option<Group>, Ended> {
        let mut state = self.0.state.lock();
        loop {
            if !state.group.is_empty() {
                self.gather(&mut state, last);
                return Ok(Some(std::mem::take(&mut state.group)));
            }
            if state.ended {
                return Err(Ended);
            }
            match wake_at {
                None => self.0.news.wait(&mut state),
                Some(wake_at) if wake_at <= Instant::now() => return Ok(None),
                Some(wake_at) => drop(self.0.news.wait_until(&mut state, wake_at)),
            }
        }
    }

    /// Where many write at a time, the first of them is waited with until the others are there, for half as long as a
    /// sync takes at most: one sync for all costs each of them less than the wait. Who writes alone waits for nobody.
    fn gather(&self, state: &mut MutexGuard<'_, Gathered>, last: Pattern) {
        let until = Instant::now() + (last.took / 2).min(MOST_GATHERING);
        state.wanted = last.acks;
        let mut is_over = state.ended;
        while !is_over && state.group.acks.len() < last.acks {
            is_over = self.0.news.wait_until(state, until).timed_out();
        }
        state.wanted = 0;
    }

    fn taken(&self, acks: usize) {
        self.0.count.fetch_sub(acks, Ordering::Relaxed);
    }
}

/// Syncs the log whenever acknowledgements wait, until the shard is gone. With `period`, also by the clock.
pub(super) fn run(log: &Arc<Log>, waiting: &Syncer, period: Option<Duration>) {
    let mut sync_at = period.map(|period| Instant::now() + period);
    let mut held = Held::default();
    let mut retry_at = None;
    let mut last = Pattern::default();
    loop {
        held.release(Instant::now());
        retry_at = log
            .is_refusing()
            .then(|| retry_at.unwrap_or_else(|| Instant::now() + RETRY));
        let wake_at = sync_at.into_iter().chain(held.next()).chain(retry_at).min();
        match waiting.take(wake_at, last) {
            Ok(Some(group)) => {
                let (acks, began) = (group.acks.len(), Instant::now());
                commit(log, group, &mut held);
                waiting.taken(acks);
                last = Pattern {
                    acks,
                    took: began.elapsed(),
                };
                if last.took >= SLOW {
                    let milliseconds = last.took.as_millis() as u64;
                    warn!(
                        milliseconds,
                        acks,
                        "a sync of the log was slow, and writes waited for it: the disk is busy, or fails"
                    );
                }
            }
            Ok(None) => {
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
            Err(Ended) => {
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

    /// Times mostly ascend; after writers were not slowed down for a while they begin anew.
    fn add(&mut self, due: Instant, ack: Ack, outcome: Result<(), StoreError>) {
        let at = self.acks.partition_point(|(other, ..)| *other <= due);
        self.acks.insert(at, (due, ack, outcome));
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
            Some(due) => held.add(due, ack, outcome.clone()),
            None => ack.answer(outcome.clone()),
        }
    }
}

//! Hints: writes that a replica missed, kept until it is back.
//!
//! Each target has a directory of segments, `hints/<node id>/<number>`. Hints are appended to the newest
//! segment and synced in groups; a segment is removed when all its hints were delivered. The law of merging
//! makes late and repeated delivery harmless.
//!
//! Requests only ever touch the queue in memory: all that waits for the disk runs as blocking work, which
//! holds the lock of one target's segments and takes that of the queues for moments.
//!
//! Bounds: bytes for each target and for all, age of a hint, bytes and hints a second on delivery, which all nodes that
//! deliver to a target share, and of one message (`pace`). What goes beyond is counted as dropped, and left to read repair and
//! anti-entropy. The receiver too refuses hints while clients keep it busy, and drops those that are too old.
//!
//! A table that is truncated has its hints forgotten by all nodes before any of them removes its data. Then none is on its
//! way any more (`Hints::forget_table`), nor is one kept later for a write that began before, so none can bring rows back.
//!
//! How far a segment was delivered is noted, so that a restart does not begin it anew. Hints of a node that has
//! left the ring go to those who have its ranges now (`reroute`).

pub mod damage;
mod load;
mod pace;
mod progress;
mod replay;
mod reroute;
mod scan;
pub mod segment;
mod store;
mod target;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures::{channel::oneshot, future::join_all};
use parking_lot::Mutex;
use starling_model::{NodeId, Seconds, TableId};

use crate::{config::Bounds, env::Env, message::Failure, status::Counters};
pub(crate) use segment::table_of;
use segment::{Life, Stored};
use starling_sstable::fs::Fs;
use store::Segments;
use target::{Queued, Target};

/// The longest a group of hints waits for company before it is synced.
const GROUP: std::time::Duration = std::time::Duration::from_millis(2);

/// Bytes of hints that may wait for the disk, of all targets.
const QUEUED_BYTES: u64 = 64 << 20;

/// How often it is said that hints are dropped.
const WARNING: std::time::Duration = std::time::Duration::from_mins(1);

/// The hints of a node.
pub(crate) struct Hints<E: Env> {
    env: E,
    bounds: Bounds,
    counters: Arc<Counters>,
    state: Mutex<State>,
    /// How often hints were forgotten.
    forgotten: AtomicU64,
}

#[derive(Default)]
struct State {
    targets: BTreeMap<NodeId, Target>,
    /// For writes that this node began in an era before this one no hints are kept: their tables were truncated since.
    closed: BTreeMap<TableId, u64>,
    /// A task is writing what is queued.
    flushing: bool,
    /// When it was said last that hints are dropped, by the monotonic clock.
    warned: Option<std::time::Duration>,
}

impl<E: Env> Hints<E> {
    /// Finds the hints that an earlier run left. What of them can't be read is set aside.
    pub(crate) fn open(env: E, bounds: Bounds, counters: Arc<Counters>) -> Self {
        let found = scan::scan(&**env.fs(), &counters);
        let targets = found
            .into_iter()
            .map(|(id, segments)| (id, Target::new(segments)));
        let targets = targets.collect();
        Self {
            env,
            bounds,
            counters,
            state: Mutex::new(State {
                targets,
                closed: BTreeMap::new(),
                flushing: false,
                warned: None,
            }),
            forgotten: AtomicU64::new(0),
        }
    }

    /// Keeps a write (as `Mutation::encode` wrote it) for a node, as if it had been kept since `since`, or else from now on.
    /// Ends with true once the hint is durable, with false if it could not be kept, or is not to be: the table was truncated
    /// after the era in which this node began the write.
    pub(crate) async fn keep(
        self: &Arc<Self>,
        target: NodeId,
        since: Option<Seconds>,
        era: u64,
        mutation: Bytes,
    ) -> bool {
        let life = self.life_since(since.unwrap_or_else(|| self.env.wall().seconds()));
        self.keep_for(target, life, era, mutation).await
    }

    /// The same for a write that another hint has carried before: it gets no older than that one.
    async fn keep_for(self: &Arc<Self>, target: NodeId, life: Life, era: u64, mutation: Bytes) -> bool {
        let Some(kept) = self.enqueue(target, life, era, mutation) else {
            return false;
        };
        let durable = kept.await.unwrap_or(false);
        if durable {
            self.counters.hints_written.one();
        } else {
            self.counters.hints_dropped.one();
        }
        durable
    }

    /// How long a hint that was kept at some time is worth delivering by the present settings.
    fn life_since(&self, at: Seconds) -> Life {
        let age = u32::try_from(self.bounds.hint_age.as_secs()).unwrap_or(u32::MAX);
        let until = Seconds(at.0.saturating_add(age));
        Life { at, until }
    }

    /// Whether a hint is too old, by the settings of now or of the time when it was kept: tombstones were purged by the
    /// one, and are by the other.
    fn has_expired(&self, life: Life) -> bool {
        let until = life.until.min(self.life_since(life.at).until);
        self.env.wall().seconds() > until
    }

    fn enqueue(
        self: &Arc<Self>,
        target: NodeId,
        life: Life,
        era: u64,
        mutation: Bytes,
    ) -> Option<oneshot::Receiver<bool>> {
        let (done, kept) = oneshot::channel();
        let mut state = self.state.lock();
        // Under the lock: what is queued when the table is closed is forgotten, and nothing is queued after.
        let closed = table_of(&mutation).and_then(|table| state.closed.get(&table));
        if closed.is_some_and(|closed| era < *closed) {
            return None;
        }
        let total: u64 = state.targets.values().map(Target::bytes).sum();
        let waiting: u64 = state.targets.values().map(Target::queued_bytes).sum();
        let hints = state
            .targets
            .entry(target)
            .or_insert_with(|| Target::new(Segments::new(target)));
        let length = segment::record_bytes(mutation.len());
        let reason = if hints.bytes() + length > self.bounds.hint_bytes_per_node {
            "there are as many for it as may be (--hint-mib-per-node)"
        } else if total + length > self.bounds.hint_bytes {
            "there are as many in all as may be (--hint-mib)"
        } else if waiting + length > QUEUED_BYTES {
            "the disk does not keep up"
        } else {
            ""
        };
        if !reason.is_empty() {
            self.warn_of_loss(&mut state, target, reason);
            self.counters.hints_dropped.one();
            return None;
        }
        hints.enqueue(life, mutation, done);
        if !state.flushing {
            state.flushing = true;
            let hints = Arc::clone(self);
            self.env.spawn(async move { hints.flush().await });
        }
        Some(kept)
    }

    /// Says, once a minute at most, that hints are dropped. How many, `hints_dropped` counts.
    fn warn_of_loss(&self, state: &mut State, target: NodeId, reason: &str) {
        let now = self.env.monotonic();
        if state
            .warned
            .is_none_or(|last| now.saturating_sub(last) >= WARNING)
        {
            state.warned = Some(now);
            ::tracing::warn!(node = %target, reason, "hints are dropped: the node will need a repair");
        }
    }

    /// Writes and syncs what is queued, group by group, until nothing is.
    async fn flush(self: Arc<Self>) {
        loop {
            self.env.sleep(GROUP).await;
            self.sync().await;
            let mut state = self.state.lock();
            if !state.targets.values().any(Target::has_queued) {
                state.flushing = false;
                return;
            }
        }
    }

    /// Makes everything that is queued durable.
    pub(crate) async fn sync(self: &Arc<Self>) {
        let hints = Arc::clone(self);
        let work = move || {
            for id in hints.ids() {
                hints.on_disk(id, |segments, fs| hints.write_queue(id, segments, fs));
            }
        };
        self.env.blocking(work).await;
    }

    fn ids(&self) -> Vec<NodeId> {
        self.state.lock().targets.keys().copied().collect()
    }

    /// Works on a node's segments; blocks. `None` if it never had hints.
    fn on_disk<T>(&self, id: NodeId, work: impl FnOnce(&mut Segments, &dyn Fs) -> T) -> Option<T> {
        let segments = self.with(id, |target| target.segments())?;
        let mut segments = segments.lock();
        let result = work(&mut segments, &**self.env.fs());
        self.with(id, |target| target.settle(0, segments.bytes()));
        Some(result)
    }

    /// Writes a node's queue with one sync, and tells those who wait; blocks. The queue is taken under the
    /// lock of the segments, so that whoever has that lock finds each hint either queued or on disk.
    fn write_queue(&self, id: NodeId, segments: &mut Segments, fs: &dyn Fs) {
        let queue = self.with(id, Target::take_queue).unwrap_or_default();
        if queue.is_empty() {
            return;
        }
        let bytes = queue.iter().map(Queued::bytes).sum();
        // A disk of which that is not known is not full.
        let free = fs.free_space(std::path::Path::new("")).unwrap_or(u64::MAX);
        let has_room = free >= self.bounds.hint_reserve;
        if !has_room {
            self.warn_of_loss(&mut self.state.lock(), id, "the disk is nearly full");
        }
        let hints = queue.iter().map(Queued::hint);
        let durable = has_room && segments.write(fs, hints, || self.env.random());
        self.with(id, |target| target.settle(bytes, segments.bytes()));
        for queued in queue {
            queued.tell(durable);
        }
    }

    fn with<T>(&self, id: NodeId, work: impl FnOnce(&mut Target) -> T) -> Option<T> {
        self.state.lock().targets.get_mut(&id).map(work)
    }

    /// Changes when hints are forgotten: what was read of segments before must not be delivered after.
    fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Acquire)
    }

    /// The nodes that hints are kept for, and bytes for each: also for those that have left the ring.
    pub(crate) fn kept(&self) -> BTreeMap<NodeId, u64> {
        let state = self.state.lock();
        let bytes = state.targets.iter().map(|(id, target)| (*id, target.bytes()));
        bytes.filter(|(_, bytes)| *bytes > 0).collect()
    }

    /// Drops every hint of a table that is truncated: delivered later, it would bring old rows back. From now on none is
    /// kept for what this node began before `era`. Ends when none that was kept before is on its way any more, but for one whose
    /// target does not answer.
    ///
    /// After an error some may be left: the table must keep its data then, and this must be called again.
    pub(crate) async fn forget_table(self: &Arc<Self>, table: TableId, era: u64) -> Result<(), Failure> {
        {
            let mut state = self.state.lock();
            let closed = state.closed.entry(table).or_default();
            *closed = era.max(*closed);
        }
        let hints = Arc::clone(self);
        let work = move || {
            let mut result = Ok(());
            for id in hints.ids() {
                let rewritten = hints.on_disk(id, |segments, fs| {
                    hints.write_queue(id, segments, fs);
                    let keep = |hint: &Stored| segment::table_of(&hint.mutation) != Some(table);
                    segments.rewrite(fs, keep, || hints.env.random(), &hints.counters)
                });
                result = rewritten.unwrap_or(Ok(())).and(result);
            }
            result
        };
        let forgotten = self.env.blocking(work).await;
        // Who delivers may have read a segment before; from now on it reads it again before it sends more.
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        let turns: Vec<_> = {
            let state = self.state.lock();
            state.targets.values().map(Target::turn).collect()
        };
        // At once, and not one after the other: who has delivered to one meanwhile begins anew with what is left.
        join_all(turns.iter().map(async |turn| drop(turn.lock().await))).await;
        forgotten.map_err(|error| Failure::Storage(format!("hints can't be removed from its disk: {error}")))
    }
}

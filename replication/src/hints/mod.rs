//! Hints: writes that a replica missed, kept until it is back.
//!
//! Each target has a directory of segments, `hints/<node id>/<number>`. Hints are appended to the newest
//! segment and synced in groups; a segment is removed when all its hints were delivered. The law of merging
//! makes late and repeated delivery harmless.
//!
//! Requests only ever touch the queue in memory: all that waits for the disk runs as blocking work, which
//! holds the lock of one target's segments and takes that of the queues for moments.
//!
//! Bounds: bytes for each target and for all, age of a hint, bytes a second on delivery, which all nodes that
//! deliver to a target share ([`pace`]). What goes beyond is counted as dropped, and left to read repair and
//! anti-entropy. The receiver too refuses hints while clients keep it busy, and drops those that are too old.
//!
//! A table that is truncated has its hints forgotten by all nodes before any of them removes its data. Then none is on its
//! way any more ([`Hints::forget_table`]), so none can bring rows back.
//!
//! How far a segment was delivered is noted, so that a restart does not begin it anew. Hints of a node that has
//! left the ring go to those who have its ranges now ([`reroute`]).

mod pace;
mod replay;
mod reroute;
mod segment;
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
use futures::channel::oneshot;
use parking_lot::Mutex;
use starling_model::{NodeId, Seconds, TableId};

use crate::{config::Bounds, env::Env, start_error::StartError, status::Counters};
use starling_sstable::fs::Fs;
use store::Segments;
use target::Target;

/// The longest a group of hints waits for company before it is synced.
const GROUP: std::time::Duration = std::time::Duration::from_millis(2);

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
    /// A task is writing what is queued.
    flushing: bool,
}

impl<E: Env> Hints<E> {
    /// Finds the hints that an earlier run left.
    pub(crate) fn open(env: E, bounds: Bounds, counters: Arc<Counters>) -> Result<Self, StartError> {
        let found = store::scan(&**env.fs())?;
        let targets = found
            .into_iter()
            .map(|(id, segments)| (id, Target::new(segments)));
        let targets = targets.collect();
        Ok(Self {
            env,
            bounds,
            counters,
            state: Mutex::new(State {
                targets,
                flushing: false,
            }),
            forgotten: AtomicU64::new(0),
        })
    }

    /// Keeps a write (as `Mutation::encode` wrote it) for a node. Ends with true once the hint is durable,
    /// with false if it could not be kept.
    pub(crate) async fn keep(self: &Arc<Self>, target: NodeId, mutation: Bytes) -> bool {
        let now = self.env.wall().seconds();
        self.keep_since(target, now, mutation).await
    }

    /// The same for a write that another hint has carried since `at`: its age counts from then.
    async fn keep_since(self: &Arc<Self>, target: NodeId, at: Seconds, mutation: Bytes) -> bool {
        let Some(kept) = self.enqueue(target, at, mutation) else {
            self.counters.hints_dropped.one();
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

    fn enqueue(
        self: &Arc<Self>,
        target: NodeId,
        at: Seconds,
        mutation: Bytes,
    ) -> Option<oneshot::Receiver<bool>> {
        let (done, kept) = oneshot::channel();
        let mut state = self.state.lock();
        let total: u64 = state.targets.values().map(Target::bytes).sum();
        let hints = state
            .targets
            .entry(target)
            .or_insert_with(|| Target::new(Segments::new(target)));
        let length = segment::record_bytes(mutation.len());
        if hints.bytes() + length > self.bounds.hint_bytes_per_node || total + length > self.bounds.hint_bytes
        {
            return None;
        }
        hints.enqueue(at, mutation, done);
        if !state.flushing {
            state.flushing = true;
            let hints = Arc::clone(self);
            self.env.spawn(async move { hints.flush().await });
        }
        Some(kept)
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
        let mut records = Vec::new();
        for queued in &queue {
            queued.put(&mut records);
        }
        let durable = segments.write(fs, &records);
        self.with(id, |target| target.settle(records.len() as u64, segments.bytes()));
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

    /// Bytes kept for a node.
    pub(crate) fn bytes_for(&self, target: NodeId) -> u64 {
        self.state.lock().targets.get(&target).map_or(0, Target::bytes)
    }

    /// Drops every hint of a table that is truncated: delivered later, it would bring old rows back. Ends when
    /// none that was kept before is on its way any more, but for one whose target does not answer.
    pub(crate) async fn forget_table(self: &Arc<Self>, table: TableId) {
        // Who delivers has read a segment before; from now on it reads it again.
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        let turns: Vec<_> = {
            let state = self.state.lock();
            state.targets.values().map(Target::turn).collect()
        };
        for turn in turns {
            drop(turn.lock().await);
        }
        let hints = Arc::clone(self);
        let work = move || {
            for id in hints.ids() {
                let dropped = hints.on_disk(id, |segments, fs| {
                    hints.write_queue(id, segments, fs);
                    segments.rewrite(fs, |_, mutation| segment::table_of(mutation) != Some(table))
                });
                hints.counters.hints_dropped.add(dropped.unwrap_or(0));
            }
        };
        self.env.blocking(work).await;
    }
}

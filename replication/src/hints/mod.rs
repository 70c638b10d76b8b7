//! Hints: writes that a replica missed, kept until it is back.
//!
//! Each target has a directory of segments, `hints/<node id>/<number>`. Hints are appended to the newest
//! segment and synced in groups; a segment is removed when all its hints were delivered. The law of merging
//! makes late and repeated delivery harmless.
//!
//! Bounds: bytes for each target, age of a hint, bytes a second on delivery. What goes beyond is counted as
//! dropped, and left to read repair and anti-entropy.

mod replay;
mod segment;
mod store;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::channel::oneshot;
use parking_lot::Mutex;
use starling_model::{NodeId, TableId};

use crate::{config::Bounds, env::Env, start_error::StartError, status::Counters};
use store::Target;

/// The longest a group of hints waits for company before it is synced.
const GROUP: std::time::Duration = std::time::Duration::from_millis(2);

/// The hints of a node.
pub(crate) struct Hints<E: Env> {
    env: E,
    bounds: Bounds,
    counters: Arc<Counters>,
    state: Mutex<State>,
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
        let targets = store::scan(&**env.fs())?;
        Ok(Self {
            env,
            bounds,
            counters,
            state: Mutex::new(State {
                targets,
                flushing: false,
            }),
        })
    }

    /// Keeps a write (as `Mutation::encode` wrote it) for a node. Ends with true once the hint is durable,
    /// with false if it could not be kept.
    pub(crate) async fn keep(self: &Arc<Self>, target: NodeId, mutation: Bytes) -> bool {
        let Some(kept) = self.enqueue(target, mutation) else {
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

    fn enqueue(self: &Arc<Self>, target: NodeId, mutation: Bytes) -> Option<oneshot::Receiver<bool>> {
        let (done, kept) = oneshot::channel();
        let mut state = self.state.lock();
        let hints = state.targets.entry(target).or_insert_with(|| Target::new(target));
        let length = segment::record_bytes(mutation.len());
        if hints.bytes() + length > self.bounds.hint_bytes_per_node {
            return None;
        }
        hints.enqueue(self.env.wall().seconds(), mutation, done);
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
            let mut state = self.state.lock();
            let fs = self.env.fs();
            let mut wrote = false;
            for target in state.targets.values_mut() {
                wrote |= target.flush(&**fs);
            }
            if !wrote {
                state.flushing = false;
                return;
            }
        }
    }

    /// Bytes kept for a node.
    pub(crate) fn bytes_for(&self, target: NodeId) -> u64 {
        self.state.lock().targets.get(&target).map_or(0, Target::bytes)
    }

    /// Drops every hint of a table that is truncated: delivered later, it would bring old rows back.
    pub(crate) fn forget_table(&self, table: TableId) {
        let fs = self.env.fs();
        let mut state = self.state.lock();
        let mut dropped = 0;
        for target in state.targets.values_mut() {
            target.flush(&**fs);
            dropped += target.rewrite(&**fs, |_, mutation| segment::table_of(mutation) != Some(table));
        }
        self.counters.hints_dropped.add(dropped);
    }

    /// Makes everything that is queued durable.
    pub(crate) fn sync(&self) {
        let mut state = self.state.lock();
        for target in state.targets.values_mut() {
            target.flush(&**self.env.fs());
        }
    }
}

//! Moving data to its new replicas, and away from the old ones.
//!
//! - [`plan`]: who fetches what from whom, pure; [`estimate`]: what that costs, for operators;
//! - `fetch`: the newcomer's side: [`progress`] durable and told; `receive`: one part of it, `throttle`d, in pieces
//!   that are checked, `landing` in files;
//! - `source`: the side that has the data; [`wire`]: what they say to each other;
//! - `cleanup`: old replicas forget what is not theirs any more; `held`: what they may have.
//!
//! Data travels as whole tables of the storage, tombstones too, and is merged at the newcomer by the one law there is.
//! So nothing here knows what a row is, twice the same is as good as once, and copies of several replicas need no
//! reconciling on the way.
//!
//! Invariants:
//! 1. A range is asked for only when every node sends the writes to it to the newcomer as well: who calls
//!    `Streaming::fetch` sees to that. So a copy made later, together with those writes, has everything.
//! 2. What is noted as fetched is durable at the newcomer. What is not noted is fetched again.
//! 3. Before a node may gain a range it has nothing of it: `Streaming::prepare`. What it had when it was a replica
//!    earlier is old, and may lack deletions that the others have purged since.
//! 4. A node forgets only what a change took from it, and never while one is under way.

mod cleanup;
pub mod estimate;
mod fetch;
mod held;
mod landing;
pub mod plan;
pub mod progress;
mod receive;
mod source;
mod throttle;
pub mod wire;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use starling_model::{NodeId, TableId};

pub use progress::StreamStatus;
pub use wire::{StreamFile, StreamReply, StreamRequest};

use crate::{
    env::Env,
    message::{Failure, Response},
    peers::Peers,
    replica::Replica,
    snapshot::Views,
    start_error::StartError,
    status::Counters,
};

/// Everything of streams lies there; nothing of it outlives the process.
const DIRECTORY: &str = "streams";

/// What a node needs for moving data.
pub(crate) struct Streaming<E: Env> {
    env: E,
    id: NodeId,
    shards: u32,
    views: Arc<Views>,
    peers: Arc<Peers<E>>,
    replica: Arc<Replica<E>>,
    counters: Arc<Counters>,
    source: source::Source<E>,
    throttle: throttle::Throttle<E>,
    progress: Mutex<progress::Progress>,
    /// How often each table was truncated here since the start.
    truncated: Mutex<BTreeMap<TableId, u64>>,
    cleanup: cleanup::Cleanup,
}

impl<E: Env> Streaming<E> {
    /// Removes what streams of an earlier run left. `rate` is in bytes a second; 0: as fast as it goes.
    pub(crate) fn open(
        env: E,
        (id, shards): (NodeId, u32),
        rate: u64,
        views: Arc<Views>,
        peers: Arc<Peers<E>>,
        replica: Arc<Replica<E>>,
        counters: Arc<Counters>,
    ) -> Result<Self, StartError> {
        source::remove_all(&**env.fs(), std::path::Path::new(DIRECTORY));
        Ok(Self {
            cleanup: cleanup::Cleanup::load(&**env.fs())?,
            source: source::Source::new(env.clone()),
            throttle: throttle::Throttle::new(env.clone(), rate),
            progress: Mutex::default(),
            truncated: Mutex::default(),
            env,
            id,
            shards,
            views,
            peers,
            replica,
            counters,
        })
    }

    /// Answers a node that fetches. `is_busy`: many requests of clients are under way here, and go first.
    pub(crate) async fn serve(&self, request: StreamRequest, is_busy: bool) -> Result<Response, Failure> {
        if is_busy && matches!(request, StreamRequest::Piece { .. }) {
            self.env.sleep(throttle::YIELD).await;
        }
        if request == StreamRequest::Status {
            return Ok(Response::Stream(StreamReply::Status(self.status())));
        }
        let reply = self.source.answer(request).await?;
        if let StreamReply::Piece { bytes, .. } = &reply {
            self.counters.streamed_out_bytes.add(bytes.len() as u64);
        }
        Ok(Response::Stream(reply))
    }

    /// A table was truncated: copies of it that are under way are not to be taken in.
    pub(crate) fn forget_table(&self, table: TableId) {
        *self.truncated.lock().entry(table).or_default() += 1;
        self.source.forget_table(table);
    }

    /// Looks after what is due: streams that nobody asks about, and ranges to be forgotten.
    pub(crate) fn maintain(self: &Arc<Self>) {
        self.source.end_idle();
        self.clean();
    }

    /// What this node and all others that answer move.
    pub(crate) async fn statuses(&self) -> Vec<(NodeId, StreamStatus)> {
        let snapshot = self.views.load();
        let others = snapshot
            .cluster
            .peers
            .values()
            .filter(|peer| peer.alive && peer.id != self.id);
        let asked = others.map(|peer| async move {
            match self.ask_peer(peer, StreamRequest::Status).await {
                Ok(StreamReply::Status(status)) => Some((peer.id, status)),
                // A node that is stopping, or of another version.
                Ok(_) | Err(_) => None,
            }
        });
        let mut all: Vec<_> = futures::future::join_all(asked)
            .await
            .into_iter()
            .flatten()
            .collect();
        all.push((self.id, self.status()));
        all.sort_by_key(|(id, _)| *id);
        all
    }

    /// Work that may wait for the disk.
    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> BoxFuture<'static, T> {
        let env = self.env.clone();
        async move { env.blocking(work).await }.boxed()
    }

    /// What is under way, for operators.
    pub(crate) fn status(&self) -> StreamStatus {
        let mut status = self.progress.lock().status();
        status.serving = self.source.streams();
        status.cleaning = self.cleanup.left();
        status
    }
}

//! Finding nodes that keep a batch.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};
use starling_cql::{Error, ErrorKind, WriteType};
use starling_model::Consistency;

use super::BatchLog;
use crate::{
    coordinator::Task,
    env::Env,
    message::Request,
    snapshot::{Peer, Snapshot},
};

/// How many nodes keep a batch.
const KEEPERS: usize = 2;

/// One node's answer: whether it keeps the batch.
type Flight<'a> = BoxFuture<'a, bool>;

impl<E: Env> BatchLog<E> {
    /// Has the batch kept; returns all that were asked, who may keep it now.
    ///
    /// A candidate that refuses, or takes longer than usual, is replaced by the next one: a node that has
    /// just died must not cost the batch its time.
    pub(super) async fn store(
        &self,
        id: u128,
        mutations: Vec<Bytes>,
        task: &Task,
    ) -> Result<Vec<Arc<Peer>>, Error> {
        let coordinator = &self.coordinator;
        let (candidates, wanted) = self.candidates(&coordinator.views.load());
        let mut candidates = candidates.into_iter();
        let mut asked = Vec::new();
        let mut kept = 0;
        let mut flights: FuturesUnordered<Flight<'_>> = FuturesUnordered::new();
        let mut patience = Duration::ZERO;
        for peer in candidates.by_ref().take(wanted) {
            patience = patience.max(peer.latency.suspicious_after(task.timeout));
            flights.push(self.keep_at(&peer, id, mutations.clone(), task));
            asked.push(peer);
        }
        let mut slow = self.env.sleep(patience).boxed();
        while kept < wanted && !flights.is_empty() {
            let kept_there = if candidates.len() == 0 {
                flights.next().await
            } else {
                match select(pin!(flights.next()), &mut slow).await {
                    Either::Left((answer, _)) => answer,
                    Either::Right(((), _)) => {
                        slow = self.env.sleep(patience).boxed();
                        Some(false)
                    }
                }
            };
            if kept_there == Some(true) {
                kept += 1;
            } else if let Some(peer) = candidates.next() {
                flights.push(self.keep_at(&peer, id, mutations.clone(), task));
                asked.push(peer);
            }
        }
        drop(flights);
        if kept == wanted {
            return Ok(asked);
        }
        // Whoever keeps it all the same must not carry it out: nothing of it was sent.
        self.remove(id, asked);
        coordinator.counters.write_timeouts.one();
        Err(not_kept(task.consistency, kept, wanted))
    }

    /// Asks one node to keep the batch.
    fn keep_at<'a>(
        &'a self,
        peer: &Arc<Peer>,
        id: u128,
        mutations: Vec<Bytes>,
        task: &'a Task,
    ) -> Flight<'a> {
        let peer = Arc::clone(peer);
        async move {
            if peer.id == self.coordinator.views.load().cluster.me {
                return self.kept.store(id, mutations).await.is_ok();
            }
            let timeout = task.deadline.remaining(&self.env);
            let body = Request::BatchStore { id, mutations };
            let asked = self.coordinator.peers.ask(&peer, body, timeout, &task.tracer);
            asked.await.is_ok()
        }
        .boxed()
    }

    /// Who may keep a batch, and how many must: other live nodes of this datacenter, on different racks
    /// first; then of others; this node itself at the very end, for its death is what a batch is kept for.
    fn candidates(&self, snapshot: &Snapshot) -> (Vec<Arc<Peer>>, usize) {
        let cluster = &snapshot.cluster;
        let own_rack = cluster.own().map(|own| own.rack.clone()).unwrap_or_default();
        let outgoing = cluster.change.as_ref().map(|(change, _)| change.kind.outgoing());
        let stays = |peer: &&Arc<Peer>| {
            outgoing
                .as_ref()
                .is_none_or(|outgoing| !outgoing.contains(&peer.id))
        };
        // A node that leaves takes with it what it keeps.
        let mut candidates: Vec<Arc<Peer>> = cluster.live_others().filter(stays).cloned().collect();
        let wanted = candidates.len().clamp(1, KEEPERS);
        if !candidates.is_empty() {
            // Load is spread by beginning anywhere.
            let start = (self.env.random() % candidates.len() as u64) as usize;
            candidates.rotate_left(start);
        }
        let datacenter = &self.coordinator.datacenter;
        candidates.sort_by_key(|peer| (peer.datacenter != *datacenter, peer.rack == own_rack));
        candidates.extend(cluster.own().cloned());
        (candidates, wanted)
    }
}

fn not_kept(consistency: Consistency, kept: usize, wanted: usize) -> Error {
    let (received, required) = (kept as u32, wanted as u32);
    let kind = ErrorKind::WriteTimeout {
        consistency,
        received,
        required,
        write_type: WriteType::BatchLog,
    };
    Error::new(
        kind,
        format!(
            "Operation timed out: {received} of {required} nodes keep the batch, and nothing of it was written; a node that keeps it all the \
             same, and does not hear that it was given up, carries it out as a whole: repeat it if twice is the same as once"
        ),
    )
}

//! One write on its way to its replicas, within the statement that waits for them.
//!
//! Invariant: a replica that the write was planned to gets it, or a hint is kept for it, whatever becomes of whoever
//! waits, unless the table is truncated meanwhile. So what is still under way when the wait ends goes on as a task of its own.
//!
//! A task for each replica from the start would do the same; it costs each write, of one replica too, an allocation, a
//! place in the scheduler's queues and a way back.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use starling_model::{Mutation, Timestamp};

use super::{
    Coordinator, Task,
    write::{Outcome, Sending},
};
use crate::{env::Env, few::Few, snapshot::Peer};

type Flight = BoxFuture<'static, (Arc<Peer>, Outcome)>;

/// The replicas that have not answered yet.
pub(super) struct Flights<E: Env> {
    coordinator: Arc<Coordinator<E>>,
    mutation: Arc<Mutation>,
    task: Task,
    under_way: Few<Flight>,
}

impl<E: Env> Flights<E> {
    /// Everything is sent when [`next`](Self::next) is first waited for.
    pub(super) fn begin(
        coordinator: &Arc<Coordinator<E>>,
        sending: &Sending,
        stamp: Option<Timestamp>,
        task: &Task,
    ) -> Self {
        let fly = |peer: &Arc<Peer>| {
            let (coordinator, peer, task) = (Arc::clone(coordinator), Arc::clone(peer), task.clone());
            let (mutation, encoded): (_, Bytes) = (Arc::clone(&sending.mutation), sending.encoded.clone());
            async move {
                let outcome = coordinator
                    .write_one(&peer, &mutation, encoded, stamp, &task)
                    .await;
                (peer, outcome)
            }
            .boxed()
        };
        Self {
            under_way: sending.replicas.iter().map(fly).collect(),
            coordinator: Arc::clone(coordinator),
            mutation: Arc::clone(&sending.mutation),
            task: task.clone(),
        }
    }

    /// The next replica's outcome; `None` when all have told theirs.
    pub(super) async fn next(&mut self) -> Option<(Arc<Peer>, Outcome)> {
        self.under_way.next().await
    }
}

impl<E: Env> Drop for Flights<E> {
    fn drop(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let mut rest = std::mem::take(&mut self.under_way);
        let (coordinator, mutation) = (Arc::clone(&self.coordinator), Arc::clone(&self.mutation));
        let task = self.task.clone();
        self.coordinator.env.spawn(async move {
            while let Some((peer, outcome)) = rest.next().await {
                // The coordinator has answered already.
                if matches!(outcome, Outcome::OldRing) {
                    coordinator
                        .send_again(&peer, Arc::clone(&mutation), task.clone())
                        .await;
                }
            }
        });
    }
}

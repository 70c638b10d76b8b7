//! Writes whose replicas turn out to be others: planned again, and sent again, unseen by the client.

use std::sync::Arc;

use starling_cql::{Error, WriteType};
use starling_model::{Consistency, Mutation, Timestamp};

use super::{
    Coordinator, Task,
    write::{Count, Outcome, Sending, Unsent},
};
use crate::{
    env::Env,
    message::{Request, WriteReason},
    peers::AskError,
    snapshot::Peer,
    truncations::Origin,
};

impl<E: Env> Coordinator<E> {
    /// Sends, and plans again as long as replicas know more of the ring and there is time. Twice the same write at
    /// one replica is as good as once.
    pub(super) fn send_by_present_ring(
        self: &Arc<Self>,
        mut sending: Sending,
        stamp: Option<Timestamp>,
        mut task: Task,
        write_type: WriteType,
    ) -> impl Future<Output = Result<Option<Timestamp>, Error>> + Send + use<E> {
        let coordinator = Arc::clone(self);
        async move {
            coordinator.counters.writes.one();
            loop {
                let mutation = Arc::clone(&sending.mutation);
                let quorum = sending.quorum.clone();
                let peer = match coordinator.send(sending, stamp, &task, write_type).await {
                    Ok(newest) => return Ok(newest),
                    Err(Unsent::Failed(error)) => return Err(error),
                    Err(Unsent::OldRing(peer)) => peer,
                };
                let in_time = coordinator.renew_ring(&peer, &task).await;
                let snapshot = coordinator.views.load();
                task.planned = snapshot.cluster.stamp;
                match coordinator.plan_write(&snapshot, mutation, task.consistency) {
                    Ok(again) if in_time => sending = again,
                    // Replicas may have it already, so nothing else is true any more.
                    _ => {
                        let count = Count::new(quorum, Vec::new());
                        return Err(coordinator.write_error(&task, write_type, &count));
                    }
                }
            }
        }
    }

    /// After the answer: a replica that knows more of the ring refused the write, so those of the present ring get it.
    pub(super) async fn send_again(
        self: &Arc<Self>,
        refuser: &Peer,
        mutation: Arc<Mutation>,
        mut task: Task,
    ) {
        self.renew_ring(refuser, &task).await;
        let snapshot = self.views.load();
        task.planned = snapshot.cluster.stamp;
        let Ok(sending) = self.plan_write(&snapshot, mutation, Consistency::Any) else {
            return;
        };
        let origin = Origin {
            sender: snapshot.cluster.me,
            era: task.era,
        };
        for peer in &sending.replicas {
            // A replica that has restarted since does not know it.
            if self.replica.truncations.refuses(sending.mutation.table, origin) {
                return;
            }
            let encoded = sending.encoded.clone();
            let outcome = self
                .write_one(peer, &sending.mutation, encoded, None, &task)
                .await;
            if matches!(outcome, Outcome::OldRing) {
                let encoded = sending.encoded.clone();
                self.hints.keep(peer.id, None, task.era, encoded).await;
            }
        }
    }

    /// Sends mutations that a replica was found to lack by a read, and waits until they are durable there. Refused on
    /// an old ring, as the read is, and where the table was truncated since the read began.
    pub(super) async fn write_repair(
        &self,
        peer: &Peer,
        mutations: Vec<Mutation>,
        task: &Task,
    ) -> Result<(), AskError> {
        if peer.id == self.views.load().cluster.me {
            for mutation in mutations {
                self.write_here(&mutation, mutation.encode(), None, task).await?;
            }
            return Ok(());
        }
        let body = Request::Write {
            mutations: mutations.iter().map(|mutation| self.encode(mutation)).collect(),
            reason: WriteReason::Repair,
        };
        let timeout = task.deadline.remaining(&self.env);
        self.peers.ask_planned(peer, body, timeout, task).await.map(drop)
    }
}

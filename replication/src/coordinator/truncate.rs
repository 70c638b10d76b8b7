//! TRUNCATE: all data of a table, on all nodes.

use std::sync::Arc;

use futures::future::join_all;
use starling_cql::{Error, ErrorKind};
use starling_model::{Consistency, TableId};
use starling_ring::Shortfall;

use super::Coordinator;
use crate::{env::Env, message::Request, peers::AskError, snapshot::Peer, tracing::Tracer};

impl<E: Env> Coordinator<E> {
    /// Removes a table's data everywhere. All members must be alive: one that is down would bring the old
    /// rows back later.
    ///
    /// After an error other than `Unavailable` some nodes may have removed their data.
    pub(crate) async fn truncate(self: &Arc<Self>, table: TableId, tracer: &Tracer) -> Result<(), Error> {
        let snapshot = self.views.load();
        let members: Vec<&Arc<Peer>> = snapshot.cluster.joined().collect();
        let alive = members.iter().filter(|peer| peer.alive).count();
        if alive < members.len() {
            let short = Shortfall {
                required: u32::try_from(members.len()).unwrap_or(u32::MAX),
                alive: u32::try_from(alive).unwrap_or(u32::MAX),
            };
            return Err(self.unavailable(Consistency::All, &short));
        }
        let task = self.task(Consistency::All, self.timeouts.truncate, tracer);
        let truncations = members.iter().map(|peer| {
            let task = task.clone();
            async move {
                if peer.id == snapshot_me(self) {
                    self.hints.forget_table(table).await;
                    return self
                        .replica
                        .truncate(table, task.deadline)
                        .await
                        .map_err(AskError::from);
                }
                let timeout = task.deadline.remaining(&self.env);
                let body = Request::Truncate(table);
                self.peers.ask(peer, body, timeout, &task.tracer).await.map(drop)
            }
        });
        for (peer, result) in members.iter().zip(join_all(truncations).await) {
            if let Err(error) = result {
                return Err(Error::new(
                    ErrorKind::Truncate,
                    format!(
                        "The node {} did not truncate its data ({error}); other nodes may have; repeat the statement",
                        peer.address
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn snapshot_me<E: Env>(coordinator: &Coordinator<E>) -> starling_model::NodeId {
    coordinator.views.load().cluster.me
}

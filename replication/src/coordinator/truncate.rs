//! TRUNCATE: all data of a table, on all nodes.
//!
//! In two rounds: first all nodes forget the hints and batches that they keep for the table, then all remove its data. So
//! nothing of a write from before reaches a node that has removed its data already.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use starling_cql::{Error, ErrorKind};
use starling_model::{Consistency, TableId};
use starling_ring::Shortfall;

use super::{Coordinator, Task};
use crate::{
    env::Env,
    message::{Failure, Request},
    peers::AskError,
    snapshot::{Peer, Snapshot},
    topology::ChangeKind,
    tracing::Tracer,
};

impl<E: Env> Coordinator<E> {
    /// Removes a table's data everywhere. All members must be alive: one that is down would bring the old
    /// rows back later. So would a node that fetches them while the ring changes, so it is refused meanwhile.
    ///
    /// After an error other than `Unavailable` and `Overloaded` some nodes may have removed their data, unless it says that none did: a node
    /// whose disk does not let it forget its hints ends the statement before that.
    /// Its time counts since it `arrived`, on the monotonic clock.
    pub(crate) async fn truncate(
        self: &Arc<Self>,
        table: TableId,
        arrived: Duration,
        tracer: &Tracer,
    ) -> Result<(), Error> {
        let mut task = self.task_since(arrived, Consistency::All, self.timeouts.truncate, tracer)?;
        loop {
            let snapshot = self.views.load();
            task.planned = snapshot.cluster.stamp;
            if let Some((change, _)) = &snapshot.cluster.change
                && moves(&snapshot, &change.kind, table)
            {
                return Err(Error::new(
                    ErrorKind::Truncate,
                    format!(
                        "A table can't be truncated while its data moves to other nodes ({}); repeat the statement when \
                         that is done",
                        change.kind
                    ),
                ));
            }
            let forgetting = self
                .do_round(&snapshot, &Request::ForgetHints(table), &task)
                .await?;
            let failed = match forgetting {
                Some((peer, error)) => Some((
                    peer,
                    error,
                    "did not forget its hints for the table",
                    "no data was removed",
                )),
                None => {
                    let removing = self.do_round(&snapshot, &Request::Truncate(table), &task).await?;
                    removing.map(|(peer, error)| {
                        (peer, error, "did not truncate its data", "other nodes may have")
                    })
                }
            };
            let Some((peer, error, what, others)) = failed else {
                return Ok(());
            };
            if !error.is_old_ring() || !self.renew_ring(&peer, &task).await {
                return Err(Error::new(
                    ErrorKind::Truncate,
                    format!(
                        "The node {} {what} ({error}); {others}; repeat the statement",
                        peer.address
                    ),
                ));
            }
        }
    }

    /// Asks all members; says who did not do it.
    async fn do_round(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        round: &Request,
        task: &Task,
    ) -> Result<Option<(Arc<Peer>, AskError)>, Error> {
        let members: Vec<&Arc<Peer>> = snapshot.cluster.joined().collect();
        let alive = members.iter().filter(|peer| peer.alive).count();
        if alive < members.len() {
            let short = Shortfall {
                required: u32::try_from(members.len()).unwrap_or(u32::MAX),
                alive: u32::try_from(alive).unwrap_or(u32::MAX),
            };
            return Err(self.unavailable(Consistency::All, &short, None));
        }
        let truncations = members.iter().map(|peer| async move {
            if peer.id == snapshot.cluster.me {
                return self.do_here(round, task).await;
            }
            let timeout = task.deadline.remaining(&self.env);
            let asked = self.peers.ask_planned(peer, round.clone(), timeout, task);
            asked.await.map(drop)
        });
        let results = members.iter().zip(join_all(truncations).await);
        let mut failed = results.filter_map(|(peer, result)| Some((Arc::clone(peer), result.err()?)));
        Ok(failed.next())
    }

    /// Removes what is kept here to be written to a table later: hints, and parts of logged batches.
    pub(crate) async fn forget_kept(&self, table: TableId) -> Result<(), Failure> {
        self.hints.forget_table(table).await?;
        self.kept.forget_table(table).await
    }

    async fn do_here(&self, round: &Request, task: &Task) -> Result<(), AskError> {
        let _pass = self.views.admit(task.planned).own()?;
        match round {
            Request::ForgetHints(table) => self.forget_kept(*table).await?,
            Request::Truncate(table) => self.replica.truncate(*table, task.deadline).await?,
            _ => return Err(AskError::Confused),
        }
        Ok(())
    }
}

/// Whether a change may move what a table has.
fn moves(snapshot: &Snapshot, change: &ChangeKind, table: TableId) -> bool {
    let table = snapshot.schema.table_by_id(table);
    match (change, table) {
        (ChangeKind::Alter(alteration), Some(table)) => alteration.keyspace == table.keyspace,
        _ => true,
    }
}

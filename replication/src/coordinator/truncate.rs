//! TRUNCATE: all data of a table, on all nodes.
//!
//! In three rounds. First all nodes forget the hints and batches that they keep for the table, and keep none any more for
//! what they began before; then all remove its data, and refuse from then on what any of them began before its first round.
//! So nothing of a write from before reaches a node that has removed its data already. Reads repair nothing meanwhile, for they
//! may have met a replica that has not; the third round lets them, on all nodes, before the statement is acknowledged.
//!
//! Contract: no read that is asked for after a TRUNCATE was acknowledged shows anything of a write that was acknowledged
//! before that TRUNCATE was asked for. Of a write that is under way meanwhile all may be removed, or what reaches its
//! replicas after they were truncated stays; it may fail, and then it says so. [`Truncations`](crate::truncations) has why this holds.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use starling_cql::{Error, ErrorKind};
use starling_model::{Consistency, NodeId, TableId};
use starling_ring::Shortfall;

use super::{Coordinator, Task};
use crate::{
    deadline::Deadline,
    env::Env,
    identity::uuid_v4,
    message::{Failure, Request, Response},
    peers::AskError,
    snapshot::{Peer, Snapshot},
    topology::ChangeKind,
    tracing::Tracer,
    truncations::Origin,
};

/// The pause before a member is told again that a truncation is over.
const TOLD_AGAIN: Duration = Duration::from_millis(500);

/// Why a truncation ended early.
enum Stopped {
    /// Not all members are alive.
    Unavailable(Error),
    /// A member did not do its part of a round.
    Missed {
        peer: Arc<Peer>,
        error: AskError,
        what: &'static str,
        others: &'static str,
    },
}

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
            let id = uuid_v4(self.env.random(), self.env.random());
            let stopped = match self.do_rounds(&snapshot, table, id, &task).await {
                Ok(()) => return Ok(()),
                Err(stopped) => stopped,
            };
            self.tell_end(&snapshot, Request::Truncated { table, id }, &task);
            let (peer, error, what, others) = match stopped {
                Stopped::Unavailable(error) => return Err(error),
                Stopped::Missed {
                    peer,
                    error,
                    what,
                    others,
                } => (peer, error, what, others),
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

    async fn do_rounds(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        table: TableId,
        id: u128,
        task: &Task,
    ) -> Result<(), Stopped> {
        let forgetting = self
            .do_round(snapshot, &Request::ForgetHints { table, id }, task)
            .await?;
        let forgotten = |(peer, answer): (Arc<Peer>, Result<Response, AskError>)| match answer {
            Ok(Response::Forgotten(era)) => Ok((peer.id, era)),
            answer => Err(Stopped::Missed {
                peer,
                error: answer.err().unwrap_or(AskError::Confused),
                what: "did not forget its hints for the table",
                others: "no data was removed",
            }),
        };
        let eras = forgetting
            .into_iter()
            .map(forgotten)
            .collect::<Result<Vec<(NodeId, u64)>, Stopped>>()?;
        let removing = Request::Truncate { table, id, eras };
        let removed = self.do_round(snapshot, &removing, task).await?;
        all_done(removed, "did not truncate its data", "other nodes may have")?;
        let ended = self
            .do_round(snapshot, &Request::Truncated { table, id }, task)
            .await?;
        all_done(
            ended,
            "did not take note that all nodes have truncated their data",
            "rows of before may come back",
        )
    }

    /// Asks all members; their answers.
    async fn do_round(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        round: &Request,
        task: &Task,
    ) -> Result<Vec<(Arc<Peer>, Result<Response, AskError>)>, Stopped> {
        let members: Vec<&Arc<Peer>> = snapshot.cluster.joined().collect();
        let alive = members.iter().filter(|peer| peer.alive).count();
        if alive < members.len() {
            let short = Shortfall {
                required: u32::try_from(members.len()).unwrap_or(u32::MAX),
                alive: u32::try_from(alive).unwrap_or(u32::MAX),
            };
            let unavailable = self.unavailable(Consistency::All, &short, None);
            return Err(Stopped::Unavailable(unavailable));
        }
        let asked = members.into_iter().map(|peer| async move {
            let answer = self.ask_to_truncate(peer, round.clone(), task).await;
            (Arc::clone(peer), answer)
        });
        Ok(join_all(asked).await)
    }

    async fn ask_to_truncate(&self, peer: &Peer, round: Request, task: &Task) -> Result<Response, AskError> {
        if peer.id == self.views.load().cluster.me {
            let _pass = match round {
                Request::Truncated { .. } => None,
                _ => Some(self.views.admit(task.planned).own()?),
            };
            let origin = Origin {
                sender: peer.id,
                era: task.era,
            };
            return Ok(self.truncate_here(round, origin, task.deadline).await?);
        }
        let timeout = task.deadline.remaining(&self.env);
        self.peers.ask_planned(peer, round, timeout, task).await
    }

    /// Tells all members that are alive that a truncation is over, beside the caller: they would wait for its end until its
    /// time is over. Who does not take note is told again until then.
    fn tell_end(self: &Arc<Self>, snapshot: &Snapshot, over: Request, task: &Task) {
        let members: Vec<Arc<Peer>> = snapshot.cluster.joined().cloned().collect();
        let (coordinator, task) = (Arc::clone(self), task.clone());
        self.env.spawn(async move {
            let alive = members.iter().filter(|peer| peer.alive);
            join_all(alive.map(|peer| coordinator.tell_one(peer, &over, &task))).await;
        });
    }

    async fn tell_one(&self, peer: &Peer, over: &Request, task: &Task) {
        while !task.deadline.is_over(&self.env) {
            match self.ask_to_truncate(peer, over.clone(), task).await {
                // It knows nothing of it.
                Ok(_) | Err(AskError::Failed(Failure::Invalid(_))) => return,
                Err(_) => self.env.sleep(TOLD_AGAIN).await,
            }
        }
    }

    /// This node's part of a round that another node, or this one, coordinates.
    pub(crate) async fn truncate_here(
        &self,
        round: Request,
        coordinator: Origin,
        deadline: Deadline,
    ) -> Result<Response, Failure> {
        let truncations = &self.replica.truncations;
        let unknown = || {
            Failure::Invalid(
                "it knows nothing of this truncation: it has restarted, or that is over".to_owned(),
            )
        };
        match round {
            Request::ForgetHints { table, id } => {
                let now = self.env.monotonic();
                let until = now.saturating_add(deadline.remaining(&self.env));
                if !truncations.begin(table, id, coordinator, until) {
                    return Err(unknown());
                }
                let era = truncations.next_era();
                // First what may leave hints when it is under way.
                self.kept.forget_table(table).await?;
                self.hints.forget_table(table, era).await?;
                Ok(Response::Forgotten(truncations.next_era()))
            }
            Request::Truncate { table, id, eras } => {
                if !truncations.refuse_earlier(table, id, &eras) {
                    return Err(unknown());
                }
                // One may have come since the first round that was on its way before it.
                self.kept.forget_table(table).await?;
                let is_removed = self.replica.truncate(table, id, deadline).await?;
                is_removed.then_some(Response::Done).ok_or_else(unknown)
            }
            Request::Truncated { table, id } if truncations.end(table, id) => Ok(Response::Done),
            _ => Err(unknown()),
        }
    }

    /// Waits no longer for truncations whose coordinator is dead, or whose time is over.
    pub(crate) fn forget_lost_truncations(&self) {
        let snapshot = self.views.load();
        let is_gone = |node| snapshot.cluster.peers.get(&node).is_none_or(|peer| !peer.alive);
        self.replica.truncations.give_up(self.env.monotonic(), is_gone);
    }
}

/// Whether all members did their part of a round.
fn all_done(
    answers: Vec<(Arc<Peer>, Result<Response, AskError>)>,
    what: &'static str,
    others: &'static str,
) -> Result<(), Stopped> {
    for (peer, answer) in answers {
        let error = match answer {
            Ok(Response::Done) => continue,
            Ok(_) => AskError::Confused,
            Err(error) => error,
        };
        return Err(Stopped::Missed {
            peer,
            error,
            what,
            others,
        });
    }
    Ok(())
}

/// Whether a change may move what a table has.
fn moves(snapshot: &Snapshot, change: &ChangeKind, table: TableId) -> bool {
    let table = snapshot.schema.table_by_id(table);
    match (change, table) {
        (ChangeKind::Alter(alteration), Some(table)) => alteration.keyspace == table.keyspace,
        _ => true,
    }
}

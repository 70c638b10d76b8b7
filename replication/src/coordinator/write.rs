//! Coordinating writes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, channel::mpsc, future::join_all};
use starling_cql::{Error, ErrorKind, WriteType, schema::Schema};
use starling_model::{Consistency, Mutation, mutation::MAX_MUTATION_BYTES};

use super::{Coordinator, Refusal, Task, in_words, refusal};
use crate::{
    budget::{SMALL_BYTES, hold},
    deadline::Deadline,
    env::{CallError, Env},
    message::{Failure, Request, WriteReason},
    peers::AskError,
    snapshot::{Peer, Snapshot},
    topology::quorum::{JointTally, Quorum},
    tracing::Tracer,
};

/// A mutation on its way to its replicas.
struct Sending {
    mutation: Arc<Mutation>,
    encoded: Bytes,
    replicas: Vec<Arc<Peer>>,
    quorum: Quorum,
}

/// What became of a write at one replica.
enum Outcome {
    /// It is durable there.
    Acknowledged,
    /// It is not known to be there: how the replica refused it, if it said anything, and whether a hint for it
    /// is durable now.
    Missed { refused: Option<Refusal>, hinted: bool },
}

impl<E: Env> Coordinator<E> {
    /// Writes mutations at a level, each to all its replicas at once. Ends when the level is met for all.
    ///
    /// What the level does not wait for goes on in the background, and replicas that miss a write get a
    /// hint. After `Unavailable` nothing was changed; after any other error the writes may be applied, in
    /// part, now or later.
    pub(crate) async fn write(
        self: &Arc<Self>,
        mutations: Vec<Mutation>,
        consistency: Consistency,
        write_type: WriteType,
        tracer: &Tracer,
    ) -> Result<(), Error> {
        let snapshot = self.views.load();
        let task = self.task(consistency, self.timeouts.write, tracer);
        let sendings = mutations
            .into_iter()
            .map(|mutation| self.plan_write(&snapshot, mutation, consistency))
            .collect::<Result<Vec<_>, _>>()?;
        // Availability is settled for all of them before any is sent.
        let mut results = join_all(
            sendings
                .into_iter()
                .map(|sending| self.send(sending, &task, write_type)),
        )
        .await
        .into_iter();
        results.try_for_each(|result| result)
    }

    /// Fails, changing nothing, if these writes can't be met at the level now.
    pub(crate) fn check_writes(&self, mutations: &[Mutation], consistency: Consistency) -> Result<(), Error> {
        let snapshot = self.views.load();
        for mutation in mutations {
            self.plan_write(&snapshot, mutation.clone(), consistency)?;
        }
        Ok(())
    }

    fn plan_write(
        &self,
        snapshot: &Snapshot,
        mutation: Mutation,
        consistency: Consistency,
    ) -> Result<Sending, Error> {
        if consistency.is_serial() {
            return Err(Error::invalid(format!(
                "{consistency} is not supported as the level of a write: it belongs in the serial consistency of a conditional write"
            )));
        }
        let table = known_table(&snapshot.schema, &mutation)?;
        let placements = snapshot.placements(&table)?;
        let quorum = Quorum {
            requirement: self.requirement(consistency, placements),
            sets: placements.sets(mutation.key.token),
        };
        let replicas = snapshot.peers_of(&quorum.sets.all());
        let alive = replicas.iter().filter(|peer| peer.alive);
        quorum
            .check(alive.map(|peer| (peer.id, peer.datacenter.as_str())))
            .map_err(|short| self.unavailable(consistency, &short))?;
        let encoded = self.encode(&mutation);
        if encoded.len() > MAX_MUTATION_BYTES {
            return Err(Error::invalid(format!(
                "the write is {} bytes long, and at most {MAX_MUTATION_BYTES} are accepted; nothing was changed",
                encoded.len()
            )));
        }
        Ok(Sending {
            mutation: Arc::new(mutation),
            encoded,
            replicas,
            quorum,
        })
    }

    /// The mutation's bytes, counted until the last replica that they are on the way to has them: the request
    /// that they come from may be answered sooner.
    fn encode(&self, mutation: &Mutation) -> Bytes {
        let encoded = mutation.encode();
        if encoded.len() < SMALL_BYTES {
            return encoded;
        }
        let charge = self.budget.requests.owe(encoded.len());
        hold(encoded, charge)
    }

    async fn send(
        self: &Arc<Self>,
        sending: Sending,
        task: &Task,
        write_type: WriteType,
    ) -> Result<(), Error> {
        self.counters.writes.one();
        let (outcomes, mut arriving) = mpsc::unbounded();
        for peer in &sending.replicas {
            let coordinator = Arc::clone(self);
            let (peer, outcomes, task) = (Arc::clone(peer), outcomes.clone(), task.clone());
            let (mutation, encoded) = (Arc::clone(&sending.mutation), sending.encoded.clone());
            self.env.spawn(async move {
                let outcome = coordinator.write_one(&peer, &mutation, encoded, &task).await;
                // The coordinator may have answered already.
                let _ = outcomes.unbounded_send((peer, outcome));
            });
        }
        drop(outcomes);
        let mut count = Count::new(sending.quorum, sending.replicas);
        while !count.tally.is_met() {
            let Some((peer, outcome)) = arriving.next().await else {
                break;
            };
            if count.take(&peer, &outcome) {
                return Ok(());
            }
            if count.is_hopeless() {
                break;
            }
        }
        if count.tally.is_met() {
            return Ok(());
        }
        Err(self.write_error(task, write_type, &count))
    }

    /// Writes to one replica; a hint is kept if it misses the write.
    async fn write_one(&self, peer: &Peer, mutation: &Mutation, encoded: Bytes, task: &Task) -> Outcome {
        let result = if peer.id == self.views.load().cluster.me {
            let local = self.replica.write(mutation.clone(), task.deadline, &task.tracer);
            local.await.map_err(AskError::from)
        } else if peer.alive {
            task.tracer.note(
                || self.env.wall(),
                || format!("Sending the write to {}", peer.address),
            );
            let body = Request::Write {
                mutations: vec![encoded.clone()],
                reason: WriteReason::Client,
            };
            let timeout = task.deadline.remaining(&self.env);
            self.peers.ask(peer, body, timeout, &task.tracer).await.map(drop)
        } else {
            Err(CallError::NotSent(peer.address).into())
        };
        let Err(error) = result else {
            task.tracer.note(
                || self.env.wall(),
                || format!("{} has acknowledged the write", peer.address),
            );
            return Outcome::Acknowledged;
        };
        task.tracer.note(
            || self.env.wall(),
            || format!("{} missed the write: {error}", peer.address),
        );
        let refused = (!error.is_timeout() && !error.is_unreachable()).then(|| refusal(peer, &error));
        let hinted = match error {
            // Sending it again would not help.
            AskError::Failed(Failure::Invalid(_)) => false,
            _ => self.hints.keep(peer.id, encoded).await,
        };
        Outcome::Missed { refused, hinted }
    }

    fn write_error(&self, task: &Task, write_type: WriteType, count: &Count) -> Error {
        let consistency = task.consistency;
        let (received, required) = (count.tally.received(), count.quorum.requirement.block_for());
        if count.refusals.is_empty() {
            self.counters.write_timeouts.one();
            let kind = ErrorKind::WriteTimeout {
                consistency,
                received,
                required,
                write_type,
            };
            return Error::new(
                kind,
                format!(
                    "Operation timed out: {received} of {required} replicas acknowledged the write at {consistency}; it may be applied, now or later"
                ),
            );
        }
        self.counters.write_failures.one();
        let refusals = &count.refusals;
        let kind = ErrorKind::WriteFailure {
            consistency,
            received,
            required,
            failures: refusals.len() as u32,
            reasons: refusals.iter().map(|refusal| refusal.failure).collect(),
            write_type,
        };
        Error::new(
            kind,
            format!(
                "Operation failed: {received} of {required} replicas acknowledged the write at {consistency} and {}; it may be applied, now or later",
                in_words(refusals)
            ),
        )
    }

    /// Writes a mutation to all its replicas; those that miss it get a hint. Ends, with true, when each of
    /// them has one or the other durably.
    pub(crate) async fn write_to_all(
        self: &Arc<Self>,
        mutation: Mutation,
        tracer: &Tracer,
    ) -> Result<bool, Error> {
        let sending = self.plan_write(&self.views.load(), mutation, Consistency::Any)?;
        let task = self.task(Consistency::Any, self.timeouts.write, tracer);
        let writes = sending
            .replicas
            .iter()
            .map(|peer| self.write_one(peer, &sending.mutation, sending.encoded.clone(), &task));
        Ok(join_all(writes).await.iter().all(|outcome| match outcome {
            Outcome::Acknowledged => true,
            Outcome::Missed { hinted, .. } => *hinted,
        }))
    }

    /// Sends mutations that a stale replica lacks, and waits until they are durable there.
    pub(crate) async fn write_to(
        &self,
        peer: &Peer,
        mutations: Vec<Mutation>,
        reason: WriteReason,
        deadline: Deadline,
        tracer: &Tracer,
    ) -> Result<(), AskError> {
        if peer.id == self.views.load().cluster.me {
            for mutation in mutations {
                self.replica.write(mutation, deadline, tracer).await?;
            }
            return Ok(());
        }
        let body = Request::Write {
            mutations: mutations.iter().map(|mutation| self.encode(mutation)).collect(),
            reason,
        };
        let timeout: Duration = deadline.remaining(&self.env);
        self.peers.ask(peer, body, timeout, tracer).await.map(drop)
    }
}

/// The name of the keyspace that a mutation's table is in.
fn known_table(schema: &Schema, mutation: &Mutation) -> Result<String, Error> {
    schema
        .table_by_id(mutation.table)
        .map(|table| table.keyspace.clone())
        .ok_or_else(|| Error::invalid("the table was dropped meanwhile; nothing was changed"))
}

/// The answers so far, and those that may still come.
struct Count {
    quorum: Quorum,
    tally: JointTally,
    pending: Vec<Arc<Peer>>,
    refusals: Vec<Refusal>,
}

impl Count {
    fn new(quorum: Quorum, replicas: Vec<Arc<Peer>>) -> Self {
        Self {
            tally: quorum.tally(),
            // Those known to be dead are hinted, which takes no place among the failures.
            pending: replicas,
            quorum,
            refusals: Vec::new(),
        }
    }

    /// Counts one outcome; says whether the level is met now.
    fn take(&mut self, peer: &Peer, outcome: &Outcome) -> bool {
        self.pending.retain(|waiting| waiting.id != peer.id);
        match outcome {
            Outcome::Acknowledged => {
                self.tally.add(peer.id, &peer.datacenter);
            }
            Outcome::Missed { refused, hinted } => {
                if *hinted && self.quorum.requirement.hint_suffices() {
                    self.tally.add_hint(&peer.datacenter);
                } else if let Some(refusal) = refused
                    && peer.alive
                    && self.quorum.requirement.counts(&peer.datacenter)
                {
                    self.refusals.push(refusal.clone());
                }
            }
        }
        self.tally.is_met()
    }

    /// Whether the level can't be met any more, whatever still comes.
    fn is_hopeless(&self) -> bool {
        let mut best = self.tally.clone();
        for peer in self
            .pending
            .iter()
            .filter(|peer| peer.alive || self.quorum.requirement.hint_suffices())
        {
            best.add(peer.id, &peer.datacenter);
        }
        !best.is_met()
    }
}

//! Coordinating writes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use starling_cql::{Error, ErrorKind, WriteType, schema::Schema};
use starling_model::{Consistency, Mutation, Seconds, Timestamp, mutation::MAX_MUTATION_BYTES};

use super::{Coordinator, Refusal, Task, flights::Flights, in_words, refusal};
use crate::{
    budget::{SMALL_BYTES, hold},
    env::{CallError, Env},
    message::{Failure, Request, Response, WriteReason},
    peers::AskError,
    snapshot::{Peer, Snapshot},
    topology::quorum::{JointTally, Quorum},
    tracing::Tracer,
    truncations::Origin,
};

/// A mutation on its way to its replicas.
pub(super) struct Sending {
    pub(super) mutation: Arc<Mutation>,
    pub(super) encoded: Bytes,
    pub(super) replicas: Vec<Arc<Peer>>,
    pub(super) quorum: Quorum,
}

/// What became of a write at one replica.
pub(super) enum Outcome {
    /// It is durable there; of one that was stamped here, what the replica had that may be as new.
    Acknowledged { newest: Option<Timestamp> },
    /// It is not known to be there: how the replica refused it, if it said anything, and whether a hint for it
    /// is durable now. None is kept if the table was truncated since the write began.
    Missed { refused: Option<Refusal>, hinted: bool },
    /// Nothing was done: it knows more of the ring.
    OldRing,
}

/// Why a write is not through.
pub(super) enum Unsent {
    /// The ring is another one: to be planned again.
    OldRing(Arc<Peer>),
    Failed(Error),
}

impl<E: Env> Coordinator<E> {
    /// Writes mutations at a level, each to all its replicas at once. Ends when the level is met for all.
    ///
    /// What the level does not wait for goes on in the background, and replicas that miss a write get a
    /// hint. After `Unavailable` and `Overloaded` nothing was changed; after any other error the writes may be applied, in
    /// part, now or later. Their time counts since they `arrived`, on the monotonic clock.
    pub(crate) async fn write(
        self: &Arc<Self>,
        mutations: Vec<Mutation>,
        consistency: Consistency,
        write_type: WriteType,
        arrived: Duration,
        tracer: &Tracer,
    ) -> Result<(), Error> {
        let mutations = mutations.into_iter().map(Arc::new).collect();
        let task = self.task_since(arrived, consistency, self.timeouts.write, tracer)?;
        self.write_round(mutations, None, &task, write_type)
            .await
            .map(drop)
    }

    /// The same. With `stamp`, the newest timestamp that this node gave to them, returns what replicas
    /// had that may be as new.
    pub(crate) async fn write_round(
        self: &Arc<Self>,
        mutations: Vec<Arc<Mutation>>,
        stamp: Option<Timestamp>,
        task: &Task,
        write_type: WriteType,
    ) -> Result<Option<Timestamp>, Error> {
        let mut task = task.clone();
        let sendings = self.plan_writes(mutations, &mut task)?;
        // Availability is settled for all of them before any is sent.
        let mut sends = Vec::with_capacity(sendings.len());
        for sending in sendings {
            sends.push(self.send_by_present_ring(sending, stamp, task.clone(), write_type));
        }
        let mut newest = None;
        for told in join_all(sends).await {
            newest = newest.max(told?);
        }
        Ok(newest)
    }

    fn plan_writes(&self, mutations: Vec<Arc<Mutation>>, task: &mut Task) -> Result<Vec<Sending>, Error> {
        let snapshot = self.views.load();
        task.planned = snapshot.cluster.stamp;
        mutations
            .into_iter()
            .map(|mutation| self.plan_write(&snapshot, mutation, task.consistency))
            .collect()
    }

    /// Fails, changing nothing, if these writes can't be met at the level now.
    pub(crate) fn check_writes(&self, mutations: &[Mutation], consistency: Consistency) -> Result<(), Error> {
        let snapshot = self.views.load();
        for mutation in mutations {
            self.plan_write(&snapshot, Arc::new(mutation.clone()), consistency)?;
        }
        Ok(())
    }

    pub(super) fn plan_write(
        &self,
        snapshot: &Snapshot,
        mutation: Arc<Mutation>,
        consistency: Consistency,
    ) -> Result<Sending, Error> {
        if consistency.is_serial() {
            return Err(Error::invalid(format!(
                "{consistency} is not supported as the level of a write: it belongs in the serial consistency of a conditional write"
            )));
        }
        let table = known_table(&snapshot.schema, &mutation)?;
        let placements = snapshot.placements(table)?;
        let quorum = Quorum {
            requirements: self.requirements(consistency, placements),
            sets: placements.sets(mutation.key.token),
        };
        let replicas = snapshot.peers_of(&quorum.sets.all());
        let alive = replicas.iter().filter(|peer| peer.alive);
        quorum
            .check(alive.map(|peer| (peer.id, peer.datacenter.as_str())))
            .map_err(|short| self.unavailable(consistency, &short, quorum.want_of_nodes().as_deref()))?;
        let encoded = self.encode(&mutation);
        if encoded.len() > MAX_MUTATION_BYTES {
            return Err(Error::invalid(format!(
                "the write is {} bytes long, and at most {MAX_MUTATION_BYTES} are accepted; nothing was changed",
                encoded.len()
            )));
        }
        Ok(Sending {
            mutation,
            encoded,
            replicas,
            quorum,
        })
    }

    /// The mutation's bytes, counted until the last replica that they are on the way to has them: the request
    /// that they come from may be answered sooner.
    pub(super) fn encode(&self, mutation: &Mutation) -> Bytes {
        let encoded = mutation.encode();
        if encoded.len() < SMALL_BYTES {
            return encoded;
        }
        let charge = self.budget.requests.owe(encoded.len());
        hold(encoded, charge)
    }

    /// Sends once; the answer of the replicas that are waited for.
    pub(super) async fn send(
        self: &Arc<Self>,
        sending: Sending,
        stamp: Option<Timestamp>,
        task: &Task,
        write_type: WriteType,
    ) -> Result<Option<Timestamp>, Unsent> {
        let mut flights = Flights::begin(self, &sending, stamp, task);
        let mut count = Count::new(sending.quorum, sending.replicas);
        while !count.tally.is_met() {
            let Some((peer, outcome)) = flights.next().await else {
                break;
            };
            if matches!(outcome, Outcome::OldRing) {
                return Err(Unsent::OldRing(peer));
            }
            if count.take(&peer, &outcome) || count.is_hopeless() {
                break;
            }
        }
        if count.tally.is_met() {
            return Ok(count.newest);
        }
        Err(Unsent::Failed(self.write_error(task, write_type, &count)))
    }

    /// Writes to one replica; a hint is kept if it misses the write.
    pub(super) async fn write_one(
        &self,
        peer: &Peer,
        mutation: &Mutation,
        encoded: Bytes,
        stamp: Option<Timestamp>,
        task: &Task,
    ) -> Outcome {
        let result = if peer.id == self.views.load().cluster.me {
            match self.replica.check_time(mutation) {
                Ok(()) => self.write_here(mutation, encoded.clone(), stamp, task).await,
                Err(failure) => Err(failure.into()),
            }
        } else if peer.alive {
            task.tracer.note(
                || self.env.wall(),
                || format!("Sending the write to {}", peer.address),
            );
            self.write_there(peer, encoded.clone(), stamp, task).await
        } else {
            Err(CallError::NotSent(peer.address).into())
        };
        let error = match result {
            Ok(newest) => {
                task.tracer.note(
                    || self.env.wall(),
                    || format!("{} has acknowledged the write", peer.address),
                );
                return Outcome::Acknowledged { newest };
            }
            Err(error) => error,
        };
        task.tracer.note(
            || self.env.wall(),
            || format!("{} missed the write: {error}", peer.address),
        );
        if error.is_old_ring() {
            return Outcome::OldRing;
        }
        let refused = (!error.is_timeout() && !error.is_unreachable()).then(|| refusal(peer, &error));
        let hinted = match error {
            // Sending it again would not help.
            AskError::Failed(Failure::Invalid(_)) => false,
            _ => self.hints.keep(peer.id, task.kept_since, task.era, encoded).await,
        };
        Outcome::Missed { refused, hinted }
    }

    /// This node as one of the replicas.
    pub(super) async fn write_here(
        &self,
        mutation: &Mutation,
        encoded: Bytes,
        stamp: Option<Timestamp>,
        task: &Task,
    ) -> Result<Option<Timestamp>, AskError> {
        let _pass = self.views.admit(task.planned).own()?;
        let (deadline, tracer) = (task.deadline, &task.tracer);
        let origin = Origin {
            sender: self.views.load().cluster.me,
            era: task.era,
        };
        let written = match stamp {
            Some(stamp) => {
                self.replica
                    .write_stamped(mutation, (encoded, stamp), origin, deadline, tracer)
                    .await?
            }
            None => {
                self.replica
                    .write(mutation, encoded, origin, deadline, tracer)
                    .await?;
                None
            }
        };
        Ok(written)
    }

    async fn write_there(
        &self,
        peer: &Peer,
        encoded: Bytes,
        stamp: Option<Timestamp>,
        task: &Task,
    ) -> Result<Option<Timestamp>, AskError> {
        let mutations = vec![encoded];
        let body = match stamp {
            Some(stamp) => Request::WriteStamped { mutations, stamp },
            None => Request::Write {
                mutations,
                reason: WriteReason::Client,
            },
        };
        let timeout = task.deadline.remaining(&self.env);
        match self.peers.ask_planned(peer, body, timeout, task).await? {
            Response::Done => Ok(None),
            Response::Behind(newest) => Ok(Some(newest)),
            _ => Err(AskError::Confused),
        }
    }

    pub(super) fn write_error(&self, task: &Task, write_type: WriteType, count: &Count) -> Error {
        let consistency = task.consistency;
        let (received, required) = (count.tally.received(), count.quorum.requirements.block_for());
        let fate = match write_type {
            WriteType::Batch => self.kept.fate(),
            _ => "it may be applied, now or later".to_owned(),
        };
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
                    "Operation timed out: {received} of {required} replicas acknowledged the write at {consistency}; {fate}"
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
                "Operation failed: {received} of {required} replicas acknowledged the write at {consistency} and {}; {fate}",
                in_words(refusals)
            ),
        )
    }

    /// Writes a mutation to all its replicas; those that miss it get a hint. Ends, with true, when each of
    /// them has one or the other durably. The hints get no older than if they were kept since `kept_since`, if that is given.
    pub(crate) async fn write_to_all(
        self: &Arc<Self>,
        mutation: Mutation,
        kept_since: Option<Seconds>,
        tracer: &Tracer,
    ) -> Result<bool, Error> {
        let snapshot = self.views.load();
        let sending = self.plan_write(&snapshot, Arc::new(mutation), Consistency::Any)?;
        let mut task = self.task(Consistency::Any, self.timeouts.write, tracer);
        task.planned = snapshot.cluster.stamp;
        task.kept_since = kept_since;
        let writes = sending
            .replicas
            .iter()
            .map(|peer| self.write_one(peer, &sending.mutation, sending.encoded.clone(), None, &task));
        Ok(join_all(writes).await.iter().all(|outcome| match outcome {
            Outcome::Acknowledged { .. } => true,
            Outcome::Missed { hinted, .. } => *hinted,
            // Whoever asked for it asks again.
            Outcome::OldRing => false,
        }))
    }
}

/// The name of the keyspace that a mutation's table is in.
fn known_table<'schema>(schema: &'schema Schema, mutation: &Mutation) -> Result<&'schema str, Error> {
    schema
        .table_by_id(mutation.table)
        .map(|table| table.keyspace.as_str())
        .ok_or_else(|| Error::invalid("the table was dropped meanwhile; nothing was changed"))
}

/// The answers so far, and those that may still come.
pub(super) struct Count {
    quorum: Quorum,
    tally: JointTally,
    pending: Vec<Arc<Peer>>,
    refusals: Vec<Refusal>,
    /// The newest of what replicas that acknowledged had already.
    newest: Option<Timestamp>,
}

impl Count {
    pub(super) fn new(quorum: Quorum, replicas: Vec<Arc<Peer>>) -> Self {
        Self {
            tally: quorum.tally(),
            // Those known to be dead are hinted, which takes no place among the failures.
            pending: replicas,
            quorum,
            refusals: Vec::new(),
            newest: None,
        }
    }

    /// Counts one outcome; says whether the level is met now.
    fn take(&mut self, peer: &Peer, outcome: &Outcome) -> bool {
        self.pending.retain(|waiting| waiting.id != peer.id);
        match outcome {
            Outcome::Acknowledged { newest } => {
                self.newest = self.newest.max(*newest);
                self.tally.add(peer.id, &peer.datacenter);
            }
            Outcome::Missed { refused, hinted } => {
                if *hinted && self.quorum.requirements.hint_suffices() {
                    self.tally.add_hint(&peer.datacenter);
                } else if let Some(refusal) = refused
                    && peer.alive
                    && self.quorum.requirements.counts(&peer.datacenter)
                {
                    self.refusals.push(refusal.clone());
                }
            }
            Outcome::OldRing => {}
        }
        self.tally.is_met()
    }

    /// Whether the level can't be met any more, whatever still comes.
    fn is_hopeless(&self) -> bool {
        let mut best = self.tally.clone();
        for peer in self
            .pending
            .iter()
            .filter(|peer| peer.alive || self.quorum.requirements.hint_suffices())
        {
            best.add(peer.id, &peer.datacenter);
        }
        !best.is_met()
    }
}

//! Coordinating requests: which replicas are asked, how many answers are enough, what is done about
//! those that failed.
//!
//! The chapters:
//! - [`write`]: a mutation to all its replicas;
//! - [`flights`]: the replicas that have not answered;
//! - [`stamped`]: the same for writes that this node stamps, which must be newer than what they replace;
//! - [`read`]: a page from one set of replicas: data, digests, speculation;
//! - [`alone`]: the same where this node's page suffices;
//! - [`answers`]: what a read was told so far, and whether it is enough;
//! - [`reconcile`]: pages of several replicas become one, by what all of them cover;
//! - [`repair`]: stale replicas are brought up to date before the answer;
//! - [`chance`]: once in a while all replicas are compared, beside the answer;
//! - [`replan`]: writes whose replicas turn out to be others;
//! - [`heal`]: what this node's storage lost is fetched from the others;
//! - [`stretches`]: damaged tokens, cut by who of the others has them whole;
//! - [`waiting`]: what does not heal, told to operators;
//! - [`losses`]: what nobody can give back is accepted to be lost;
//! - [`rest`]: then what is left is given to all replicas;
//! - [`scan`]: a token range over many sets of replicas;
//! - [`truncate`]: all data of a table, on all nodes.

mod alone;
mod answers;
pub(crate) mod chance;
mod flights;
mod heal;
pub(crate) mod losses;
pub(crate) mod read;
pub(crate) mod reconcile;
mod repair;
mod replan;
mod rest;
mod scan;
mod stamped;
mod stretches;
mod truncate;
pub(crate) mod waiting;
pub(crate) mod write;

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use parking_lot::Mutex;
use starling_cql::{Error, ErrorKind, FailureReason, ReplicaFailure};
use starling_model::{Consistency, Seconds};
use starling_ring::Shortfall;

use crate::{
    batch::KeptBatches,
    budget::{Budget, Claim},
    clock::Clock,
    config::Timeouts,
    deadline::Deadline,
    env::{CallError, Env},
    gate::Gate,
    hints::Hints,
    message::Failure,
    peers::{AskError, Peers},
    placements::Placements,
    replica::Replica,
    snapshot::{Peer, Views},
    status::Counters,
    topology::{Stamp, Topology, quorum::Requirements},
    tracing::Tracer,
};
use waiting::Waiting;

/// The pause before a ring is asked for again, or a table read that is being truncated.
const PAUSE: Duration = Duration::from_millis(5);

/// Such a pause at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// A node as coordinator.
pub(crate) struct Coordinator<E: Env> {
    pub(crate) env: E,
    pub(crate) clock: Arc<Clock>,
    pub(crate) views: Arc<Views>,
    pub(crate) peers: Arc<Peers<E>>,
    pub(crate) replica: Arc<Replica<E>>,
    pub(crate) hints: Arc<Hints<E>>,
    pub(crate) kept: Arc<KeptBatches<E>>,
    pub(crate) topology: Arc<Topology<E>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) datacenter: String,
    pub(crate) timeouts: Timeouts,
    /// Damaged data is being fetched from other replicas.
    pub(crate) healing: AtomicBool,
    /// What is damaged and does not heal now.
    pub(crate) waiting: Waiting,
    /// Comparisons of all replicas that are under way.
    pub(crate) comparisons: Gate,
}

/// What the parts of one request share.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) consistency: Consistency,
    pub(crate) deadline: Deadline,
    /// The whole time it was given: what fractions of it are taken from.
    pub(crate) timeout: Duration,
    pub(crate) tracer: Tracer,
    /// What large answers of peers are taken for.
    pub(crate) claim: Claim,
    /// The ring that it is planned on.
    pub(crate) planned: Stamp,
    /// This node's era when it began: a truncation that begins later concerns it.
    pub(crate) era: u64,
    /// Why a read has to be carried out anew.
    pub(crate) outdated: Arc<Mutex<Option<Outdated>>>,
    /// Since when a hint for it counts as kept, if not since now: it gets no older than what it comes from.
    pub(crate) kept_since: Option<Seconds>,
}

/// Why what a read planned, or read, is not good any more.
#[derive(Debug)]
pub(crate) enum Outdated {
    /// This replica knows more of the ring.
    Ring(Arc<Peer>),
    /// The table was truncated since, or is being truncated.
    Table,
}

impl<E: Env> Coordinator<E> {
    /// A request that begins now.
    pub(crate) fn task(&self, consistency: Consistency, timeout: Duration, tracer: &Tracer) -> Task {
        self.task_until(Deadline::after(&self.env, timeout), consistency, timeout, tracer)
    }

    /// A request of a client, whose time counts since it `arrived`, on the monotonic clock. It is refused, changing nothing, if
    /// that time has passed: nobody waits for it any more, and hints would carry it out all the same.
    pub(crate) fn task_since(
        &self,
        arrived: Duration,
        consistency: Consistency,
        timeout: Duration,
        tracer: &Tracer,
    ) -> Result<Task, Error> {
        let deadline = Deadline::since(arrived, timeout);
        if deadline.is_over(&self.env) {
            self.counters.late.one();
            let waited = self.env.monotonic().saturating_sub(arrived).as_millis();
            return Err(Error::new(
                ErrorKind::Overloaded,
                format!(
                    "the request waited for {waited} ms on this node until it could begin, and {} ms are all that it has; nothing \
                     was changed; try again later or on another node",
                    timeout.as_millis()
                ),
            ));
        }
        Ok(self.task_until(deadline, consistency, timeout, tracer))
    }

    fn task_until(
        &self,
        deadline: Deadline,
        consistency: Consistency,
        timeout: Duration,
        tracer: &Tracer,
    ) -> Task {
        Task {
            consistency,
            deadline,
            timeout,
            tracer: tracer.clone(),
            claim: self.claim(),
            planned: self.views.load().cluster.stamp,
            era: self.replica.truncations.era(),
            outdated: Arc::default(),
            kept_since: None,
        }
    }

    /// For a statement that begins now.
    pub(crate) fn claim(&self) -> Claim {
        self.budget.peer_answers.claim()
    }

    fn requirements(&self, level: Consistency, placements: &Placements) -> Requirements {
        Requirements::new(level, placements, &self.datacenter)
    }

    /// A replica knows more of the ring than this node did when it planned the task: asks it, unless this node has
    /// learnt it meanwhile. False once there is no time left to plan again.
    pub(crate) async fn renew_ring(&self, peer: &Peer, task: &Task) -> bool {
        self.counters.old_rings.one();
        if self.views.load().cluster.stamp == task.planned && peer.id != self.views.load().cluster.me {
            self.topology.pull(peer).await;
            if self.views.load().cluster.stamp == task.planned {
                // It is on its way to the same ring, or was not reached.
                self.env.sleep(PAUSE).await;
            }
        }
        !task.deadline.is_over(&self.env)
    }

    /// Whether there is time to carry a read out anew, when that may be worth it.
    /// The pause before a table is read again that is being truncated grows.
    async fn renew(&self, outdated: Outdated, task: &Task, pause: &mut Duration) -> bool {
        match outdated {
            Outdated::Ring(peer) => self.renew_ring(&peer, task).await,
            Outdated::Table => {
                self.env.sleep(*pause).await;
                *pause = (*pause * 2).min(LONGEST_PAUSE);
                let in_time = !task.deadline.is_over(&self.env);
                if !in_time {
                    self.counters.read_timeouts.one();
                }
                in_time
            }
        }
    }

    fn unavailable(&self, consistency: Consistency, short: &Shortfall, why: Option<&str>) -> Error {
        self.counters.unavailable.one();
        let why = why.map_or_else(String::new, |why| format!(" ({why})"));
        Error::new(
            ErrorKind::Unavailable {
                consistency,
                required: short.required,
                alive: short.alive,
            },
            format!(
                "Cannot achieve consistency level {consistency}: it needs {} replicas and {} are alive{why}; nothing was changed",
                short.required, short.alive
            ),
        )
    }
}

/// What a client is told of a replica that answered with a failure.
fn refusal(peer: &Peer, error: &AskError) -> Refusal {
    let reason = match error {
        AskError::Failed(Failure::UnknownTable(_)) => FailureReason::IncompatibleSchema,
        AskError::Failed(Failure::NotServing) => FailureReason::NodeDown,
        AskError::Failed(Failure::Late) | AskError::Call(CallError::Timeout(_)) => FailureReason::Timeout,
        AskError::Failed(_) | AskError::Call(_) | AskError::Confused => FailureReason::Unknown,
    };
    Refusal {
        failure: ReplicaFailure {
            address: peer.address.ip(),
            reason,
        },
        words: format!("{}: {error}", peer.address),
    }
}

/// A replica that answered that it did not do what it was asked.
#[derive(Debug, Clone)]
struct Refusal {
    /// As clients' drivers are told of it.
    failure: ReplicaFailure,
    /// As people are.
    words: String,
}

/// What a statement's error says about those that refused: how many, and of one why.
fn in_words(refusals: &[Refusal]) -> String {
    let first = refusals.first().map_or("", |refusal| &refusal.words);
    match refusals.len() {
        1 => format!("1 failed ({first})"),
        n => format!("{n} failed (one of them {first})"),
    }
}

//! One session: the replicas of one range are compared, and what one of them lacks is written to it.
//!
//! Top-down. The replicas are asked for the digest of a range; where those differ it is cut, first along the grid of tokens,
//! then by partitions, and a large partition by rows at places that a replica with most of them names (range-based set
//! reconciliation, Meyer 2023), until a piece is small. Then it is read, and the pages are merged by the law of the
//! model. So the cost is proportional to the difference, also within a partition, and memory is bounded by pages.
//!
//! - `frontier`: what is to be looked at, many pieces at a time; `groups`: of replicas that agree on a piece one is asked;
//! - `compare`: digests; `cut`: where a large piece is cut; `mend`: reading and writing.

mod compare;
mod cut;
mod frontier;
mod groups;
mod mend;

use std::{sync::Arc, time::Duration};

use starling_model::{Seconds, TableId, TokenRange};

use self::{
    frontier::{Frontier, Step},
    groups::Groups,
};
use super::{
    AntiEntropy,
    digest::View,
    wire::{Moment, Piece, SessionAnswer, SessionRequest},
};
use crate::{
    deadline::Deadline,
    env::Env,
    message::{Request, Response},
    peers::AskError,
    snapshot::Peer,
    tracing::Tracer,
};

/// What a session is about.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) table: TableId,
    pub(crate) grace: u32,
    /// Does not wrap.
    pub(crate) tokens: TokenRange,
    /// The replicas that take part, all of them alive.
    pub(crate) replicas: Vec<Arc<Peer>>,
}

/// How it goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Tells what differs and writes nothing.
    pub(crate) preview: bool,
    /// Nobody waits.
    pub(crate) patient: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Rows compared, of the replica with most.
    pub(crate) rows: u64,
    /// Partitions' parts that some replica lacked something of.
    pub(crate) differing: u64,
    /// Of them, those that every replica that took part has been written what it lacked of.
    pub(crate) settled: u64,
    /// Mutations written, counted for each replica.
    pub(crate) written: u64,
    /// Bytes of pages that were fetched because something differed.
    pub(crate) fetched: u64,
    /// All that was written before this second was compared.
    pub(crate) at: Seconds,
}

impl Outcome {
    /// Partitions' parts that are known to differ among the replicas that took part.
    pub(crate) fn unsettled(&self) -> u64 {
        self.differing - self.settled
    }
}

/// Why a session ended early. What was repaired until then is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("{peer}: {error}")]
    Replica {
        peer: std::net::SocketAddr,
        error: AskError,
    },
    #[error("{0} gives no complete digest in time")]
    Stuck(std::net::SocketAddr),
    #[error("the node is stopping")]
    Stopping,
    #[error("nobody waits for it any more")]
    Unwanted,
    #[error("it has other replicas by now")]
    Moved,
}

pub(crate) struct Session<'a, E: Env> {
    engine: &'a Arc<AntiEntropy<E>>,
    /// This node comes first among the replicas, if it is one: asking it costs least.
    subject: Subject,
    manner: Manner,
    view: View,
    /// By the monotonic clock.
    began: Duration,
    frontier: Frontier,
    outcome: Outcome,
}

impl<'a, E: Env> Session<'a, E> {
    pub(crate) fn new(engine: &'a Arc<AntiEntropy<E>>, mut subject: Subject, manner: Manner) -> Self {
        let env = &engine.env;
        let now = env.wall().seconds();
        subject.replicas.sort_by_key(|peer| peer.id != engine.me);
        Self {
            view: View {
                now,
                grace: subject.grace,
            },
            began: env.monotonic(),
            frontier: Frontier::default(),
            outcome: Outcome {
                rows: 0,
                differing: 0,
                settled: 0,
                written: 0,
                fetched: 0,
                at: now,
            },
            engine,
            subject,
            manner,
        }
    }

    /// Compares and repairs. When it ends well the replicas that took part have everything that any of them had when it
    /// began. It ends early for what `ends` says, which is asked between its steps. [`found`](Self::found) says what came of
    /// it either way.
    pub(crate) async fn run(
        &mut self,
        ends: &(dyn Fn() -> Option<SessionError> + Sync),
    ) -> Result<(), SessionError> {
        let whole = Piece::tokens(self.subject.tokens);
        let groups = Groups::apart(self.subject.replicas.len());
        self.frontier.sum(whole, groups);
        let mut is_first = true;
        while let Some(step) = self.frontier.next() {
            if self.engine.is_stopping() {
                return Err(SessionError::Stopping);
            }
            if let Some(why) = ends() {
                return Err(why);
            }
            match step {
                Step::Sum(pieces) => {
                    let rows = self.sum(pieces).await?;
                    self.outcome.rows += if is_first { rows } else { 0 };
                    is_first = false;
                }
                Step::Divide(ranges) => self.divide(ranges).await?,
                Step::Print(ranges) => self.print(ranges).await?,
                Step::Cut(pieces) => self.cut(pieces).await?,
                Step::Read(pieces) => self.mend(pieces).await?,
            }
        }
        Ok(())
    }

    /// What was found until now.
    pub(crate) fn found(&self) -> Outcome {
        self.outcome
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.view.now,
            grace: self.view.grace,
            age_ms: self.age_ms(),
        }
    }

    fn age_ms(&self) -> u64 {
        let age = self.engine.env.monotonic().saturating_sub(self.began);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }

    async fn ask(&self, peer: &Peer, request: SessionRequest) -> Result<SessionAnswer, SessionError> {
        let timeout = self.engine.coordinator.timeouts.range;
        match self.engine.ask(peer, request, timeout).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(failed(peer, AskError::Confused)),
            Err(error) => Err(failed(peer, error)),
        }
    }
}

impl<E: Env> AntiEntropy<E> {
    /// Asks a replica, which may be this node itself.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        peer: &Peer,
        request: SessionRequest,
        timeout: Duration,
    ) -> Result<Option<SessionAnswer>, AskError> {
        if peer.id == self.me {
            let deadline = Deadline::after(&self.env, timeout);
            return Ok(self.answer(request, deadline).await?);
        }
        let body = Request::AntiEntropy(request);
        match self.peers.ask(peer, body, timeout, &Tracer::OFF).await? {
            Response::AntiEntropy(answer) => Ok(Some(answer)),
            Response::Done => Ok(None),
            _ => Err(AskError::Confused),
        }
    }
}

fn failed(peer: &Peer, error: AskError) -> SessionError {
    SessionError::Replica {
        peer: peer.address,
        error,
    }
}

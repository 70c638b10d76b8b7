//! Asking peers: the envelope, the clock it carries, and what is learnt from how the call went.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_model::NodeId;

use crate::{
    clock::Clock,
    coordinator::Task,
    env::{CallError, Env},
    message::{Failure, PeerRequest, PeerResponse, Request, Response},
    snapshot::{Peer, Views},
    topology::Stamp,
    tracing::Tracer,
    truncations::Truncations,
};

/// Why a peer did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    /// No answer came.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It answered that it did not.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// Its answer does not fit the question: a bug, or another version.
    #[error("a peer's answer does not fit the request")]
    Confused,
}

impl AskError {
    /// Whether there was no answer in time, rather than a refusal.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::Call(CallError::Timeout(_)) | Self::Failed(Failure::Late)
        )
    }

    /// Whether the request was planned on an old ring.
    pub(crate) fn is_old_ring(&self) -> bool {
        matches!(self, Self::Failed(Failure::OldRing { .. }))
    }

    /// Whether the table was truncated since the work began.
    pub(crate) fn is_truncated(&self) -> bool {
        matches!(self, Self::Failed(Failure::Truncated))
    }

    /// Whether the peer can't be reached: there is no connection, or it broke before the answer.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Call(CallError::NotSent(_) | CallError::Broken(_)))
    }
}

/// How often it is told at most that a peer's release does not know what it was asked.
const WARNING: Duration = Duration::from_mins(1);

/// Called with a peer that could not be reached: [`CallError::NotSent`] or [`CallError::Broken`].
pub(crate) type OnUnreachable = Box<dyn Fn(&Peer, &CallError) + Send + Sync>;

/// This node's way to its peers.
pub(crate) struct Peers<E: Env> {
    env: E,
    me: NodeId,
    clock: Arc<Clock>,
    views: Arc<Views>,
    truncations: Arc<Truncations>,
    on_unreachable: OnUnreachable,
    /// When it was last told that a peer does not know what it was asked.
    warned: Mutex<Option<Duration>>,
}

impl<E: Env> Peers<E> {
    pub(crate) fn new(
        env: E,
        me: NodeId,
        clock: Arc<Clock>,
        views: Arc<Views>,
        truncations: Arc<Truncations>,
        on_unreachable: OnUnreachable,
    ) -> Self {
        Self {
            env,
            me,
            clock,
            views,
            truncations,
            on_unreachable,
            warned: Mutex::default(),
        }
    }

    /// The request in its envelope.
    pub(crate) fn envelope(
        &self,
        body: Request,
        timeout: Duration,
        tracing: bool,
        planned: Stamp,
        era: u64,
    ) -> PeerRequest {
        PeerRequest {
            sender: self.me,
            ring: planned.digest,
            epoch: planned.epoch,
            clock: self.clock.latest(self.env.wall()),
            deadline_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
            tracing,
            era,
            body,
        }
    }

    /// Asks an address that need not be a known member's.
    pub(crate) async fn ask_address(
        &self,
        to: SocketAddr,
        body: Request,
        timeout: Duration,
        tracer: &Tracer,
    ) -> Result<Response, AskError> {
        let planned = self.views.load().cluster.stamp;
        let request = self.envelope(body, timeout, tracer.is_on(), planned, self.truncations.era());
        let answer = self.env.call(to, request, timeout).await?;
        self.open(answer, tracer)
    }

    /// What is in an answer's envelope.
    fn open(&self, answer: PeerResponse, tracer: &Tracer) -> Result<Response, AskError> {
        let PeerResponse {
            sender,
            clock,
            trace,
            body,
        } = answer;
        self.clock.observe(clock, self.env.wall());
        tracer.extend(trace);
        match body {
            Response::Failed(failure) => {
                if let Failure::NotUnderstood(request) = &failure {
                    self.warn_of_older(sender, request);
                }
                Err(failure.into())
            }
            body => Ok(body),
        }
    }

    fn warn_of_older(&self, peer: NodeId, request: &str) {
        let now = self.env.monotonic();
        let mut warned = self.warned.lock();
        if warned.is_none_or(|last| now.saturating_sub(last) >= WARNING) {
            *warned = Some(now);
            ::tracing::warn!(%peer, request, "a node runs an older release, which does not know what it was asked: upgrade it");
        }
    }

    /// Asks a member. That it could not be reached is told to the failure detector.
    pub(crate) async fn ask(
        &self,
        to: &Peer,
        body: Request,
        timeout: Duration,
        tracer: &Tracer,
    ) -> Result<Response, AskError> {
        let planned = self.views.load().cluster.stamp;
        let call = || {
            let request = self.envelope(body, timeout, tracer.is_on(), planned, self.truncations.era());
            self.env.call(to.address, request, timeout)
        };
        self.permitted(to, tracer, call).await
    }

    /// The same for a request that a client's write was planned to.
    pub(crate) async fn ask_planned(
        &self,
        to: &Peer,
        body: Request,
        timeout: Duration,
        task: &Task,
    ) -> Result<Response, AskError> {
        let call = || {
            let request = self.envelope(body, timeout, task.tracer.is_on(), task.planned, task.era);
            self.env.call(to.address, request, timeout)
        };
        self.permitted(to, &task.tracer, call).await
    }

    /// The same for what a read needs, of which a large answer takes room for the read's claim.
    pub(crate) async fn ask_for_page(
        &self,
        to: &Peer,
        body: Request,
        timeout: Duration,
        task: &Task,
    ) -> Result<Response, AskError> {
        let call = || {
            let request = self.envelope(body, timeout, task.tracer.is_on(), task.planned, task.era);
            self.env.call_for(task.claim, to.address, request, timeout)
        };
        self.permitted(to, &task.tracer, call).await
    }

    /// Calls a member unless too many calls to it are under way, and notes how it went.
    async fn permitted<A>(
        &self,
        to: &Peer,
        tracer: &Tracer,
        call: impl FnOnce() -> A,
    ) -> Result<Response, AskError>
    where
        A: Future<Output = Result<PeerResponse, CallError>>,
    {
        let Some(_permit) = to.calls.enter() else {
            return Err(CallError::Overloaded(to.address).into());
        };
        let answer = call()
            .await
            .map_err(AskError::from)
            .and_then(|answer| self.open(answer, tracer));
        self.note_unreachable(to, &answer);
        answer
    }

    fn note_unreachable(&self, to: &Peer, answer: &Result<Response, AskError>) {
        if let Err(AskError::Call(error @ (CallError::NotSent(_) | CallError::Broken(_)))) = answer {
            (self.on_unreachable)(to, error);
        }
    }
}

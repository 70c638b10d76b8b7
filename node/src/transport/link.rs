//! The outgoing side of one peer: a connection that is made when it is needed and made again when it breaks.
//!
//! While the first connection is made, calls wait for it, for a moment. Once an attempt has failed, calls
//! are refused at once (`NotSent`) and the attempts go on in the background, so that a dead peer costs
//! nobody any time. An attempt fails as soon as the peer's system says that nobody is there. A peer that connects to
//! us is tried again at once.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::future::{select_all, try_join_all};
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, SendStream};
use starling_replication::{CallError, budget::Pool, message::Encoded};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{
    Terms, endpoint,
    frame::{self, Frame, FrameReader},
    lane::{LANE_FRAME_BYTES, Lane},
    large::{self, LargeCall},
    pending::{Outcome, Pending, Registered},
    probe,
    traffic::Traffic,
};
use crate::tls::NODE_SERVER_NAME;

/// Frames queued for one stream.
const QUEUE_FRAMES: usize = 8192;
/// Gossip goes before everything else: a node that is busy must not look dead.
const GOSSIP_PRIORITY: i32 = 1;
/// Casts queued: beyond, they are lost.
const QUEUE_CASTS: usize = 256;
/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long calls wait for a first connection.
const FIRST_PATIENCE: Duration = Duration::from_millis(700);
/// How long calls wait for a connection that was there a moment ago.
const PATIENCE: Duration = Duration::from_millis(150);
/// Between attempts.
const BACKOFF: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(1);
/// Codes with which a handshake of TLS fails (RFC 9000, section 20.1).
const TLS_ERRORS: std::ops::RangeInclusive<u64> = 0x100..=0x1FF;
/// A connection that lasted this long ends the backing off.
const LASTING: Duration = Duration::from_secs(2);

/// A peer that this node calls.
pub(super) struct Link {
    pending: Arc<Pending>,
    lanes: [mpsc::Sender<Frame>; 2],
    large: mpsc::Sender<LargeCall>,
    casts: mpsc::Sender<Frame>,
    signals: Arc<Signals>,
}

#[derive(Default)]
struct Signals {
    /// Somebody wants to send.
    demand: Notify,
    /// The peer has shown that it is alive.
    alive: Notify,
}

/// Called when a connection broke.
pub(super) type OnLost = Box<dyn Fn() + Send + Sync>;

/// The receiving ends of a link's queues, and what its task needs.
struct Driver {
    to: SocketAddr,
    endpoint: Endpoint,
    config: ClientConfig,
    pending: Arc<Pending>,
    lanes: [mpsc::Receiver<Frame>; 2],
    large: mpsc::Receiver<LargeCall>,
    casts: mpsc::Receiver<Frame>,
    budget: Pool,
    traffic: Arc<Traffic>,
    signals: Arc<Signals>,
    lost: OnLost,
    /// The log says that the peer is not trusted, or does not trust this node.
    distrusted: bool,
}

impl Link {
    /// A link to a peer. Its large answers are read as `budget` has room for them; `traffic` counts what it carries.
    pub(super) fn start(
        to: SocketAddr,
        endpoint: Endpoint,
        config: ClientConfig,
        (budget, traffic): (Pool, Arc<Traffic>),
        lost: OnLost,
    ) -> Arc<Self> {
        let (requests, requests_out) = mpsc::channel(QUEUE_FRAMES);
        let (bulk, bulk_out) = mpsc::channel(QUEUE_FRAMES);
        let (large, large_out) = mpsc::channel(QUEUE_FRAMES);
        let (casts, casts_out) = mpsc::channel(QUEUE_CASTS);
        let pending = Pending::new(to);
        let signals = Arc::<Signals>::default();
        let driver = Driver {
            to,
            endpoint,
            config,
            pending: Arc::clone(&pending),
            lanes: [requests_out, bulk_out],
            large: large_out,
            casts: casts_out,
            budget,
            traffic,
            signals: Arc::clone(&signals),
            lost,
            distrusted: false,
        };
        tokio::spawn(driver.run());
        Arc::new(Self {
            pending,
            lanes: [requests, bulk],
            large,
            casts,
            signals,
        })
    }

    /// Queues a request. One whose answer takes room (a read) is taken back when its caller gives up.
    pub(super) fn call(
        &self,
        lane: Lane,
        request: Encoded,
        terms: Terms,
    ) -> Result<(oneshot::Receiver<Outcome>, Registered), CallError> {
        let length = request.len();
        let mut outcome = self.pending.register(length, terms, |id| {
            let frame = Frame { id, payload: request };
            if length > LANE_FRAME_BYTES {
                return self
                    .large
                    .try_send(LargeCall {
                        frame,
                        until: terms.until,
                    })
                    .is_ok();
            }
            self.lanes[lane.index()].try_send(frame).is_ok()
        });
        if let Ok((_, registered)) = &mut outcome
            && terms.claim.is_some()
            && length <= LANE_FRAME_BYTES
        {
            registered.revocable(&self.lanes[lane.index()]);
        }
        self.signals.demand.notify_one();
        outcome
    }

    pub(super) fn cast(&self, message: Encoded) {
        // A full queue means that the peer is slow or gone: this message is lost, as casts may be.
        if message.len() <= LANE_FRAME_BYTES {
            let _ = self.casts.try_send(Frame {
                id: 0,
                payload: message,
            });
        }
        self.signals.demand.notify_one();
    }

    /// The peer is alive: from now on calls wait for the connection to it instead of being refused.
    pub(super) fn wake(&self) {
        self.pending.accept();
        self.signals.alive.notify_one();
    }
}

/// Why there is no connection.
struct Obstacle {
    reason: String,
    /// It will stay so until an operator does something.
    is_distrust: bool,
}

impl Obstacle {
    fn silence(reason: impl ToString) -> Self {
        Self {
            reason: reason.to_string(),
            is_distrust: false,
        }
    }

    fn of(error: &ConnectionError) -> Self {
        let code = match error {
            ConnectionError::TransportError(error) => Some(u64::from(error.code)),
            ConnectionError::ConnectionClosed(close) => Some(u64::from(close.error_code)),
            _ => None,
        };
        Self {
            reason: error.to_string(),
            is_distrust: code.is_some_and(|code| TLS_ERRORS.contains(&code)),
        }
    }
}

impl Driver {
    async fn run(mut self) {
        let mut backoff = *BACKOFF.start();
        let mut patience = FIRST_PATIENCE;
        loop {
            self.signals.demand.notified().await;
            let Some(connection) = self.connect(patience).await else {
                self.discard();
                patience = self.rest(&mut backoff).await;
                continue;
            };
            info!(peer = %self.to, "connected");
            self.pending.accept();
            let since = Instant::now();
            let reason = self.drive(&connection).await;
            connection.close(quinn::VarInt::from_u32(endpoint::CLOSE_DONE), b"");
            info!(peer = %self.to, reason, "the connection ended");
            self.pending.fail_all();
            self.discard();
            (self.lost)();
            if since.elapsed() > LASTING {
                backoff = *BACKOFF.start();
                patience = PATIENCE;
                self.pending.accept();
            } else {
                // It connects and breaks at once: the other side refuses us.
                patience = self.rest(&mut backoff).await;
            }
            // Be there again before somebody asks.
            self.signals.demand.notify_one();
        }
    }

    /// Waits before the next attempt, until the peer shows that it is alive at the latest. Returns how long
    /// calls may wait for that attempt.
    async fn rest(&self, backoff: &mut Duration) -> Duration {
        let pause = *backoff;
        *backoff = (pause * 2).min(*BACKOFF.end());
        if tokio::time::timeout(pause, self.signals.alive.notified())
            .await
            .is_err()
        {
            return Duration::ZERO;
        }
        self.signals.demand.notify_one();
        PATIENCE
    }

    /// Connects. An attempt that was begun before the peer was there would wait until its first packet is
    /// repeated, so it is begun anew when the peer shows that it is alive.
    async fn connect(&mut self, mut patience: Duration) -> Option<Connection> {
        loop {
            let signals = Arc::clone(&self.signals);
            tokio::select! {
                outcome = self.attempt(patience) => return outcome,
                () = signals.alive.notified() => {}
            }
            self.pending.accept();
            patience = PATIENCE;
        }
    }

    /// One attempt. Calls wait for it as long as `patience`, then they are failed and refused.
    async fn attempt(&mut self, patience: Duration) -> Option<Connection> {
        let to = self.to;
        let connecting = self
            .endpoint
            .connect_with(self.config.clone(), to, NODE_SERVER_NAME);
        let attempt = async {
            let connecting = connecting.map_err(Obstacle::silence)?;
            tokio::select! {
                outcome = tokio::time::timeout(CONNECT_TIMEOUT, connecting) => match outcome {
                    Ok(Ok(connection)) => Ok(connection),
                    Ok(Err(error)) => Err(Obstacle::of(&error)),
                    Err(_) => Err(Obstacle::silence("no answer")),
                },
                refusal = probe::nobody_there(to) => Err(Obstacle::silence(refusal)),
            }
        };
        tokio::pin!(attempt);
        let outcome = match tokio::time::timeout(patience, &mut attempt).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.pending.fail_all();
                let late = attempt.await;
                // What was queued has been reported as not sent: it must not leave now.
                self.discard();
                late
            }
        };
        match &outcome {
            Ok(_) => self.distrusted = false,
            Err(Obstacle { reason, is_distrust }) => {
                if *is_distrust && !self.distrusted {
                    warn!(
                        peer = %to, reason,
                        "no connection: this node and the peer need certificates of the same authority (--tls)"
                    );
                } else {
                    debug!(peer = %to, reason, "cannot connect");
                }
                self.distrusted = *is_distrust;
                self.pending.fail_all();
            }
        }
        outcome.ok()
    }

    /// Carries frames until the connection ends; says why it did.
    async fn drive(&mut self, connection: &Connection) -> String {
        let streams = try_join_all(Lane::ALL.map(|_| connection.open_bi())).await;
        let casts = connection.open_uni().await;
        let (streams, mut casts) = match (streams, casts) {
            (Ok(streams), Ok(casts)) => (streams, casts),
            (Err(error), _) | (_, Err(error)) => return error.to_string(),
        };
        if let Err(error) = casts.set_priority(GOSSIP_PRIORITY) {
            return error.to_string();
        }
        let (pending, traffic) = (&self.pending, &*self.traffic);
        let mut work: Vec<futures::future::BoxFuture<'_, String>> = Vec::new();
        work.push(Box::pin(large::send(
            connection,
            &mut self.large,
            pending,
            &self.budget,
            traffic,
        )));
        let answers = large::receive(connection, pending, &self.budget, traffic);
        work.push(Box::pin(answers));
        for ((send, receive), queue) in streams.into_iter().zip(&mut self.lanes) {
            work.push(Box::pin(write_calls(send, queue, pending, traffic)));
            work.push(Box::pin(read_answers(
                FrameReader::new(receive, LANE_FRAME_BYTES),
                pending,
                traffic,
            )));
        }
        let queue = &mut self.casts;
        work.push(Box::pin(async move {
            let leaving = |batch: &mut Vec<Frame>| traffic.casts_sent.leave(batch);
            match frame::write(&mut casts, queue, leaving, None).await {
                Ok(()) => "stopping".to_owned(),
                Err(error) => error.to_string(),
            }
        }));
        work.push(Box::pin(async { connection.closed().await.to_string() }));
        work.push(Box::pin(probe::port_closed(connection, pending)));
        select_all(work).await.0
    }

    /// Forgets what is queued: those who wait for it have been told.
    fn discard(&mut self) {
        for lane in &mut self.lanes {
            while lane.try_recv().is_ok() {}
        }
        while self.large.try_recv().is_ok() {}
        while self.casts.try_recv().is_ok() {}
    }
}

async fn write_calls(
    mut send: SendStream,
    queue: &mut mpsc::Receiver<Frame>,
    pending: &Pending,
    traffic: &Traffic,
) -> String {
    let leaving = |batch: &mut Vec<Frame>| {
        pending.mark_all_sent(batch);
        traffic.requests_sent.leave(batch);
    };
    match frame::write(&mut send, queue, leaving, None).await {
        Ok(()) => "stopping".to_owned(),
        Err(error) => error.to_string(),
    }
}

async fn read_answers(mut frames: FrameReader, pending: &Pending, traffic: &Traffic) -> String {
    loop {
        match frames.next().await {
            Ok(Some(answer)) => {
                traffic.answers_received.came(answer.payload.len());
                pending.answer(answer);
            }
            Ok(None) => return "the peer ended the stream".to_owned(),
            Err(error) => return error.to_string(),
        }
    }
}

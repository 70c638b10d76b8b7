//! One client's connection: a task that reads, carries out and writes.

use std::{fmt, future::Future, pin::Pin, sync::Arc, task::Poll};

use bytes::BytesMut;
use futures::{StreamExt, stream::FuturesUnordered};
use starling_cql::{
    Error, ErrorKind,
    protocol::{
        Decoder, Direction, Envelope, Event, FrameError, Response, ResponseFrame, ResultBody, Version,
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{broadcast, watch},
    time::Instant,
};

use super::{
    Shared,
    backend::Backend,
    budget::Permit,
    deadline::Deadline,
    handshake::Agreement,
    job::{self, Done, Job, Work},
    outbox::Outbox,
    session::{self, Session, Step},
};

/// Bytes asked of the socket at once, at least.
const READ_BYTES: usize = 16 << 10;

/// The same, while a large message arrives.
const LARGE_READ_BYTES: usize = 256 << 10;

/// A message longer than this, in bytes, needs its share of the budget before it has arrived.
const LARGE_MESSAGE_BYTES: usize = 64 << 10;

/// Replies taken up at once before they are written, at most.
const REPLIES_AT_ONCE: usize = 128;

/// The stream that events go by.
const EVENT_STREAM: i16 = -1;

/// After a broken message: how long and how much is read and dropped, so that the client gets to read
/// why (closing with unread bytes would reset the connection and may destroy the reply).
const LINGER: std::time::Duration = std::time::Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

type Running = FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>;

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client closed it, or it broke.
    Gone,
    /// The client broke the protocol, and was told.
    Malformed,
    /// Some deadline passed.
    TimedOut(&'static str),
    /// Too many events waited for it.
    LostEvents,
    /// The listener stops, and everything is answered.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the client closed it",
            Self::Malformed => "the client broke the protocol",
            Self::TimedOut(why) => why,
            Self::LostEvents => "the client lagged too far behind with its events",
            Self::Stopped => "the listener stops",
        })
    }
}

/// What [`Connection::turn`] waited for.
enum Happened {
    Replies(Vec<Done>),
    Event(Result<Event, broadcast::error::RecvError>),
    Written(std::io::Result<usize>),
    Read(std::io::Result<usize>),
    Passed(&'static str),
    Stopping,
}

/// A connection's state.
pub(super) struct Connection<B: Backend> {
    shared: Arc<Shared<B>>,
    stopping: watch::Receiver<bool>,
    session: Session,
    decoder: Decoder,
    input: BytesMut,
    outbox: Outbox,
    running: Running,
    events: Option<broadcast::Receiver<Event>>,
    /// The share of a large message that is arriving.
    reserved: Option<Permit>,
    reserved_at: Instant,
    /// A broken message came: nothing more is read.
    broken: bool,
    began: Instant,
    last_read: Instant,
    last_write: Instant,
}

impl<B: Backend> Connection<B> {
    pub(super) fn new(shared: Arc<Shared<B>>) -> Self {
        let now = Instant::now();
        Self {
            stopping: shared.stopping.clone(),
            decoder: Decoder::new(Direction::Requests, shared.options.max_message_bytes),
            shared,
            session: Session::default(),
            input: BytesMut::new(),
            outbox: Outbox::new(),
            running: Running::new(),
            events: None,
            reserved: None,
            reserved_at: now,
            broken: false,
            began: now,
            last_read: now,
            last_write: now,
        }
    }

    /// Serves the client until the end, and carries what is in flight then to its end: a write that
    /// was sent to some replicas must also reach the others.
    pub(super) async fn serve(
        mut self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
    ) -> End {
        let end = loop {
            if let Some(end) = self.turn(&mut reader, &mut writer).await {
                break end;
            }
        };
        if matches!(end, End::Malformed) {
            linger(&mut reader, &mut writer).await;
        }
        drop((reader, writer));
        while self.running.next().await.is_some() {
            self.shared.counters.in_flight.subtract(1);
        }
        end
    }

    /// Starts what has arrived, waits for one thing to happen, and acts on it.
    async fn turn(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Option<End> {
        self.start_arrived();
        self.outbox.seal();
        let stopping = *self.stopping.borrow();
        let unsent = self.outbox.unsent();
        if unsent == 0 && self.running.is_empty() {
            if self.broken {
                return Some(End::Malformed);
            }
            if stopping {
                return Some(End::Stopped);
            }
        }
        let keeps_up = unsent < self.shared.options.max_unsent_bytes;
        let may_read = keeps_up && !self.broken && !stopping && !self.is_full();
        let deadline = self.deadline(may_read, unsent);
        if may_read {
            self.make_room();
        }
        // Writing first keeps replies from waiting for later ones; what is done meanwhile goes together
        // in the next write.
        let happened = tokio::select! {
            biased;
            written = self.outbox.write_some(writer), if unsent > 0 => Happened::Written(written),
            replies = finished(&mut self.running), if keeps_up && !self.running.is_empty() => {
                Happened::Replies(replies)
            }
            event = next_event(&mut self.events), if keeps_up && !stopping => Happened::Event(event),
            read = reader.read_buf(&mut self.input), if may_read => Happened::Read(read),
            why = deadline.passed(), if deadline.is_set() => Happened::Passed(why),
            _ = self.stopping.changed(), if !stopping => Happened::Stopping,
        };
        self.act(happened)
    }

    fn act(&mut self, happened: Happened) -> Option<End> {
        match happened {
            Happened::Replies(replies) => {
                for done in replies {
                    self.reply(&done);
                }
            }
            Happened::Event(Ok(event)) => {
                if self.session.wants(event.kind()) {
                    self.outbox.push(EVENT_STREAM, &Response::Event(event).into());
                    self.note_output();
                }
            }
            Happened::Event(Err(_)) => return Some(End::LostEvents),
            Happened::Written(Ok(bytes)) => {
                self.last_write = Instant::now();
                self.shared.counters.bytes_out.add(bytes as u64);
            }
            Happened::Read(Ok(bytes)) if bytes > 0 => {
                self.last_read = Instant::now();
                self.shared.counters.bytes_in.add(bytes as u64);
            }
            Happened::Read(_) | Happened::Written(Err(_)) => return Some(End::Gone),
            Happened::Passed(why) => return Some(End::TimedOut(why)),
            Happened::Stopping => {}
        }
        None
    }

    /// Whether no further request is taken up for now. A client that wants errors instead gets them.
    fn is_full(&self) -> bool {
        !self.session.refuses_on_overload() && self.running.len() >= self.shared.options.max_in_flight
    }

    /// Takes up every whole message that has arrived.
    fn start_arrived(&mut self) {
        let stopping = *self.stopping.borrow();
        while !self.broken && !stopping && !self.is_full() {
            match self.decoder.next(&mut self.input) {
                Ok(Some(envelope)) => self.take(envelope),
                Ok(None) => {
                    self.reserve_for_large();
                    return;
                }
                Err(error) => self.refuse_frame(&error),
            }
        }
    }

    fn take(&mut self, envelope: Envelope) {
        let (stream, length) = (envelope.stream, envelope.body.len());
        let reserved = self.reserved.take();
        if !self.session.is_open() {
            // Until STARTUP settles it, each message is answered in its own version.
            self.outbox.set_version(envelope.version);
        }
        match self.session.step(envelope) {
            Ok(Step::Reply(reply)) => self.push(stream, &reply),
            Ok(Step::Begin(version, agreement)) => self.begin(stream, version, agreement),
            Ok(Step::Register) => {
                self.events.get_or_insert_with(|| self.shared.events.subscribe());
                self.push(stream, &session::ready());
            }
            Ok(Step::Start { work, tracing }) => {
                let permit = match reserved {
                    Some(reserved) => reserved.arrived(length),
                    None => self.shared.budget.try_take(length),
                };
                self.start(stream, work, tracing, permit);
            }
            Err(error) => {
                self.shared.counters.malformed.add(1);
                self.push(stream, &error.into());
            }
        }
    }

    /// Answers STARTUP; what follows the answer is in the form that was agreed on.
    fn begin(&mut self, stream: i16, version: Version, agreement: Agreement) {
        self.push(stream, &session::ready());
        self.outbox.begin(version, agreement.compression);
        self.decoder.expect_version(version);
        self.decoder.set_compression(agreement.compression);
        if version >= Version::V5 {
            self.decoder.use_segments();
        }
    }

    fn start(&mut self, stream: i16, work: Work, tracing: bool, permit: Option<Permit>) {
        let full = self.running.len() >= self.shared.options.max_in_flight;
        let Some(permit) = permit.filter(|_| !full) else {
            self.refuse_overloaded(stream);
            return;
        };
        self.shared.counters.requests.add(1);
        self.shared.counters.in_flight.add(1);
        let job = Job {
            stream,
            tracing,
            work,
            permit,
        };
        self.running
            .push(Box::pin(job::run(self.shared.backend.clone(), job)));
    }

    fn refuse_overloaded(&mut self, stream: i16) {
        self.shared.counters.overloaded.add(1);
        let message =
            "Too many requests are in flight; nothing was done. Try again later or on another node.";
        self.push(stream, &Error::new(ErrorKind::Overloaded, message).into());
    }

    fn refuse_frame(&mut self, error: &FrameError) {
        self.shared.counters.malformed.add(1);
        self.broken = error.fatal();
        self.reserved = None;
        let reply = Error::new(ErrorKind::Protocol, error.to_string());
        self.push(error.stream, &reply.into());
    }

    /// A large message takes its share of the budget when it begins, or is passed over.
    fn reserve_for_large(&mut self) {
        let Some(incoming) = self.decoder.incoming() else {
            return;
        };
        if incoming.length <= LARGE_MESSAGE_BYTES || self.reserved.is_some() {
            return;
        }
        self.reserved = self.shared.budget.try_reserve(incoming.length);
        self.reserved_at = Instant::now();
        if self.reserved.is_none() {
            self.decoder.skip_incoming();
            self.refuse_overloaded(incoming.stream);
        }
    }

    fn reply(&mut self, done: &Done) {
        self.shared.counters.in_flight.subtract(1);
        if let Response::Result(ResultBody::SetKeyspace(keyspace)) = &done.reply.response {
            self.session.set_keyspace(keyspace.clone());
        }
        self.push(done.stream, &done.reply);
    }

    fn push(&mut self, stream: i16, reply: &ResponseFrame) {
        self.outbox.push(stream, reply);
        self.note_output();
    }

    /// The client's time to take its replies begins when there is something to take.
    fn note_output(&mut self) {
        if self.outbox.unsent() == 0 {
            self.last_write = Instant::now();
        }
    }

    fn make_room(&mut self) {
        let wanted = match self.decoder.incoming() {
            Some(incoming) => incoming.length.clamp(READ_BYTES, LARGE_READ_BYTES),
            None => READ_BYTES,
        };
        self.input.reserve(wanted);
    }

    fn deadline(&self, may_read: bool, unsent: usize) -> Deadline {
        let options = &self.shared.options;
        let mut deadline = Deadline::default();
        if !self.session.is_open() {
            deadline.at(
                self.began,
                options.handshake_timeout,
                "the handshake took too long",
            );
        }
        if unsent > 0 {
            deadline.at(
                self.last_write,
                options.write_timeout,
                "the client did not read its replies",
            );
        }
        if may_read && (!self.input.is_empty() || self.decoder.incoming().is_some()) {
            deadline.at(
                self.last_read,
                options.read_timeout,
                "a message did not arrive whole",
            );
            if self.reserved.is_some() {
                deadline.at(
                    self.reserved_at,
                    options.large_message_timeout,
                    "a large message came too slowly",
                );
            }
        } else if let Some(idle) = options.idle_timeout
            && self.running.is_empty()
        {
            deadline.at(self.last_read, idle, "the connection was idle");
        }
        deadline
    }
}

/// Everything that is done by now, at least one; `running` must not be empty.
fn finished(running: &mut Running) -> impl Future<Output = Vec<Done>> {
    std::future::poll_fn(move |context| {
        let mut replies = Vec::new();
        while replies.len() < REPLIES_AT_ONCE
            && let Poll::Ready(Some(done)) = running.poll_next_unpin(context)
        {
            replies.push(done);
        }
        if replies.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(replies)
        }
    })
}

/// The next event; never, if the client did not ask for any.
async fn next_event(
    events: &mut Option<broadcast::Receiver<Event>>,
) -> Result<Event, broadcast::error::RecvError> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

/// Ends the connection so that its last reply arrives.
async fn linger(reader: &mut (impl AsyncRead + Unpin), writer: &mut (impl AsyncWrite + Unpin)) {
    let drain = async {
        writer.shutdown().await?;
        let mut dropped = 0;
        let mut buffer = vec![0; READ_BYTES];
        while dropped < LINGER_BYTES {
            match reader.read(&mut buffer).await? {
                0 => break,
                bytes => dropped += bytes,
            }
        }
        Ok::<(), std::io::Error>(())
    };
    // Whether it worked makes no difference: the connection is closed next.
    let _ = tokio::time::timeout(LINGER, drain).await;
}

//! One client's connection: a task that reads, carries out and writes.

use std::{collections::VecDeque, fmt, future::Future, pin::Pin, sync::Arc, task::Poll, time::Duration};

use bytes::BytesMut;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use starling_cql::{
    Error, ErrorKind,
    protocol::{
        Decoder, Direction, Envelope, Event, FrameError, Response, ResponseFrame, ResultBody, Version,
    },
};
use starling_replication::{
    Charge,
    budget::{Pool, SMALL_BYTES, hold},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{broadcast, watch},
    time::Instant,
};

use super::{
    Shared,
    admission::Permit,
    backend::Backend,
    deadline::Deadline,
    handshake::Agreement,
    job::{self, Done, Job, Work},
    outbox::Outbox,
    session::{self, Session, Step},
};
use crate::weight;

/// Bytes asked of the socket at once, at least.
const READ_BYTES: usize = 16 << 10;

/// The same, while a large message arrives.
const LARGE_READ_BYTES: usize = 256 << 10;

/// Replies taken up at once before they are written, at most.
const REPLIES_AT_ONCE: usize = 128;

/// The stream that events go by.
const EVENT_STREAM: i16 = -1;

/// After a broken message: how long and how much is read and dropped, so that the client gets to read
/// why (closing with unread bytes would reset the connection and may destroy the reply).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// A request that is being carried out.
type Running = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Room in the node's budget that is waited for.
type Asked = Option<BoxFuture<'static, Charge>>;

/// How often a client that does not read its replies is looked at once it could be closed under pressure.
const PRESSED_INTERVAL: Duration = Duration::from_secs(1);

/// How slowly a client may send or take what is large, in bytes a second, while others wait for room.
const PRESSED_BYTES_PER_SECOND: u64 = 1 << 20;

/// What the log says of a client that takes room others wait for, and does not read.
const PRESSED: &str = "the client did not read its replies while others waited for room";

/// The same of one that has room for a large message, and does not send it.
const SENDS_SLOWLY: &str = "a large message came too slowly while others waited for room";

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
    /// There is room for the large message that arrives.
    MayArrive(Charge),
    /// There is room for the first of the large replies.
    MayReply(Charge),
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
    running: FuturesUnordered<Running>,
    events: Option<broadcast::Receiver<Event>>,
    /// Room for a large message, until it is there.
    asked: Asked,
    /// The share of a large message that is arriving.
    reserved: Option<Charge>,
    reserved_at: Instant,
    /// When it is seen again whether others wait for what `reserved` takes.
    send_by: Instant,
    /// Large replies that wait to be encoded, with their weights.
    large: VecDeque<(usize, Done)>,
    /// Room for the first of them, until it is there.
    room: Asked,
    /// When it was last seen whether others wait for this client.
    looked: Instant,
    /// A broken message came: nothing more is read.
    broken: bool,
    began: Instant,
    /// When the newest of what has arrived came in.
    arrived: Instant,
    /// Since when the client has sent nothing, or had no room for it.
    last_read: Instant,
    last_write: Instant,
    /// Up to when the client has taken its replies, were it as slow as is still borne.
    paced: Instant,
}

impl<B: Backend> Connection<B> {
    pub(super) fn new(shared: Arc<Shared<B>>) -> Self {
        let now = Instant::now();
        let mut decoder = Decoder::new(Direction::Requests, shared.options.max_message_bytes);
        decoder.hold_above(SMALL_BYTES);
        Self {
            stopping: shared.stopping.clone(),
            decoder,
            outbox: Outbox::new(&shared.options.budget.replies),
            shared,
            session: Session::default(),
            input: BytesMut::new(),
            running: FuturesUnordered::new(),
            events: None,
            asked: None,
            reserved: None,
            reserved_at: now,
            send_by: now,
            large: VecDeque::new(),
            room: None,
            looked: now,
            broken: false,
            began: now,
            arrived: now,
            last_read: now,
            last_write: now,
            paced: now,
        }
    }

    /// Serves the client until the end. What is in flight then is dropped: reads end, here and at the replicas, and
    /// the backend carries everything else to its end.
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
        let unanswered = self.running.len() + self.large.len();
        self.shared.counters.in_flight.subtract(unanswered as u64);
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
        if unsent == 0 && self.running.is_empty() && self.large.is_empty() {
            if self.broken {
                return Some(End::Malformed);
            }
            if stopping {
                return Some(End::Stopped);
            }
        }
        let takes_more = unsent < self.shared.options.max_unsent_bytes;
        if takes_more {
            self.ask_for_reply();
        }
        let keeps_up = takes_more && self.large.is_empty();
        let may_read = keeps_up && !self.broken && !stopping && !self.is_full() && self.asked.is_none();
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
            room = granted(&mut self.room), if self.room.is_some() => Happened::MayReply(room),
            share = granted(&mut self.asked), if self.asked.is_some() => Happened::MayArrive(share),
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
                    self.take_reply(done);
                }
            }
            Happened::MayArrive(share) => {
                self.asked = None;
                self.arrive(share);
            }
            Happened::MayReply(room) => {
                self.room = None;
                if let Some((weight, done)) = self.large.pop_front() {
                    self.reply(&done, Some((weight, room)));
                }
            }
            Happened::Event(Ok(event)) => {
                if self.session.wants(event.kind()) {
                    self.push(EVENT_STREAM, &Response::Event(event).into());
                }
            }
            Happened::Event(Err(_)) => return Some(End::LostEvents),
            Happened::Written(Ok(bytes)) => {
                self.last_write = Instant::now();
                self.paced = (self.paced + at_slowest(bytes)).min(self.last_write);
                self.shared.counters.bytes_out.add(bytes as u64);
            }
            Happened::Read(Ok(bytes)) if bytes > 0 => {
                self.arrived = Instant::now();
                self.last_read = self.arrived;
                self.shared.counters.bytes_in.add(bytes as u64);
            }
            Happened::Read(_) | Happened::Written(Err(_)) => return Some(End::Gone),
            Happened::Passed(PRESSED) if !self.is_in_the_way() => self.looked = Instant::now(),
            Happened::Passed(SENDS_SLOWLY) if self.shared.options.budget.requests.waiting() == 0 => {
                self.send_by = Instant::now() + PRESSED_INTERVAL;
            }
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
                Ok(None) if self.reserve_for_large() => {}
                Ok(None) => return,
                Err(error) => self.refuse_frame(&error),
            }
        }
    }

    fn take(&mut self, mut envelope: Envelope) {
        let (stream, mut length) = (envelope.stream, envelope.body.len());
        if let Some(mut share) = self.reserved.take() {
            share.resize(length);
            envelope.body = hold(envelope.body, share);
            length = 0;
            // What came behind it shares its memory, and would keep all of it.
            self.input = BytesMut::from(&self.input[..]);
        }
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
                let permit = self.shared.admission.enter(length);
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
            arrived: self.arrived,
            permit,
        };
        let mut work: Running = Box::pin(job::run(self.shared.backend.clone(), job));
        // Most requests are answered at once; a queue of those that are not costs as much as they do. One that is not is asked
        // again from there, by who is to be woken for it.
        let answers_now =
            self.large.is_empty() && self.outbox.unsent() < self.shared.options.max_unsent_bytes;
        let at_once = answers_now.then(|| work.as_mut().now_or_never()).flatten();
        match at_once {
            Some(done) => self.take_reply(done),
            None => self.running.push(work),
        }
    }

    /// A reply that is there: encoded now, or once there is room for it.
    fn take_reply(&mut self, done: Done) {
        let weight = weight::of_reply(&done.reply);
        if weight < SMALL_BYTES && self.large.is_empty() {
            self.reply(&done, None);
        } else {
            self.large.push_back((weight, done));
        }
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

    /// A large message that begins waits for its share of the budget, or is passed over if the client wants
    /// errors instead. Whether the decoder may go on at once: all of the message may be there already.
    fn reserve_for_large(&mut self) -> bool {
        let Some(incoming) = self.decoder.incoming().filter(|incoming| incoming.waits) else {
            return false;
        };
        if self.asked.is_some() {
            return false;
        }
        let mut asked = ask(&self.shared.options.budget.requests, incoming.held);
        match (&mut asked).now_or_never() {
            Some(share) => self.arrive(share),
            None if self.session.refuses_on_overload() => {
                self.decoder.skip_incoming();
                self.refuse_overloaded(incoming.stream);
            }
            None => {
                self.asked = Some(asked);
                return false;
            }
        }
        true
    }

    fn arrive(&mut self, share: Charge) {
        let length = self.decoder.incoming().map_or(0, |incoming| incoming.length);
        self.reserved = Some(share);
        self.reserved_at = Instant::now();
        self.send_by = self.reserved_at + self.shared.options.pressed_timeout + at_slowest(length);
        self.last_read = self.reserved_at;
        self.decoder.allow_incoming();
    }

    /// Asks for room for the first of the replies that wait for it.
    fn ask_for_reply(&mut self) {
        if let Some((weight, _)) = self.large.front().filter(|_| self.room.is_none()) {
            let room = self.outbox.room_for(*weight);
            self.room = Some(ask(&self.shared.options.budget.replies, room));
        }
    }

    /// Whether others wait for what this client's replies may be taking.
    fn is_in_the_way(&self) -> bool {
        let budget = &self.shared.options.budget;
        let mut waiting = budget.replies.waiting() + budget.peer_answers.waiting();
        // Requests that are not advanced, because their replies could not be sent.
        if !self.running.is_empty() {
            waiting += budget.requests.waiting();
        }
        waiting > 0
    }

    fn reply(&mut self, done: &Done, large: Option<(usize, Charge)>) {
        self.shared.counters.in_flight.subtract(1);
        if let Response::Result(ResultBody::SetKeyspace(keyspace)) = &done.reply.response {
            self.session.set_keyspace(keyspace.clone());
        }
        match large {
            None => self.push(done.stream, &done.reply),
            Some((weight, room)) => {
                self.note_output();
                self.outbox.push_large(done.stream, &done.reply, weight, room);
            }
        }
    }

    fn push(&mut self, stream: i16, reply: &ResponseFrame) {
        self.note_output();
        self.outbox.push(stream, reply);
    }

    /// The client's time to take its replies begins when there is something to take.
    fn note_output(&mut self) {
        if self.outbox.unsent() == 0 {
            self.last_write = Instant::now();
            self.paced = self.last_write;
        }
    }

    fn make_room(&mut self) {
        let wanted = match self.decoder.incoming() {
            // All of it at once: it is paid for, and growing would copy it.
            Some(incoming) if self.reserved.is_some() && self.decoder.is_bare() => {
                (incoming.length - self.input.len().min(incoming.length)).max(READ_BYTES)
            }
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
            let pressed = self.paced + options.pressed_timeout;
            deadline.at(
                pressed.max(self.looked + PRESSED_INTERVAL),
                Duration::ZERO,
                PRESSED,
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
                deadline.at(self.send_by, Duration::ZERO, SENDS_SLOWLY);
            }
        } else if let Some(idle) = options.idle_timeout
            && self.running.is_empty()
        {
            deadline.at(self.last_read, idle, "the connection was idle");
        }
        deadline
    }
}

/// How long so many bytes may take while others wait for the room that they take.
fn at_slowest(bytes: usize) -> Duration {
    Duration::from_micros(bytes as u64 * 1_000_000 / PRESSED_BYTES_PER_SECOND)
}

/// Everything that is done by now, at least one; `running` must not be empty.
fn finished(running: &mut FuturesUnordered<Running>) -> impl Future<Output = Vec<Done>> {
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

/// Asks for room.
fn ask(pool: &Pool, bytes: usize) -> BoxFuture<'static, Charge> {
    let pool = pool.clone();
    async move { pool.take(bytes).await }.boxed()
}

/// The room that was asked for; never, if none was.
async fn granted(asked: &mut Asked) -> Charge {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
    }
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

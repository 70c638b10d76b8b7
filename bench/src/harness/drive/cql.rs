//! A lane over the CQL native protocol, to any server that speaks it.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use starling_cql::{
    PreparedMetadata, QueryParameters, Values,
    protocol::{Envelope, Opcode, Request, RequestFrame, Response, ResponseFrame, ResultBody},
};

use super::{
    super::workload::{
        field::Subject,
        random::Random,
        script::{Look, Prepared, Program},
    },
    alarm::Alarm,
    answer::{APPLIED, Answer, Failure, gives},
    lane::{Lane, Work},
};
use crate::{connection::Connection, error::Error};

/// How long a lane waits before it tries the next node.
const RECONNECT_AFTER: Duration = Duration::from_millis(50);

/// How long a lane that has nothing to do waits before it looks again.
const IDLE: Duration = Duration::from_millis(100);

/// A run without an end of its own is given up when no node could be reached for so long.
const UNREACHABLE_AFTER: Duration = Duration::from_mins(1);

/// Stream ids a connection (v4: 15 bits).
const MAX_STREAMS: usize = 32_768;

/// Drives a lane over one connection at a time: when it breaks, the next of `addresses` is tried, from place `first` on.
///
/// The lane goes on until its pace is over; what no node takes are errors in its record.
pub async fn run(mut lane: Lane, addresses: &[SocketAddr], first: usize, window: usize) {
    let mut at = first;
    let mut reached = Instant::now();
    loop {
        let address = addresses[at % addresses.len()];
        let opened = tokio::time::timeout(lane.timeout, Link::connect(address, &lane.program, window)).await;
        // The statements were accepted before the run: a node that refuses them now is not ready yet.
        match opened {
            Ok(Ok(mut link)) => match link.drive(&mut lane).await {
                Ok(()) => break,
                Err(broken) => {
                    link.fail_all(&mut lane, &broken);
                    reached = Instant::now();
                }
            },
            Ok(Err(error)) => lane.recorder.unreachable(Instant::now(), || error.to_string()),
            Err(_) => lane.recorder.unreachable(Instant::now(), || {
                format!("{address} did not answer within {:?}", lane.timeout)
            }),
        }
        let now = Instant::now();
        if lane.is_over(now) {
            break;
        }
        if now.duration_since(reached) > UNREACHABLE_AFTER && lane.recorder.has_no_end() {
            lane.abort.with(format!(
                "no node could be reached for a minute; {address} was the last that was tried"
            ));
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
        at += 1;
    }
    lane.close();
}

/// Waits until a node knows the workload's tables: a change of the schema takes a moment to reach all nodes.
///
/// # Errors
/// The node refuses a statement for longer than `patience`, or can't be reached; or what is verified is not what it reads.
pub async fn accepts(address: SocketAddr, program: &Program, patience: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + patience;
    let mut connection = Connection::open(address).await?;
    for statement in &program.statements {
        let prepared = loop {
            match connection.prepare_whole(&statement.cql).await {
                Ok(prepared) => break prepared,
                Err(error) if Instant::now() > deadline || !matches!(error, Error::Statement(_)) => {
                    return Err(error);
                }
                Err(_) => tokio::time::sleep(RECONNECT_AFTER).await,
            }
        };
        gives(statement, &prepared.columns)?;
    }
    Ok(())
}

/// What a stream id is used for.
enum Slot {
    Free,
    Active(Box<Work>),
    /// Given up; its answer may still come.
    Abandoned,
}

/// A connection and what is in flight on it.
struct Link {
    connection: Connection,
    prepared: Vec<PreparedMetadata>,
    /// Where each statement's result has the verified column.
    versions: Vec<Option<usize>>,
    slots: Vec<Slot>,
    free: Vec<i16>,
    active: usize,
    window: usize,
    /// Deadlines in the order of sending; entries of streams that were used again since have another serial.
    deadlines: VecDeque<(Instant, i16, u64)>,
    serials: Vec<u64>,
    serial: u64,
}

impl Link {
    async fn connect(address: SocketAddr, program: &Program, window: usize) -> Result<Self, Error> {
        let mut connection = Connection::open(address).await?;
        let mut prepared = Vec::new();
        for statement in &program.statements {
            prepared.push(connection.prepare_whole(&statement.cql).await?);
        }
        let versions = program
            .statements
            .iter()
            .zip(&prepared)
            .map(|(statement, metadata)| match &statement.look {
                Look::Version(column) => metadata.columns.iter().position(|spec| spec.name == *column),
                _ => None,
            })
            .collect();
        Ok(Self {
            connection,
            prepared,
            versions,
            slots: Vec::new(),
            free: Vec::new(),
            active: 0,
            window: window.clamp(1, MAX_STREAMS),
            deadlines: VecDeque::new(),
            serials: Vec::new(),
            serial: 0,
        })
    }

    async fn drive(&mut self, lane: &mut Lane) -> Result<(), Failure> {
        let mut alarm = Alarm::new().map_err(|error| Failure::lost("Machine", error))?;
        loop {
            let now = Instant::now();
            while self.active < self.window
                && let Some(work) = lane.begin(now)
            {
                self.send(lane, work)?;
            }
            let stuck = self.connection.stuck_since();
            if stuck.is_some_and(|since| now.saturating_duration_since(since) > lane.timeout) {
                return Err(Failure::lost("Timeout", "the node took no more requests"));
            }
            if self.active == 0 && lane.is_over(now) {
                return Ok(());
            }
            let room = self.active < self.window;
            let due = lane.pace.next_due().filter(|_| room);
            let deadline = self.deadlines.front().map(|(deadline, ..)| *deadline);
            // Without anything in flight and nothing due the lane only waits for others to end the run.
            let look = deadline.unwrap_or(now + IDLE);
            let envelope = tokio::select! {
                // First, for it sends too.
                biased;
                envelope = self.connection.exchange() => Some(envelope.map_err(lost)?),
                rung = alarm.until(due.unwrap_or(now)), if due.is_some() => {
                    rung.map_err(|error| Failure::lost("Machine", error))?;
                    None
                }
                () = tokio::time::sleep_until(look.into()) => None,
            };
            let mut next = envelope;
            while let Some(envelope) = next {
                self.receive(lane, envelope)?;
                next = self.connection.ready().map_err(lost)?;
            }
            self.give_up(lane, Instant::now());
        }
    }

    /// Sends a statement of an operation.
    ///
    /// # Errors
    /// The connection can't be used any more. The operation was not sent, and its failure is recorded.
    fn send(&mut self, lane: &mut Lane, mut work: Work) -> Result<(), Failure> {
        let place = lane.statement_of(&work);
        let metadata = &self.prepared[place];
        let values = lane
            .bind(&mut work, &metadata.markers)
            .and_then(|bound| bound.encoded(&metadata.markers));
        let values = match values {
            Ok(values) => values,
            Err(message) => {
                lane.abort.with(message);
                return Ok(());
            }
        };
        let frame = execute(metadata, &lane.program.statements[place], values);
        let queued = match self.take_stream() {
            Some(stream) => self
                .connection
                .queue(stream, &frame)
                .map(|()| stream)
                .map_err(lost),
            None => Err(Failure::lost("Timeout", "too many requests were never answered")),
        };
        let stream = match queued {
            Ok(stream) => stream,
            Err(broken) => {
                not_sent(lane, work, &broken);
                return Err(broken);
            }
        };
        self.serial += 1;
        self.serials[stream as usize] = self.serial;
        self.slots[stream as usize] = Slot::Active(Box::new(work));
        self.active += 1;
        self.deadlines
            .push_back((Instant::now() + lane.timeout, stream, self.serial));
        Ok(())
    }

    /// A stream id that no request is under way with; `None` if all wait for an answer.
    fn take_stream(&mut self) -> Option<i16> {
        if self.free.is_empty() && self.slots.len() < MAX_STREAMS {
            self.slots.push(Slot::Free);
            self.serials.push(0);
            return Some((self.slots.len() - 1) as i16);
        }
        self.free.pop()
    }

    fn receive(&mut self, lane: &mut Lane, envelope: Envelope) -> Result<(), Failure> {
        let stream = envelope.stream;
        let Some(slot) = usize::try_from(stream)
            .ok()
            .and_then(|place| self.slots.get_mut(place))
        else {
            return Err(Failure::lost(
                "Protocol",
                format!("an answer for stream {stream}, which nobody asked"),
            ));
        };
        let slot = std::mem::replace(slot, Slot::Free);
        self.free.push(stream);
        let Slot::Active(work) = slot else {
            return Ok(());
        };
        self.active -= 1;
        let place = lane.statement_of(&work);
        let look = &lane.program.statements[place].look;
        let outcome = answer(envelope, look, self.versions[place]);
        if let Some(work) = lane.answered(*work, outcome, Instant::now()) {
            self.send(lane, work)?;
        }
        Ok(())
    }

    /// Requests past their deadline are errors of unknown outcome. Their streams stay taken until the answer comes.
    fn give_up(&mut self, lane: &mut Lane, now: Instant) {
        while let Some((deadline, stream, serial)) = self.deadlines.front().copied() {
            let place = stream as usize;
            let current = self.serials[place] == serial && matches!(self.slots[place], Slot::Active(_));
            if current && deadline > now {
                return;
            }
            self.deadlines.pop_front();
            if !current {
                continue;
            }
            let slot = std::mem::replace(&mut self.slots[place], Slot::Abandoned);
            self.active -= 1;
            if let Slot::Active(work) = slot {
                let failure = Failure::lost("ClientTimeout", "the node did not answer in time");
                if let Some(work) = lane.answered(*work, Err(failure), now) {
                    // Only what comes before the run tries again; a connection that fails there fails everything.
                    if let Err(failure) = self.send(lane, work) {
                        lane.abort.with(failure.message);
                    }
                }
            }
        }
    }

    /// The connection broke: everything in flight on it has an unknown outcome.
    fn fail_all(&mut self, lane: &mut Lane, broken: &Failure) {
        let now = Instant::now();
        for slot in &mut self.slots {
            if let Slot::Active(work) = std::mem::replace(slot, Slot::Free)
                && lane.answered(*work, Err(broken.clone()), now).is_some()
            {
                lane.abort.with(broke_beforehand(broken));
            }
        }
    }
}

/// A connection for one request after the other.
pub struct Asker {
    /// Absent after it broke, or kept an answer back: that may come later, and would be taken for another request's.
    link: Option<Link>,
    addresses: Vec<SocketAddr>,
    at: usize,
    timeout: Duration,
}

impl Asker {
    /// To the first of the addresses that answers.
    ///
    /// # Errors
    /// None does.
    pub async fn open(addresses: &[SocketAddr], program: &Program, timeout: Duration) -> Result<Self, Error> {
        let mut last = Error::Usage("no address was given".into());
        for (at, &address) in addresses.iter().enumerate() {
            match Link::connect(address, program, 1).await {
                Ok(link) => {
                    return Ok(Self {
                        link: Some(link),
                        addresses: addresses.to_vec(),
                        at,
                        timeout,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Carries out the statement at `place` for a record, and gives what is looked at in its answer.
    ///
    /// # Errors
    /// The server's; or the connection broke, and the next request goes to the next node.
    pub async fn read(
        &mut self,
        program: &Program,
        place: usize,
        subject: Subject,
        random: &mut Random,
    ) -> Result<Answer, Failure> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.reconnect(program).await?,
        };
        let metadata = &link.prepared[place];
        let bound = program
            .bind(place, &metadata.markers, subject, random)
            .and_then(|bound| bound.encoded(&metadata.markers))
            .map_err(|message| Failure::wrong("Type", message))?;
        let frame = execute(metadata, &program.statements[place], bound);
        link.connection.queue(0, &frame).map_err(lost)?;
        let asked = async {
            link.connection.flush().await?;
            link.connection.next().await
        };
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(Ok(envelope)) => {
                let answered = answer(envelope, &program.statements[place].look, link.versions[place]);
                self.link = Some(link);
                answered
            }
            Ok(Err(error)) => {
                self.at += 1;
                Err(lost(error))
            }
            Err(_) => {
                self.at += 1;
                Err(Failure::lost("ClientTimeout", "the node did not answer in time"))
            }
        }
    }

    async fn reconnect(&mut self, program: &Program) -> Result<Link, Failure> {
        let address = self.addresses[self.at % self.addresses.len()];
        let opened = tokio::time::timeout(self.timeout, Link::connect(address, program, 1)).await;
        let failure = match opened {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(error)) => lost(error),
            Err(_) => Failure::lost("Connection", format!("{address} did not answer in time")),
        };
        self.at += 1;
        Err(failure)
    }
}

/// The connection broke before an operation could be sent on it: it has failed, and the server has nothing of it.
fn not_sent(lane: &mut Lane, work: Work, broken: &Failure) {
    let failure = Failure {
        maybe_applied: false,
        ..broken.clone()
    };
    if lane.answered(work, Err(failure), Instant::now()).is_some() {
        lane.abort.with(broke_beforehand(broken));
    }
}

fn broke_beforehand(broken: &Failure) -> String {
    format!("the connection broke before the run: {}", broken.message)
}

fn lost(error: Error) -> Failure {
    Failure::lost("Connection", error)
}

fn execute(metadata: &PreparedMetadata, statement: &Prepared, values: Values) -> RequestFrame {
    let mut parameters = QueryParameters::with_consistency(statement.consistency);
    parameters.values = values;
    parameters.serial_consistency = statement.serial_consistency;
    parameters.page_size = statement.page_size;
    parameters.skip_metadata = !metadata.columns.is_empty();
    Request::Execute {
        id: metadata.id.clone(),
        result_id: None,
        parameters,
    }
    .into()
}

/// Reads an answer; its rows only if somebody looks at them.
fn answer(envelope: Envelope, look: &Look, version: Option<usize>) -> Result<Answer, Failure> {
    if envelope.opcode == Opcode::Result && *look == Look::Nothing {
        return Ok(Answer::default());
    }
    let frame = ResponseFrame::decode(envelope).map_err(|error| Failure::lost("Protocol", error))?;
    match frame.response {
        Response::Result(ResultBody::Rows(body)) => {
            let rows = &body.rows.rows;
            if *look == Look::Applied {
                let mut columns = body.rows.columns.iter();
                let place = columns.position(|column| column.name == APPLIED);
                let value = place.and_then(|place| rows.first()?.get(place)?.as_ref());
                return match value {
                    Some(value) => Ok(Answer {
                        applied: Some(value.as_ref() == [1]),
                        ..Answer::default()
                    }),
                    None => Err(Failure::lost(
                        "Protocol",
                        "the server does not say whether it was applied",
                    )),
                };
            }
            let value = version.and_then(|place| rows.first()?.get(place)?.as_ref());
            let version = value.and_then(|bytes| Some(i64::from_be_bytes(bytes.as_ref().try_into().ok()?)));
            Ok(Answer {
                rows: rows.len(),
                version,
                applied: None,
            })
        }
        Response::Result(_) => Ok(Answer::default()),
        Response::Error(error) => Err(starling_client::Error::from(error).into()),
        other => Err(Failure::lost(
            "Protocol",
            format!("the server answered with {}", other.opcode().name()),
        )),
    }
}

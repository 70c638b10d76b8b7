use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::AtomicU64,
        mpsc::{TryRecvError, channel},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use starling_cql::{
    ColumnSpec, CqlType, PreparedMetadata, QueryParameters, Rows,
    protocol::{
        Decoder, Direction, Encoder, Envelope, Opcode, Request, Response, ResponseFrame, ResultBody,
        RowsBody, Version,
    },
};

use super::{
    alarm::Alarm,
    cql::Asker,
    generator::Generator,
    lane::Pass,
    pace::{Missed, Pace},
    plan::{Plan, Protocol},
};
use crate::{
    connection::Connection,
    harness::{
        evidence::{collector::Collector, recorder::News},
        workload::{
            field::Subject,
            file::Workload,
            random::Random,
            ready,
            script::{Overrides, Program, Role},
        },
    },
};

/// A server that does as it is told: its side of one connection.
struct Puppet {
    socket: TcpStream,
    input: BytesMut,
    decoder: Decoder,
    encoder: Encoder,
}

impl Puppet {
    fn accept(listener: &TcpListener) -> Self {
        let (socket, _) = listener.accept().expect("the client comes");
        Self {
            socket,
            input: BytesMut::new(),
            decoder: Decoder::new(Direction::Requests, 1 << 20),
            encoder: Encoder::new(Version::V4),
        }
    }

    /// The next request; `None` if the client is gone.
    fn request(&mut self) -> Option<Envelope> {
        loop {
            if let Some(envelope) = self.decoder.next(&mut self.input).expect("a request") {
                return Some(envelope);
            }
            let mut piece = vec![0; 64 << 10];
            let size = self.socket.read(&mut piece).ok().filter(|size| *size > 0)?;
            self.input.extend_from_slice(&piece[..size]);
        }
    }

    fn answer(&mut self, stream: i16, response: Response) {
        let mut bytes = Vec::new();
        let frame = ResponseFrame::from(response);
        self.encoder
            .response(&mut bytes, stream, &frame)
            .expect("it can be written");
        // The client may be gone.
        let _gone = self.socket.write_all(&bytes);
    }

    /// Answers what comes before the first statement is executed, and gives that.
    fn greet(&mut self) -> Option<Envelope> {
        loop {
            let request = self.request()?;
            let response = match request.opcode {
                Opcode::Startup => Response::Ready,
                Opcode::Prepare => Response::Result(ResultBody::Prepared(prepared())),
                _ => return Some(request),
            };
            self.answer(request.stream, response);
        }
    }
}

fn column(name: &str) -> ColumnSpec {
    ColumnSpec {
        keyspace: "k".into(),
        table: "t".into(),
        name: name.into(),
        cql_type: CqlType::Bigint,
    }
}

/// As a server that does not say what a statement returns, for either statement of `registers`.
fn prepared() -> PreparedMetadata {
    PreparedMetadata {
        id: Bytes::from_static(b"id"),
        result_id: Bytes::new(),
        markers: vec![column("key")],
        partition_key: vec![0],
        columns: vec![column("version")],
    }
}

fn version(version: i64) -> Response {
    let rows = Rows {
        columns: vec![column("version")].into(),
        rows: vec![vec![Some(Bytes::copy_from_slice(&version.to_be_bytes()))]],
        paging_state: None,
    };
    Response::Result(ResultBody::Rows(RowsBody {
        rows,
        skip_metadata: false,
        new_metadata_id: None,
    }))
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_not_taken_for_another() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it listens");
    let (gave_up, given_up) = channel::<()>();
    let (answered, was_answered) = channel();
    let server = std::thread::spawn(move || {
        let mut puppet = Puppet::accept(&listener);
        // Nobody can come back.
        drop(listener);
        let request = puppet.greet().expect("a read");
        given_up.recv().expect("the client gives up");
        puppet.answer(request.stream, version(1));
        answered.send(()).expect("the test waits");
        while let Some(request) = puppet.request() {
            puppet.answer(request.stream, version(2));
        }
    });
    let text = ready::text("registers").expect("it is there");
    let workload = Workload::parse(text, "registers").expect("it fits");
    let program = Program::new(&workload, Path::new(""), &Overrides::default(), (0, 1)).expect("it fits");
    let place = program
        .statements
        .iter()
        .position(|statement| statement.role == Role::Read);
    let place = place.expect("it has a read");
    let patience = Duration::from_millis(200);
    let mut asker = Asker::open(&[address], &program, patience)
        .await
        .expect("it is open");
    let mut random = Random::new(0);
    let first = asker.read(&program, place, Subject::default(), &mut random).await;
    assert_eq!(first.expect_err("there is no answer").kind, "ClientTimeout");
    gave_up.send(()).expect("the server waits");
    was_answered.recv().expect("it answered");
    let second = asker.read(&program, place, Subject::default(), &mut random).await;
    assert!(
        second.as_ref().is_err_and(|failure| failure.passing),
        "{second:?}"
    );
    drop(asker);
    server.join().expect("it ends");
}

#[test]
fn a_closed_pace_gives_whenever_it_is_asked() {
    let now = Instant::now();
    let mut pace = Pace::closed(Some(now + Duration::from_secs(1)), None);
    assert_eq!((pace.take(now), pace.take(now)), (Some(now), Some(now)));
    assert_eq!(pace.next_due(), None);
    let late = now + Duration::from_secs(1);
    assert_eq!(
        (pace.take(late), pace.is_over(late), pace.abandon()),
        (None, true, None)
    );
}

#[test]
fn an_open_pace_keeps_its_times_however_late_it_is_asked() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut pace = Pace::open(at(10), Duration::from_millis(10), Some(at(100)), None);
    assert_eq!((pace.take(at(9)), pace.next_due()), (None, Some(at(10))));
    assert_eq!(pace.take(at(10)), Some(at(10)));
    // The server did not answer for a while: what should have begun meanwhile begins now, with its own time.
    let late: Vec<Instant> = std::iter::from_fn(|| pace.take(at(45))).collect();
    assert_eq!(late, [at(20), at(30), at(40)]);
    assert!(!pace.is_over(at(45)));
    let missed = Missed {
        first: at(50),
        interval: Duration::from_millis(10),
        number: 5,
    };
    assert_eq!(pace.abandon(), Some(missed), "50, 60, 70, 80, 90");
    assert_eq!(pace.abandon(), None);
}

#[test]
fn nothing_begins_after_the_end_however_much_waits() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut pace = Pace::open(at(0), Duration::from_millis(10), Some(at(100)), None);
    assert_eq!(pace.take(at(1)), Some(at(0)));
    // There was room for nothing more until the end; the first look after it has room for two.
    assert_eq!(
        (pace.take(at(101)), pace.take(at(101))),
        (Some(at(10)), Some(at(20)))
    );
    assert_eq!(pace.take(at(102)), None, "an answer made room after the end");
    assert!(pace.is_over(at(101)));
    assert_eq!(pace.next_due(), None, "nobody is to wake for what never begins");
    assert_eq!(pace.abandon().map(|missed| missed.number), Some(7), "30 to 90");
}

#[test]
fn what_was_due_a_moment_before_the_end_is_not_missed() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut pace = Pace::open(at(95), Duration::from_millis(10), Some(at(100)), None);
    assert_eq!(pace.take(at(120)), Some(at(95)));
    assert_eq!((pace.take(at(120)), pace.abandon()), (None, None));
}

#[test]
fn a_budget_is_for_all_lanes() {
    let now = Instant::now();
    let budget = Arc::new(AtomicU64::new(3));
    let mut lanes = [
        Pace::closed(None, Some(Arc::clone(&budget))),
        Pace::closed(None, Some(budget)),
    ];
    let mut begun = 0;
    while lanes.iter_mut().any(|lane| lane.take(now).is_some()) {
        begun += 1;
    }
    assert_eq!(begun, 3);
    assert!(lanes.iter().all(|lane| lane.is_over(now)));
}

/// A hundred operations of the registers, in a closed load.
fn plan() -> Plan {
    Plan {
        text: ready::text("registers").expect("it is there").to_owned(),
        file: "registers".into(),
        folder: std::path::PathBuf::new(),
        protocol: Protocol::Cql,
        addresses: Vec::new(),
        in_flight: 10,
        connections: 4,
        rate: None,
        warm_up: Duration::ZERO,
        duration: None,
        operations: Some(100),
        consistency: None,
        records: None,
        process: 0,
        processes: 1,
        seed: 1,
        timeout: Duration::from_secs(1),
    }
}

#[tokio::test]
async fn every_record_is_read_once_before_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it listens");
    let server = std::thread::spawn(move || {
        let mut puppet = Puppet::accept(&listener);
        let mut request = puppet.greet();
        let mut asked = Vec::new();
        while let Some(read) = request {
            puppet.answer(read.stream, version(0));
            asked.push(read.body);
            request = puppet.request();
        }
        asked
    });
    let plan = Plan {
        addresses: vec![address],
        connections: 1,
        records: Some(20),
        ..plan()
    };
    let (news, received) = channel();
    let generator = Generator::new(plan, None).expect("it fits");
    generator
        .each(Pass::Read, 20, &news)
        .await
        .expect("every row is there");
    drop(news);
    let mut asked = server.join().expect("it ends");
    assert_eq!(asked.len(), 20);
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 20, "each with another key");
    let slices = received.iter().filter_map(|news| match news {
        News::Slice(slice) => Some(slice.latencies.iter().map(|(_, count)| count).sum::<u64>()),
        News::Total(_) => None,
    });
    assert_eq!(slices.sum::<u64>(), 20);
}

/// Stream ids of a connection.
const STREAMS: u64 = 32_768;

#[tokio::test]
async fn an_operation_that_no_stream_is_left_for_has_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it listens");
    let (end, ended) = channel::<()>();
    // Takes all requests and answers none.
    let server = std::thread::spawn(move || {
        while matches!(ended.try_recv(), Err(TryRecvError::Empty)) {
            let mut puppet = Puppet::accept(&listener);
            let mut request = puppet.greet();
            while request.is_some() {
                request = puppet.request();
            }
        }
    });
    let operations = STREAMS + 2;
    let plan = Plan {
        addresses: vec![address],
        in_flight: 4096,
        connections: 1,
        operations: Some(operations),
        timeout: Duration::from_millis(500),
        ..plan()
    };
    let (news, received) = channel();
    let generator = Generator::new(plan, None).expect("it fits");
    generator
        .run(Instant::now(), &news)
        .await
        .expect("failures are counted");
    drop(news);
    drop(end);
    // The server may wait for another connection.
    drop(TcpStream::connect(address));
    server.join().expect("it ends");
    let mut collector = Collector::new(0, None);
    for news in received {
        if let News::Total(total) = news {
            collector.total(total);
        }
    }
    let (_, total) = collector.operations(&["read".into(), "write".into()], 1.0);
    assert_eq!(total.failed(), operations, "{:?}", total.errors);
    // Those that were under way on the connection failed with the one that was never sent.
    let first = &collector.examples()["Timeout"];
    assert!(first.contains("never answered"), "{first}");
}

#[test]
fn shares_make_up_the_whole() {
    let plan = Plan {
        rate: Some(900.0),
        ..plan()
    };
    let shares: Vec<Plan> = (0..3).map(|process| plan.share(process, 3)).collect();
    let sum = |of: &dyn Fn(&Plan) -> u64| shares.iter().map(of).sum::<u64>();
    assert_eq!(sum(&|share| u64::from(share.in_flight)), 10);
    assert_eq!(sum(&|share| u64::from(share.connections)), 4);
    assert_eq!(sum(&|share| share.operations.unwrap_or(0)), 100);
    assert!(
        shares
            .iter()
            .all(|share| share.rate == Some(300.0) && share.processes == 3)
    );
    assert_ne!(shares[0].seed, shares[1].seed);
    let with = |in_flight, connections| Plan {
        in_flight,
        connections,
        ..plan.clone()
    };
    assert_eq!(
        (plan.lanes(), with(1, 4).lanes()),
        (4, 1),
        "one request needs one connection"
    );
    assert_eq!((plan.lanes_of(1), plan.lanes_of(3)), (4, 4));
    let beforehand = |in_flight| with(in_flight, 4).beforehand();
    assert_eq!((beforehand(1).in_flight, beforehand(4096).in_flight), (64, 4096));
    assert_eq!(
        beforehand(1).lanes(),
        4,
        "one in flight is no reason to load over one connection"
    );
    assert_eq!((with(3, 8).lanes_of(3), with(4, 8).lanes_of(3)), (3, 4));
}

/// How many requests and answers are under way, and how long each is: more than sockets hold.
const MANY: i16 = 2000;
const LONG: usize = 32 << 10;

#[tokio::test]
async fn answers_are_read_while_requests_are_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it listens");
    let server = std::thread::spawn(move || {
        let mut puppet = Puppet::accept(&listener);
        let mut request = puppet.greet();
        // One after the other, as a server that holds no more answers than it must.
        while let Some(asked) = request {
            puppet.answer(
                asked.stream,
                Response::Result(ResultBody::SetKeyspace("x".repeat(LONG))),
            );
            request = puppet.request();
        }
    });
    let mut connection = Connection::open(address).await.expect("it is open");
    for stream in 0..MANY {
        let request = Request::Query {
            query: "x".repeat(LONG),
            parameters: QueryParameters::with_consistency(starling_model::Consistency::One),
        };
        connection.queue(stream, &request.into()).expect("it fits");
    }
    assert!(connection.stuck_since().is_some(), "nothing is sent yet");
    let all = async {
        for stream in 0..MANY {
            let answer = connection.exchange().await.expect("an answer");
            assert_eq!((answer.stream, answer.opcode), (stream, Opcode::Result));
        }
    };
    let patience = Duration::from_mins(1);
    tokio::time::timeout(patience, all)
        .await
        .expect("neither side waits for the other");
    assert_eq!(connection.stuck_since(), None);
    drop(connection);
    server.join().expect("it ends");
}

#[tokio::test]
async fn an_alarm_rings_at_its_time_and_can_be_set_anew() {
    let mut alarm = Alarm::new().expect("a timer");
    let start = Instant::now();
    alarm.until(start).await.expect("it has been");
    let hour = start + Duration::from_hours(1);
    let soon = start + Duration::from_micros(300);
    tokio::select! {
        biased;
        rung = alarm.until(hour) => panic!("too early: {rung:?}"),
        () = tokio::task::yield_now() => {}
    }
    alarm.until(soon).await.expect("it rings");
    assert!(Instant::now() >= soon);
    // It rang, and nobody was there to hear it: that is not the next one's ringing.
    let next = Instant::now() + Duration::from_micros(100);
    tokio::select! {
        biased;
        _ = alarm.until(next) => panic!("the timer was only just set"),
        () = std::future::ready(()) => {}
    }
    std::thread::sleep(Duration::from_millis(2));
    let later = Instant::now() + Duration::from_millis(3);
    alarm.until(later).await.expect("it rings");
    assert!(Instant::now() >= later);
}

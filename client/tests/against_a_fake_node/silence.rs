//! Sessions whose nodes fall silent, or are gone without a word.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures::future::join_all;
use starling_client::{
    Error, ErrorKind, Outcome, Session, SessionBuilder,
    retry::{Decision, Failure, NeverRetry, RetryPolicy},
};
use starling_cql::native::Request;

use crate::fake::{FakeNode, Handler, Reply, apart::ApartNode, topology, void};

/// Leaves silent nodes for others, and repeats nothing that failed.
#[derive(Debug)]
struct LeaveAlone;

impl RetryPolicy for LeaveAlone {
    fn decide(&self, _: &Failure<'_>) -> Decision {
        Decision::Fail
    }
}

/// What the first node does with requests that carry something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Answer,
    /// Answers nothing, and acknowledges what comes.
    Ignore,
    /// Stops with the first one, and with it all that the node does.
    Stop,
}

/// Two nodes of one ring, of which the first can be made to stop.
struct Pair {
    first: ApartNode,
    mood: Arc<Mutex<Mood>>,
    /// How many requests each was sent.
    had: Arc<[AtomicUsize; 2]>,
    /// Dropping it lets the first one go on.
    _gate: mpsc::Sender<()>,
    _second: FakeNode,
}

impl Pair {
    fn start() -> Self {
        let had: Arc<[AtomicUsize; 2]> = Arc::default();
        let mood = Arc::new(Mutex::new(Mood::Answer));
        let addresses: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let (gate, gone) = mpsc::channel::<()>();
        let first = {
            let (had, mood, ring) = (Arc::clone(&had), Arc::clone(&mood), Arc::clone(&addresses));
            let gone = Mutex::new(gone);
            ApartNode::start(move |address| -> Handler {
                ring.lock().unwrap().push(address);
                Arc::new(move |request| {
                    if request == Request::Topology {
                        return topology(&ring.lock().unwrap()).into();
                    }
                    had[0].fetch_add(1, Ordering::SeqCst);
                    let mood = *mood.lock().unwrap();
                    if mood == Mood::Stop {
                        let _ = gone.lock().unwrap().recv();
                    }
                    match mood {
                        Mood::Answer => void().into(),
                        Mood::Ignore | Mood::Stop => Reply::Silence,
                    }
                })
            })
        };
        let second = FakeNode::start(|address| {
            let had = Arc::clone(&had);
            addresses.lock().unwrap().push(address);
            Arc::new(move |request| {
                if request == Request::Topology {
                    return topology(&addresses.lock().unwrap()).into();
                }
                had[1].fetch_add(1, Ordering::SeqCst);
                void().into()
            })
        });
        Self {
            first,
            mood,
            had,
            _gate: gate,
            _second: second,
        }
    }

    /// A session with a connection to each.
    async fn session(&self, settings: impl FnOnce(SessionBuilder) -> SessionBuilder) -> Session {
        let contact = self.first.address.to_string();
        let session = settings(Session::builder().contact(contact))
            .connect()
            .await
            .unwrap();
        for _ in 0..400 {
            session.query("UPDATE anything").await.unwrap();
            if self.had.iter().all(|had| had.load(Ordering::SeqCst) > 0) {
                return session;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("one node never had a request");
    }

    fn counts(&self) -> [usize; 2] {
        [0, 1].map(|node| self.had[node].load(Ordering::SeqCst))
    }
}

/// As many at once that every node has its share of them.
const SHARES: usize = 8;

async fn ask(session: &Session, text: &str) -> Vec<Result<(), Error>> {
    join_all((0..SHARES).map(async |_| session.query(text).await.map(drop))).await
}

#[tokio::test]
async fn what_may_be_sent_twice_does_not_wait_for_a_silent_node() {
    for text in [
        "SELECT * FROM ks.t",
        "INSERT INTO ks.t (k, v) VALUES (1, 2)",
        "DELETE FROM ks.t WHERE k = 1",
    ] {
        let pair = Pair::start();
        let session = pair
            .session(|builder| builder.retry(LeaveAlone).client_timestamps(true))
            .await;
        *pair.mood.lock().unwrap() = Mood::Stop;
        let before = pair.counts();
        // Nothing is repeated that failed: had a connection ended before the other node was asked, a request would have failed.
        for outcome in ask(&session, text).await {
            outcome.unwrap();
        }
        let after = pair.counts();
        assert_eq!(after[0] - before[0], 1, "the first stopped with {text}");
        assert_eq!(after[1] - before[1], SHARES, "the second had each {text} once");
    }
}

#[tokio::test]
async fn what_may_not_be_sent_twice_is_not() {
    let counter = "UPDATE ks.t SET c = c + 1 WHERE k = 1";
    let plain = "INSERT INTO ks.t (k, v) VALUES (1, 2)";
    type Settings = fn(SessionBuilder) -> SessionBuilder;
    let cases: [(&str, Settings); 3] = [
        (counter, |builder| builder.client_timestamps(true)),
        // Without a timestamp a late copy would undo what was written meanwhile.
        (plain, |builder| builder),
        (plain, |builder| builder.client_timestamps(true).retry(NeverRetry)),
    ];
    join_all(cases.map(async |(text, settings)| {
        let pair = Pair::start();
        let session = pair.session(settings).await;
        *pair.mood.lock().unwrap() = Mood::Stop;
        let before = pair.counts();
        let outcomes = ask(&session, text).await;
        let failed: Vec<_> = outcomes
            .iter()
            .filter_map(|outcome| outcome.as_ref().err())
            .collect();
        assert!(!failed.is_empty(), "the first had its share");
        for error in &failed {
            assert_eq!(
                (error.kind(), error.outcome()),
                (ErrorKind::Connection, Outcome::Unknown),
                "{error}"
            );
        }
        let second_had = pair.counts()[1] - before[1];
        assert_eq!(second_had + failed.len(), SHARES, "{text} went to one node each");
    }))
    .await;
}

#[tokio::test]
async fn a_node_that_is_gone_without_a_word_is_found_gone() {
    let mut pair = Pair::start();
    let session = pair.session(|builder| builder).await;
    *pair.mood.lock().unwrap() = Mood::Ignore;
    let before = pair.counts()[0];
    let killed = async {
        while pair.had[0].load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
        pair.first.kill();
    };
    let (outcomes, ()) = tokio::join!(ask(&session, "UPDATE ks.t SET c = c + 1 WHERE k = 1"), killed);
    let failed: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(!failed.is_empty(), "the first had its share");
    for error in failed {
        assert_eq!(
            (error.kind(), error.outcome()),
            (ErrorKind::Connection, Outcome::Unknown)
        );
        assert!(
            error.to_string().contains("nothing listens there any more"),
            "{error}"
        );
    }
}

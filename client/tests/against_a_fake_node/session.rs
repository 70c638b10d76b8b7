//! The session against nodes that behave, and nodes that don't.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::fake::{FakeNode, Handler, Reply, alone, column, failed, rows, table::Table, topology, void};
use bytes::Bytes;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use starling_client::{Batch, CqlType, ErrorKind, Outcome, Session};
use starling_cql::{
    Error, ErrorKind as Wire, Statement, WriteType,
    native::{Event, Request, Response},
};
use starling_model::Consistency;

fn text(request: &Request) -> &str {
    match request {
        Request::Execute {
            statement: Statement::Text(text),
            ..
        } => text,
        _ => "",
    }
}

#[tokio::test]
async fn a_statement_carries_its_options_and_brings_rows() {
    let seen = Arc::new(Mutex::new(None));
    let node = alone({
        let seen = Arc::clone(&seen);
        move |request| {
            *seen.lock().unwrap() = Some(request);
            rows(
                vec![column("n", CqlType::Int)],
                vec![vec![Some(Bytes::from_static(&[0, 0, 0, 7]))]],
            )
            .into()
        }
    });
    let session = node.session().await;
    let statement = session
        .statement("SELECT n FROM ks.t")
        .with_consistency(Consistency::EachQuorum)
        .with_serial_consistency(Consistency::LocalSerial)
        .with_timestamp(17)
        .with_page_size(3)
        .with_tracing(true);
    let answer = session.query(statement).await.unwrap();
    assert_eq!(answer.rows().unwrap().first::<i64>().unwrap(), Some(7));
    let Some(Request::Execute {
        parameters, tracing, ..
    }) = seen.lock().unwrap().take()
    else {
        panic!("no statement came")
    };
    assert_eq!(parameters.consistency, Consistency::EachQuorum);
    assert_eq!(parameters.serial_consistency, Some(Consistency::LocalSerial));
    assert_eq!(parameters.timestamp.unwrap().0, 17);
    assert_eq!(parameters.page_size, Some(3));
    assert!(tracing);
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Person {
    name: String,
    age: Option<u8>,
    tags: Vec<String>,
}

#[tokio::test]
async fn typed_values_go_in_and_come_out_page_by_page() {
    let table = Table::new(vec![
        column("name", CqlType::Text),
        column("age", CqlType::Int),
        column(
            "tags",
            CqlType::Set {
                element: Box::new(CqlType::Text),
                frozen: false,
            },
        ),
    ]);
    let pages = Arc::new(AtomicUsize::new(0));
    let node = alone({
        let (table, pages) = (table.clone(), Arc::clone(&pages));
        move |request| {
            pages.fetch_add(1, Ordering::Relaxed);
            table.answer(&request).unwrap()
        }
    });
    let session = node.session().await;
    let insert = session
        .prepare("INSERT INTO ks.t (name, age, tags) VALUES (?, ?, ?)")
        .await
        .unwrap();
    let people: Vec<Person> = (0..10u8)
        .map(|age| Person {
            name: format!("p{age}"),
            age: (age != 3).then_some(age),
            tags: if age % 2 == 0 {
                vec!["a".into(), "b".into()]
            } else {
                Vec::new()
            },
        })
        .collect();
    for person in &people {
        session.execute(&insert, person).await.unwrap();
    }
    pages.store(0, Ordering::Relaxed);
    let all = session
        .prepare("SELECT * FROM ks.t")
        .await
        .unwrap()
        .with_page_size(3);
    let read: Vec<Person> = session
        .stream(&all, ())
        .unwrap()
        .typed()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(read, people);
    assert_eq!(
        pages.load(Ordering::Relaxed),
        1 + 4,
        "one PREPARE, and ten rows in pages of three"
    );

    let wrong = session.execute(&insert, ("x", "old", ())).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Type);
    assert_eq!(
        wrong.to_string(),
        "column age is of type int, which a string can't be bound to"
    );
    assert_eq!(table.rows().len(), 10, "nothing was sent");
}

#[tokio::test]
async fn a_node_that_forgot_a_statement_prepares_it_again() {
    let prepares = Arc::new(AtomicUsize::new(0));
    let node = alone({
        let prepares = Arc::clone(&prepares);
        let table = Table::new(vec![column("name", CqlType::Text)]);
        move |request| match &request {
            Request::Prepare { .. } => {
                prepares.fetch_add(1, Ordering::Relaxed);
                table.answer(&request).unwrap()
            }
            Request::Execute {
                statement: Statement::Prepared(id),
                ..
            } if prepares.load(Ordering::Relaxed) < 2 => {
                failed(Error::new(Wire::Unprepared { id: id.clone() }, "unknown")).into()
            }
            _ => table.answer(&request).unwrap(),
        }
    });
    let session = node.session().await;
    let insert = session
        .prepare("INSERT INTO ks.t (name) VALUES (?)")
        .await
        .unwrap();
    session.execute(&insert, ("x",)).await.unwrap();
    assert_eq!(prepares.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_request_without_an_answer_times_out_with_an_unknown_outcome() {
    let node = alone(|_| Reply::Silence);
    let session = node.session().await;
    let slow = |text: &str| session.statement(text).with_timeout(Duration::from_millis(20));
    let error = session
        .query(slow("DELETE FROM ks.t WHERE k = 1"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::Timeout, Outcome::Unknown)
    );
    let error = session.query(slow("SELECT * FROM ks.t")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::Timeout, Outcome::NotApplied)
    );
}

#[tokio::test]
async fn errors_of_the_server_keep_their_fields() {
    let node = alone(|request| {
        let kind = match text(&request) {
            "unavailable" => Wire::Unavailable {
                consistency: Consistency::Quorum,
                required: 2,
                alive: 1,
            },
            kind @ ("timeout" | "not kept") => Wire::WriteTimeout {
                consistency: Consistency::All,
                received: 1,
                required: 2,
                write_type: if kind == "timeout" {
                    WriteType::Simple
                } else {
                    WriteType::BatchLog
                },
            },
            _ => Wire::AlreadyExists {
                keyspace: "ks".to_owned(),
                table: String::new(),
            },
        };
        failed(Error::new(kind, "because")).into()
    });
    let session = node.session().await;
    let expected = [
        ("unavailable", ErrorKind::Unavailable, Outcome::NotApplied),
        ("timeout", ErrorKind::Timeout, Outcome::Unknown),
        // Who keeps the batch all the same may carry it out.
        ("not kept", ErrorKind::Timeout, Outcome::Unknown),
        ("exists", ErrorKind::AlreadyExists, Outcome::NotApplied),
    ];
    for (statement, kind, outcome) in expected {
        let error = session.query(statement).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (kind, outcome), "{statement}");
        assert_eq!(error.to_string(), "because");
        assert!(error.server().is_some());
    }
}

#[tokio::test]
async fn a_connection_that_breaks_in_flight_fails_writes_and_is_made_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let node = alone({
        let calls = Arc::clone(&calls);
        move |_| {
            if calls.fetch_add(1, Ordering::Relaxed) == 0 {
                Reply::HangUp
            } else {
                void().into()
            }
        }
    });
    let session = node.session().await;
    let error = session
        .query("INSERT INTO ks.t (k) VALUES (1)")
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::Connection, Outcome::Unknown)
    );
    until_served(&session).await;
    assert!(calls.load(Ordering::Relaxed) >= 2);
}

/// Retries until the session has a connection again.
async fn until_served(session: &Session) {
    for _ in 0..200 {
        if session.query("INSERT INTO ks.t (k) VALUES (1)").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the session never came back");
}

#[tokio::test]
async fn garbage_ends_the_connection_and_not_the_client() {
    let mut length = vec![0xff; 4];
    length.extend_from_slice(&1u64.to_be_bytes());
    let unknown_id = {
        let mut frame = Vec::new();
        starling_cql::native::encode_frame(999_999, &void(), &mut frame).unwrap();
        frame
    };
    let mut bad_value = Vec::new();
    starling_cql::native::encode_frame(2, &"no response", &mut bad_value).unwrap();
    for garbage in [length, unknown_id, bad_value, vec![0; 64]] {
        let calls = Arc::new(AtomicUsize::new(0));
        let node = alone({
            let calls = Arc::clone(&calls);
            let garbage = garbage.clone();
            move |_| {
                if calls.fetch_add(1, Ordering::Relaxed) == 0 {
                    Reply::Raw(garbage.clone())
                } else {
                    void().into()
                }
            }
        });
        let session = node.session().await;
        let error = session
            .query("INSERT INTO ks.t (k) VALUES (1)")
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.outcome()),
            (ErrorKind::Protocol, Outcome::Unknown),
            "{error}"
        );
        until_served(&session).await;
    }
}

#[tokio::test]
async fn more_requests_than_allowed_are_refused_at_once() {
    let node = alone(|_| Reply::Silence);
    let session = node.builder().in_flight(2).connect().await.unwrap();
    let first = session.query("SELECT 1");
    let second = session.query("SELECT 2");
    tokio::pin!(first, second);
    // Both are sent with their first poll; neither is ever answered.
    assert!(futures::poll!(&mut first).is_pending());
    assert!(futures::poll!(&mut second).is_pending());
    let error = session.query("SELECT 3").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::Overloaded, Outcome::NotApplied)
    );
}

#[tokio::test]
async fn without_a_ca_only_this_machine_is_believed() {
    let error = Session::builder()
        .contact("192.0.2.1:7000")
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("CA"), "{error}");
}

#[tokio::test]
async fn a_ca_is_checked() {
    let node = alone(|_| void().into());
    let other = alone(|_| void().into());
    node.builder().ca(&node.ca).connect().await.unwrap();
    let error = node.builder().ca(&other.ca).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    let error = node
        .builder()
        .ca("/no/such/file.pem")
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

/// Two nodes that know each other and count what comes.
fn pair() -> (FakeNode, FakeNode, Arc<[AtomicUsize; 2]>) {
    let counts: Arc<[AtomicUsize; 2]> = Arc::default();
    let addresses: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
    let node = |index: usize| {
        let (counts, addresses) = (Arc::clone(&counts), Arc::clone(&addresses));
        FakeNode::start(|address| -> Handler {
            addresses.lock().unwrap().push(address);
            let table = Table::new(vec![column("k", CqlType::Blob)]);
            Arc::new(move |request| match &request {
                Request::Topology => topology(&addresses.lock().unwrap()).into(),
                Request::Prepare { .. } => table.answer(&request).unwrap(),
                _ => {
                    counts[index].fetch_add(1, Ordering::Relaxed);
                    table.answer(&request).unwrap_or_else(|| void().into())
                }
            })
        })
    };
    let (first, second) = (node(0), node(1));
    (first, second, counts)
}

#[tokio::test]
async fn requests_go_to_a_replica_of_their_partition() {
    let (first, _second, counts) = pair();
    let session = first.session().await;
    until_both(&session, &counts).await;
    let insert = session.prepare("INSERT INTO ks.t (k) VALUES (?)").await.unwrap();
    let before: Vec<usize> = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    // Node 1 owns the tokens up to 0 and those after 1000, node 2 the few between: nearly all keys are node 1's.
    for key in 0..50u32 {
        session
            .execute(&insert, (serde_bytes::Bytes::new(&key.to_be_bytes()),))
            .await
            .unwrap();
    }
    assert_eq!(counts[0].load(Ordering::Relaxed) - before[0], 50);
    assert_eq!(counts[1].load(Ordering::Relaxed) - before[1], 0);
}

/// Sends requests that may go anywhere until both nodes have had some.
async fn until_both(session: &Session, counts: &[AtomicUsize; 2]) {
    for _ in 0..400 {
        session.query("UPDATE anything").await.unwrap();
        if counts.iter().all(|count| count.load(Ordering::Relaxed) > 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("one node never had a request");
}

#[tokio::test]
async fn reads_go_on_when_a_node_dies() {
    let (first, second, counts) = pair();
    let session = first
        .builder()
        .contact(second.address.to_string())
        .connect()
        .await
        .unwrap();
    until_both(&session, &counts).await;
    drop(first);
    for _ in 0..20 {
        session.query("SELECT * FROM ks.t").await.unwrap();
    }
    assert!(counts[1].load(Ordering::Relaxed) >= 20);
}

#[tokio::test]
async fn events_reach_listeners_and_the_ring_is_learnt_anew() {
    let learnt = Arc::new(AtomicUsize::new(0));
    let node = FakeNode::start(|address| {
        let learnt = Arc::clone(&learnt);
        Arc::new(move |request| match request {
            Request::Topology => {
                learnt.fetch_add(1, Ordering::Relaxed);
                topology(&[address]).into()
            }
            _ => {
                let mut frames = Vec::new();
                starling_cql::native::encode_frame(0, &Response::Event(Event::Topology), &mut frames)
                    .unwrap();
                Reply::Raw(frames)
            }
        })
    });
    let session = node.session().await;
    let mut events = session.events();
    let before = learnt.load(Ordering::Relaxed);
    let waiting = session.query("SELECT 1");
    tokio::pin!(waiting);
    let event = tokio::select! {
        event = events.recv() => event.unwrap(),
        _ = &mut waiting => panic!("the request is never answered"),
    };
    assert_eq!(event, Event::Topology);
    for _ in 0..400 {
        if learnt.load(Ordering::Relaxed) > before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the ring was not learnt anew");
}

#[tokio::test]
async fn batches_carry_prepared_and_plain_parts() {
    let seen = Arc::new(Mutex::new(None));
    let table = Table::new(vec![column("name", CqlType::Text)]);
    let node = alone({
        let seen = Arc::clone(&seen);
        move |request| match request {
            Request::Batch(batch) => {
                *seen.lock().unwrap() = Some(batch);
                void().into()
            }
            request => table.answer(&request).unwrap(),
        }
    });
    let session = node.session().await;
    let insert = session
        .prepare("INSERT INTO ks.t (name) VALUES (?)")
        .await
        .unwrap();
    let mut batch = Batch::logged().with_consistency(Consistency::All);
    batch
        .bind(&insert, ("x",))
        .unwrap()
        .text("DELETE FROM ks.t WHERE name = 'y'")
        .unwrap();
    assert!(batch.bind(&insert, (1,)).is_err());
    session.batch(&batch).await.unwrap();
    let seen = seen.lock().unwrap().take().unwrap();
    assert_eq!(seen.entries.len(), 2);
    assert_eq!(seen.parameters.consistency, Consistency::All);
}

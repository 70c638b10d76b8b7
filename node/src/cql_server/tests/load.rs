//! Many requests at once, and the bounds on them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use starling_cql::{
    BatchKind, BatchRequest, ErrorKind,
    protocol::{Request, Response, ResultBody},
};

use starling_replication::Budget;

use super::{
    raw::{self, query},
    *,
};

/// Waits until something that others bring about is so.
async fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn thousands_of_requests_in_one_go() {
    for (max_in_flight, compression) in [(2_048, "lz4"), (7, "")] {
        let (server, _) = server_with(Options {
            max_in_flight,
            ..Options::default()
        })
        .await;
        for version in BOTH {
            let mut client = Client::connect(&server).await;
            client.open(version, &[("COMPRESSION", compression)]).await;
            for stream in 0..5_000 {
                client.push(stream, query(&format!("rows 1 {}", stream % 300)));
            }
            client.flush().await;
            let mut answered = BTreeSet::new();
            for _ in 0..5_000 {
                let (stream, frame) = client.receive().await.unwrap();
                let Response::Result(ResultBody::Rows(body)) = frame.response else {
                    panic!("no rows");
                };
                assert_eq!(
                    body.rows.rows[0][0].as_ref().unwrap().len(),
                    (stream % 300) as usize
                );
                assert!(answered.insert(stream), "stream {stream} is answered twice");
            }
            assert!(client.works().await);
        }
        assert_eq!(server.counters().requests.get(), 2 * 5_001);
        assert_eq!(server.counters().in_flight.get(), 0);
    }
}

#[tokio::test]
async fn answers_come_in_any_order() {
    let (server, fake) = server().await;
    let mut client = open(&server, Version::V4).await;
    client.push(1, query("gate"));
    client.push(2, query("void"));
    client.flush().await;
    assert_eq!(client.receive().await.unwrap().0, 2);
    fake.open_gate(1);
    assert_eq!(client.receive().await.unwrap().0, 1);
}

#[tokio::test]
async fn a_full_connection_waits_or_refuses_as_the_client_asked() {
    let (server, fake) = server_with(Options {
        max_in_flight: 3,
        ..Options::default()
    })
    .await;
    let mut patient = open(&server, Version::V4).await;
    for stream in 0..5 {
        patient.push(stream, query("gate"));
    }
    patient.flush().await;
    until(|| fake.gated().0 == 3).await;
    let mut impatient = Client::connect(&server).await;
    impatient.open(Version::V5, &[("THROW_ON_OVERLOAD", "1")]).await;
    for stream in 0..5 {
        impatient.push(stream, query("gate"));
    }
    impatient.flush().await;
    for expected in [3, 4] {
        let (stream, kind, message) = impatient.error().await;
        assert_eq!((stream, kind), (expected, ErrorKind::Overloaded));
        assert!(message.contains("nothing was done"), "{message}");
    }
    assert_eq!(fake.gated(), (6, 0));
    fake.open_gate(8);
    for _ in 0..5 {
        let frame = patient.receive().await.unwrap().1;
        assert_eq!(frame.response, Response::Result(ResultBody::Void));
    }
}

/// A request that is here and has to wait for others has less time then.
#[tokio::test]
async fn a_requests_time_counts_from_its_arrival() {
    // What is measured, and nothing that is waited for.
    const PAUSE: Duration = Duration::from_millis(50);
    let batch = Request::Batch(BatchRequest {
        kind: BatchKind::Logged,
        entries: Vec::new(),
        parameters: raw::parameters(),
    });
    for late in [query("void"), batch] {
        let (server, fake) = server_with(Options {
            max_in_flight: 1,
            ..Options::default()
        })
        .await;
        let mut client = open(&server, Version::V5).await;
        client.push(1, query("gate"));
        client.push(2, late);
        client.flush().await;
        // Both came together.
        until(|| fake.gated().0 == 1).await;
        tokio::time::sleep(PAUSE).await;
        fake.open_gate(1);
        assert_eq!(client.receive().await.unwrap().0, 1);
        assert_eq!(client.receive().await.unwrap().0, 2);
        assert!(fake.waited() >= PAUSE, "{:?}", fake.waited());
    }
}

#[tokio::test]
async fn the_listener_has_room_for_so_many_requests_and_no_more() {
    let (server, fake) = server_with(Options {
        max_requests: 4,
        ..Options::default()
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = open(&server, Version::V5).await;
        client.push(0, query("gate"));
        client.push(1, query("gate"));
        client.flush().await;
        clients.push(client);
    }
    until(|| fake.gated().0 == 4).await;
    let mut late = open(&server, Version::V5).await;
    late.push(9, query("void"));
    late.flush().await;
    let (stream, kind, _) = late.error().await;
    assert_eq!((stream, kind), (9, ErrorKind::Overloaded));
    assert_eq!(server.counters().overloaded.get(), 1);
    fake.open_gate(4);
    for client in &mut clients {
        client.receive().await.unwrap();
        client.receive().await.unwrap();
    }
    assert!(late.works().await);
}

/// Room for one large request at a time, and for one large reply.
fn small_budget() -> Arc<Budget> {
    Arc::new(Budget::new(4 << 20))
}

#[tokio::test]
async fn large_messages_take_room_before_they_have_arrived() {
    let budget = small_budget();
    let (server, _) = server_with(Options {
        budget: Arc::clone(&budget),
        ..Options::default()
    })
    .await;
    for version in BOTH {
        let mut first = open(&server, version).await;
        let mut patient = open(&server, version).await;
        let mut second = Client::connect(&server).await;
        second.open(version, &[("THROW_ON_OVERLOAD", "1")]).await;
        // The first client's message takes most of the budget while only half of it is there.
        let body = vec![b'z'; 700_000];
        first.push(1, query(std::str::from_utf8(&body).unwrap()));
        let bytes = first.take_output();
        let (begin, rest) = bytes.split_at(400_000);
        first.send_raw(begin).await;
        until(|| budget.requests.held() > 0).await;
        patient.push(5, query(std::str::from_utf8(&body).unwrap()));
        let of_patient = patient.take_output();
        let (begin_patient, rest_patient) = of_patient.split_at(150_000);
        patient.send_raw(begin_patient).await;
        until(|| budget.requests.waiting() > 0).await;
        second.push(2, query(std::str::from_utf8(&body).unwrap()));
        second.flush().await;
        let (stream, kind, _) = second.error().await;
        assert_eq!((stream, kind), (2, ErrorKind::Overloaded));
        // It was passed over, and what follows is read; small ones find room.
        assert!(second.works().await);
        first.send_raw(rest).await;
        assert_eq!(first.error().await.1, ErrorKind::Syntax);
        patient.send_raw(rest_patient).await;
        assert_eq!(patient.error().await.1, ErrorKind::Syntax);
        second.push(3, query(std::str::from_utf8(&body).unwrap()));
        second.flush().await;
        assert_eq!(second.error().await.1, ErrorKind::Syntax);
        until(|| budget.held() == 0).await;
    }
}

#[tokio::test]
async fn who_sends_a_large_message_slowly_while_others_wait_is_closed() {
    let budget = small_budget();
    let (server, _) = server_with(Options {
        budget: Arc::clone(&budget),
        pressed_timeout: Duration::from_millis(20),
        ..Options::default()
    })
    .await;
    let body = "z".repeat(300_000);
    for version in BOTH {
        let mut slow = open(&server, version).await;
        slow.push(1, query(&body));
        let bytes = slow.take_output();
        slow.send_raw(&bytes[..150_000]).await;
        until(|| budget.requests.held() > 0).await;
        let mut honest = open(&server, version).await;
        honest.push(2, query(&body));
        honest.flush().await;
        // It gets room although the other one never sends the rest, long before the usual time is over.
        assert_eq!(honest.error().await.1, ErrorKind::Syntax);
        assert!(slow.receive().await.is_none());
        until(|| budget.held() == 0).await;
    }
}

/// What is small as it comes and large when it is decompressed is not decompressed before there is room.
#[tokio::test]
async fn room_is_taken_for_what_a_message_decompresses_to() {
    let budget = small_budget();
    let (server, _) = server_with(Options {
        budget: Arc::clone(&budget),
        ..Options::default()
    })
    .await;
    for compression in ["lz4", "snappy"] {
        let rest = budget.requests.owe(budget.requests.limit());
        let mut client = Client::connect(&server).await;
        client.open(Version::V4, &[("COMPRESSION", compression)]).await;
        client.push(1, query(&"z".repeat(700_000)));
        client.flush().await;
        until(|| budget.requests.waiting() == 1).await;
        assert_eq!(budget.requests.held(), rest.bytes());
        drop(rest);
        assert_eq!(client.error().await.1, ErrorKind::Syntax);
        until(|| budget.held() == 0).await;
    }
}

/// Clients that ask for more than they read hold no more than the budget, and small replies go on.
#[tokio::test]
async fn large_replies_take_turns() {
    let budget = small_budget();
    let (server, _) = server_with(Options {
        budget: Arc::clone(&budget),
        max_unsent_bytes: 100_000,
        pressed_timeout: Duration::from_mins(10),
        ..Options::default()
    })
    .await;
    for version in BOTH {
        let mut greedy = Vec::new();
        for _ in 0..5 {
            let mut client = open(&server, version).await;
            for stream in 0..20 {
                client.push(stream, query("rows 30 10000"));
            }
            client.flush().await;
            greedy.push(client);
        }
        until(|| budget.replies.waiting() > 0).await;
        let mut modest = open(&server, version).await;
        for _ in 0..20 {
            assert!(modest.works().await);
        }
        // All of them read now: one alone would wait for those that do not.
        let readers = greedy.iter_mut().map(|client| async move {
            for _ in 0..20 {
                client.receive().await.unwrap();
            }
        });
        futures::future::join_all(readers).await;
        until(|| budget.held() == 0).await;
    }
    // One turn's room, and at most what each connection may have unsent without any.
    assert!(budget.replies.peak() <= budget.replies.limit() + 6 * 200_000);
    assert!(budget.replies.waits() > 0);
}

#[tokio::test]
async fn who_does_not_read_while_others_wait_is_closed() {
    let budget = small_budget();
    let (server, _) = server_with(Options {
        budget: Arc::clone(&budget),
        pressed_timeout: Duration::from_millis(20),
        max_unsent_bytes: 100_000,
        ..Options::default()
    })
    .await;
    let mut greedy = open(&server, Version::V4).await;
    for stream in 0..100 {
        greedy.push(stream, query("rows 100 10000"));
    }
    greedy.flush().await;
    until(|| budget.replies.held() > 0 && server.counters().bytes_out.get() > 1_000_000).await;
    let mut honest = open(&server, Version::V4).await;
    honest.push(1, query("rows 100 10000"));
    honest.flush().await;
    // It gets its reply although the other one never reads, long before the usual time is over.
    assert_eq!(honest.receive().await.unwrap().0, 1);
}

#[tokio::test]
async fn messages_beyond_the_bound_are_refused_and_the_connection_goes_on() {
    let (server, _) = server_with(Options {
        max_message_bytes: 150_000,
        ..Options::default()
    })
    .await;
    for version in BOTH {
        let mut client = open(&server, version).await;
        client.push(4, query(&"q".repeat(400_000)));
        client.flush().await;
        let (stream, kind, message) = client.error().await;
        assert_eq!((stream, kind), (4, ErrorKind::Protocol));
        assert!(
            message.contains("larger than the 150000 bytes accepted"),
            "{message}"
        );
        assert!(client.works().await);
    }
}

/// A client that sends and does not read: its requests are not advanced beyond a bound.
#[tokio::test]
async fn a_client_that_does_not_read_is_not_served_on() {
    let (server, fake) = server_with(Options {
        max_unsent_bytes: 100_000,
        ..Options::default()
    })
    .await;
    let mut client = open(&server, Version::V4).await;
    for stream in 0..200 {
        client.push(stream, query("rows 100 10000"));
    }
    // Behind them, so that it is begun only after the others are done.
    client.push(200, query("gate"));
    client.flush().await;
    // Others are served meanwhile.
    let mut other = open(&server, Version::V5).await;
    for _ in 0..50 {
        assert!(other.works().await);
    }
    // 200 MB of replies, of which the kernel's buffers hold some; the rest does not exist yet.
    until(|| server.counters().bytes_out.get() > 0).await;
    assert!(server.counters().in_flight.get() > 0);
    fake.open_gate(1);
    let mut answered = BTreeSet::new();
    for _ in 0..201 {
        answered.insert(client.receive().await.unwrap().0);
    }
    assert_eq!(answered.len(), 201);
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed() {
    let (server, _) = server_with(Options {
        max_unsent_bytes: 100_000,
        write_timeout: Duration::from_millis(50),
        ..Options::default()
    })
    .await;
    let mut client = open(&server, Version::V4).await;
    for stream in 0..100 {
        client.push(stream, query("rows 100 10000"));
    }
    client.flush().await;
    let connections = || server.counters().connections.get();
    while connections() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.counters().in_flight.get(), 0);
}

#[tokio::test]
async fn connections_are_bounded() {
    let (server, _) = server_with(Options {
        max_connections: 2,
        ..Options::default()
    })
    .await;
    let mut first = open(&server, Version::V4).await;
    let second = open(&server, Version::V4).await;
    let mut third = Client::connect(&server).await;
    third.push(0, Request::Options);
    third.flush().await;
    assert!(third.receive().await.is_none());
    assert_eq!(server.counters().turned_away.get(), 1);
    drop(second);
    until(|| server.counters().connections.get() == 1).await;
    open(&server, Version::V5).await;
    assert!(first.works().await);
}

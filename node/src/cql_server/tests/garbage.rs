//! Bytes that are not the protocol: a clear answer, and everybody else goes on.

use std::time::Duration;

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use starling_cql::{
    ErrorKind,
    protocol::{Request, segment},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{raw::query, *};

#[tokio::test]
async fn broken_bodies_cost_one_message() {
    let (server, _) = server().await;
    let mut client = open(&server, Version::V4).await;
    let options = [4, 0, 0, 9, 5, 0, 0, 0, 0];
    let broken: [&[u8]; 7] = [
        // QUERY without a body, with a length that lies, and with bytes behind its end.
        &[4, 0, 0, 1, 7, 0, 0, 0, 0],
        &[4, 0, 0, 1, 7, 0, 0, 0, 6, 0x7f, 0xff, 0xff, 0xff, b'S', b'E'],
        &[4, 0, 0, 1, 7, 0, 0, 0, 9, 0, 0, 0, 1, b'S', 0, 1, 0, 0xaa],
        // A level, a flag and an opcode that do not exist.
        &[4, 0, 0, 1, 7, 0, 0, 0, 8, 0, 0, 0, 1, b'S', 0, 99, 0],
        &[4, 0, 0, 1, 7, 0, 0, 0, 8, 0, 0, 0, 1, b'S', 0, 1, 0x80],
        &[4, 0, 0, 1, 0x77, 0, 0, 0, 1, 0],
        // Compressed, though nothing was agreed on.
        &[4, 1, 0, 1, 7, 0, 0, 0, 1, 0],
    ];
    for bytes in broken {
        client.send_raw(bytes).await;
        // One of them promises a byte more than it has.
        if bytes.len() < 9 + usize::from(bytes[8]) {
            client
                .send_raw(&vec![0; 9 + usize::from(bytes[8]) - bytes.len()])
                .await;
        }
        let (stream, kind, message) = client.error().await;
        assert_eq!((stream, kind), (1, ErrorKind::Protocol), "{message}");
        client.send_raw(&options).await;
        assert_eq!(client.receive().await.unwrap().0, 9);
    }
    assert_eq!(server.counters().malformed.get(), broken.len() as u64);
    assert!(client.works().await);
}

#[tokio::test]
async fn negative_streams_are_the_servers_own() {
    let (server, _) = server().await;
    let mut client = open(&server, Version::V5).await;
    client.push(-3, query("void"));
    client.flush().await;
    let (stream, kind, message) = client.error().await;
    assert_eq!((stream, kind), (-3, ErrorKind::Protocol));
    assert!(message.contains("negative"), "{message}");
}

#[tokio::test]
async fn lost_framing_is_answered_and_closed() {
    let (server, _) = server().await;
    let mut witness = open(&server, Version::V5).await;
    let huge = [4, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff];
    let response = [0x84, 0, 0, 1, 2, 0, 0, 0, 0];
    for bytes in [&huge[..], &response] {
        for handshake in [false, true] {
            let mut client = Client::connect(&server).await;
            if handshake {
                client.open(Version::V4, &[]).await;
            }
            client.send_raw(bytes).await;
            // More than anybody reads: the answer arrives all the same.
            client.send_raw(&vec![0; 100_000]).await;
            assert_eq!(client.error().await.1, ErrorKind::Protocol);
            assert!(client.receive().await.is_none());
        }
    }
    assert!(witness.works().await);
}

#[tokio::test]
async fn damaged_segments_are_answered_and_closed() {
    let (server, _) = server().await;
    let mut good = Vec::new();
    segment::encode(&[5, 0, 0, 1, 5, 0, 0, 0, 0], true, false, &mut good);
    for at in [0, 4, 8, good.len() - 1] {
        let mut client = open(&server, Version::V5).await;
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        client.send_raw(&bytes).await;
        let (_, kind, message) = client.error().await;
        assert_eq!(kind, ErrorKind::Protocol);
        assert!(message.contains("CRC"), "{message}");
        assert!(client.receive().await.is_none());
    }
}

#[tokio::test]
async fn requests_in_flight_are_answered_before_a_broken_connection_closes() {
    let (server, fake) = server().await;
    let mut client = open(&server, Version::V4).await;
    client.push(1, query("gate"));
    client.flush().await;
    client.send_raw(&[4, 0, 0, 2, 7, 0xff, 0, 0, 0]).await;
    assert_eq!(client.error().await.0, 2);
    fake.open_gate(1);
    assert_eq!(client.receive().await.unwrap().0, 1);
    assert!(client.receive().await.is_none());
}

#[tokio::test]
async fn half_messages_and_silence_time_out() {
    let (server, _) = server_with(Options {
        handshake_timeout: Duration::from_millis(30),
        read_timeout: Duration::from_millis(30),
        idle_timeout: Some(Duration::from_millis(30)),
        ..Options::default()
    })
    .await;
    let mut silent = Client::connect(&server).await;
    assert!(silent.receive().await.is_none());
    let mut half = Client::connect(&server).await;
    half.send_raw(&[4, 0, 0, 1, 1, 0, 0]).await;
    assert!(half.receive().await.is_none());
    // A body that never comes, and a connection that is open and says nothing.
    let mut open_then_half = Client::connect(&server).await;
    open_then_half.push(0, Request::Startup(Vec::new()));
    open_then_half.flush().await;
    open_then_half
        .send_raw(&[4, 0, 0, 1, 7, 0, 0, 1, 0, 1, 2, 3])
        .await;
    assert!(open_then_half.receive().await.is_some());
    assert!(open_then_half.receive().await.is_none());
    let mut idle = Client::connect(&server).await;
    idle.push(0, Request::Startup(Vec::new()));
    idle.flush().await;
    assert!(idle.receive().await.is_some());
    assert!(idle.receive().await.is_none());
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_does_no_harm() {
    let (server, fake) = server().await;
    for version in BOTH {
        let mut client = open(&server, version).await;
        client.push(1, query("gate"));
        client.push(2, query(&"x".repeat(200_000)));
        let bytes = client.take_output();
        client.send_raw(&bytes[..150_000]).await;
        while fake.gated().0 == 0 && server.counters().bytes_in.get() < 150_000 {
            tokio::task::yield_now().await;
        }
        drop(client);
    }
    // What was begun is dropped: nobody waits for the gate any more.
    while server.counters().connections.get() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.gated().1, 0);
    assert_eq!(server.counters().in_flight.get(), 0);
    assert!(open(&server, Version::V5).await.works().await);
}

/// Whatever comes, before and after the handshake: the listener goes on.
#[test]
fn arbitrary_bytes_do_not_stop_the_listener() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (server, _) = runtime.block_on(server());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(64));
    let version = prop_oneof![Just(None), Just(Some(Version::V4)), Just(Some(Version::V5))];
    let first = prop_oneof![Just(4_u8), Just(5), any::<u8>()];
    let outcome = runner.run(
        &(version, first, vec(any::<u8>(), 0..200)),
        |(version, first, rest)| {
            runtime.block_on(async {
                let mut client = Client::connect(&server).await;
                if let Some(version) = version {
                    client.open(version, &[]).await;
                }
                client.send_raw(&[first]).await;
                client.send_raw(&rest).await;
                let _ = client.socket.shutdown().await;
                let mut answer = Vec::new();
                let _ = client.socket.read_to_end(&mut answer).await;
            });
            Ok(())
        },
    );
    outcome.unwrap();
    assert!(runtime.block_on(async { open(&server, Version::V4).await.works().await }));
}

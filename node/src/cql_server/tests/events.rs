//! Events, to those who asked for them.

use std::net::SocketAddr;

use starling_cql::protocol::{Event, EventKind, Request, Response, StatusChange, TopologyChange};
use starling_replication::ClusterEvent;

use super::{fake::created, raw::query, *};

fn address() -> SocketAddr {
    "127.0.0.3:9042".parse().unwrap()
}

async fn register(client: &mut Client, kinds: &[EventKind]) {
    let answer = client.ask(Request::Register(kinds.to_vec())).await;
    assert_eq!(answer.response, Response::Ready);
}

async fn event(client: &mut Client) -> Event {
    let (stream, frame) = client.receive().await.expect("the connection was closed");
    assert_eq!(stream, -1);
    match frame.response {
        Response::Event(event) => event,
        other => panic!("no event, but {other:?}"),
    }
}

#[tokio::test]
async fn every_kind_arrives() {
    let (server, fake) = server().await;
    let address = address();
    for version in BOTH {
        let mut client = open(&server, version).await;
        register(&mut client, &EventKind::ALL).await;
        for (told, expected) in [
            (
                ClusterEvent::Schema(created("nests")),
                Event::Schema(created("nests")),
            ),
            (
                ClusterEvent::NodeUp(address),
                Event::Status {
                    change: StatusChange::Up,
                    address,
                },
            ),
            (
                ClusterEvent::NodeDown(address),
                Event::Status {
                    change: StatusChange::Down,
                    address,
                },
            ),
            (
                ClusterEvent::NewNode(address),
                Event::Topology {
                    change: TopologyChange::NewNode,
                    address,
                },
            ),
            (
                ClusterEvent::RemovedNode(address),
                Event::Topology {
                    change: TopologyChange::RemovedNode,
                    address,
                },
            ),
        ] {
            fake.tell(&told);
            assert_eq!(event(&mut client).await, expected);
        }
        assert!(client.works().await);
    }
}

#[tokio::test]
async fn only_what_was_asked_for() {
    let (server, fake) = server().await;
    let mut client = open(&server, Version::V4).await;
    let mut deaf = open(&server, Version::V4).await;
    fake.tell(&ClusterEvent::Schema(created("before")));
    register(&mut client, &[EventKind::SchemaChange, EventKind::SchemaChange]).await;
    fake.tell(&ClusterEvent::NodeUp(address()));
    fake.tell(&ClusterEvent::Schema(created("after")));
    assert_eq!(event(&mut client).await, Event::Schema(created("after")));
    // A second REGISTER adds to the first.
    register(&mut client, &[EventKind::StatusChange]).await;
    fake.tell(&ClusterEvent::Schema(created("more")));
    assert_eq!(event(&mut client).await, Event::Schema(created("more")));
    assert!(deaf.works().await);
}

#[tokio::test]
async fn unknown_kinds_are_refused() {
    let (server, _) = server().await;
    let mut client = open(&server, Version::V4).await;
    client
        .send_raw(&[4, 0, 0, 1, 0x0b, 0, 0, 0, 6, 0, 1, 0, 2, b'N', b'O'])
        .await;
    assert!(client.error().await.2.contains("'NO' is not a known event"));
    assert!(client.works().await);
}

/// A client that lags is closed rather than left with a gap.
#[tokio::test]
async fn lagging_clients_are_closed() {
    let (server, fake) = server_with(Options {
        max_queued_events: 4,
        ..Options::default()
    })
    .await;
    let mut client = open(&server, Version::V5).await;
    register(&mut client, &[EventKind::SchemaChange]).await;
    // No await in between, so that nothing is taken off the queue.
    for _ in 0..20 {
        fake.tell(&ClusterEvent::Schema(created("many")));
    }
    assert!(client.receive().await.is_none());
    assert!(
        open(&server, Version::V5)
            .await
            .ask(query("void"))
            .await
            .trace
            .is_none()
    );
}

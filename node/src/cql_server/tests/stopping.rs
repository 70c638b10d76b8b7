//! The end of a listener.

use std::time::Duration;

use tokio::net::TcpStream;

use super::{raw::query, *};

const LONG: Duration = Duration::from_mins(1);

#[tokio::test]
async fn what_is_in_flight_is_answered() {
    let (server, fake) = server().await;
    let address = server.local_address();
    let mut busy = open(&server, Version::V5).await;
    let mut idle = open(&server, Version::V4).await;
    busy.push(1, query("gate"));
    busy.flush().await;
    while fake.gated().0 == 0 {
        tokio::task::yield_now().await;
    }
    let stopped = tokio::spawn(server.stop(LONG));
    assert!(idle.receive().await.is_none());
    assert!(!stopped.is_finished());
    fake.open_gate(1);
    assert_eq!(busy.receive().await.unwrap().0, 1);
    assert!(busy.receive().await.is_none());
    assert!(stopped.await.unwrap(), "everything ended in time");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_does_not_end_is_left_behind() {
    let (server, fake) = server().await;
    let mut busy = open(&server, Version::V4).await;
    busy.push(1, query("gate"));
    busy.flush().await;
    while fake.gated().0 == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!server.stop(Duration::from_millis(20)).await);
}

#[tokio::test]
async fn dropping_the_handle_stops_it_too() {
    let (server, _) = server().await;
    let mut client = open(&server, Version::V4).await;
    drop(server);
    assert!(client.receive().await.is_none());
}

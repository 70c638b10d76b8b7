//! Finding out at once that a peer's process is gone.
//!
//! UDP does not tell when the other side dies, and QUIC waits for its idle timeout. But the system of a
//! machine that runs answers a datagram to a port that nobody has with "port unreachable" (ICMP; RFC 1122,
//! section 4.1.3.1), and a *connected* UDP socket hears of it. So while a peer is silent although it is
//! asked something, a byte is sent to its port from such a socket. A peer that lives drops it: it is too
//! short for a QUIC packet. The same tells at once that there is nobody to connect to.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use quinn::Connection;
use tokio::net::UdpSocket;

use super::pending::Pending;

/// How often it is looked whether the peer is silent.
const INTERVAL: Duration = Duration::from_millis(100);

/// Ends, with the reason, when the peer's system says that nobody listens at its port although it was
/// connected. Never ends where the system can't tell.
pub(super) async fn port_closed(connection: &Connection, pending: &Pending) -> String {
    refusal(watch(connection, pending)).await
}

/// Ends, with the reason, when the system at an address says that nobody listens there. Never ends where
/// somebody does, or the system can't tell.
pub(super) async fn nobody_there(to: SocketAddr) -> String {
    refusal(knock(to)).await
}

async fn refusal(probing: impl Future<Output = io::Result<()>>) -> String {
    match probing.await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "nobody listens at its port".to_owned()
        }
        // No socket to be had, or no route: QUIC's own timeout finds out.
        _ => std::future::pending().await,
    }
}

async fn knock(to: SocketAddr) -> io::Result<()> {
    let socket = connect(to).await?;
    loop {
        probe(&socket).await?;
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn watch(connection: &Connection, pending: &Pending) -> io::Result<()> {
    let received = || connection.stats().udp_rx.datagrams;
    let mut before = received();
    let mut socket = None;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let now = received();
        if std::mem::replace(&mut before, now) == now && pending.is_waiting() {
            let socket = match &mut socket {
                Some(socket) => socket,
                None => socket.insert(connect(connection.remote_address()).await?),
            };
            probe(socket).await?;
        } else {
            socket = None;
        }
    }
}

/// Fails with `ConnectionRefused` if an answer to this probe, or an earlier one, says that the port is closed.
pub(super) async fn probe(socket: &UdpSocket) -> io::Result<()> {
    match socket.send(&[0]).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Err(error),
        _ => {}
    }
    let answer = tokio::time::timeout(INTERVAL / 2, socket.recv(&mut [0; 16])).await;
    match answer {
        Ok(Err(error)) => Err(error),
        _ => Ok(()),
    }
}

/// A socket that hears of the system's refusals.
pub(super) async fn connect(to: SocketAddr) -> io::Result<UdpSocket> {
    let from = match to {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(from).await?;
    socket.connect(to).await?;
    Ok(socket)
}

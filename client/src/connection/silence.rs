//! Notices that a node has fallen silent, before QUIC gives its connection up.
//!
//! While requests wait, the datagrams that come are counted every [`STEP`]. A node that lives lets some come: answers,
//! acknowledgements, and at the least the acknowledgement of a keep-alive. After [`PROBE_STEPS`] steps without any its port is tried: if
//! the machine says that nobody listens there, the process is gone, and the connection ends at once, as one of TCP would. Otherwise the
//! node may be paused or cut off. It counts as silent after [`SILENT_STEPS`], until something comes again: nothing ends, but what may be
//! sent twice goes to another node beside, and new requests go elsewhere.
//!
//! Steps are counted and not time, so that a client that was itself stopped for a while condemns nobody.

use std::{
    io::ErrorKind as Io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{net::UdpSocket, sync::watch, time};

use super::pending::{Pending, broken};

/// How often it is looked.
const STEP: Duration = Duration::from_millis(50);
/// So often a node that says nothing else is made to speak. Less than [`PROBE_STEPS`], so that only those that don't answer are probed.
pub(super) const KEEP_ALIVE: Duration = Duration::from_millis(200);
/// Steps without a datagram before the port is tried, and between tries.
const PROBE_STEPS: u32 = 6;
/// Steps without a datagram before the node counts as silent; more if it is far away.
const SILENT_STEPS: u32 = 8;
/// How long the machine has to say that nobody listens.
const REFUSAL: Duration = Duration::from_millis(50);

/// What to make of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verdict {
    silent: bool,
    probe: bool,
}

/// Counts steps in which nothing came.
#[derive(Debug)]
struct Hearing {
    datagrams: u64,
    quiet: u32,
}

impl Hearing {
    /// So many datagrams have come in all; an answer takes `round_trip`.
    fn step(&mut self, datagrams: u64, round_trip: Duration) -> Verdict {
        if self.datagrams == datagrams {
            self.quiet = self.quiet.saturating_add(1);
        } else {
            *self = Self { datagrams, quiet: 0 };
        }
        // A keep-alive that is lost is sent again after somewhat more than a round trip.
        let travel = (2 * round_trip).as_millis() / STEP.as_millis();
        let patience = SILENT_STEPS.saturating_add(u32::try_from(travel).unwrap_or(u32::MAX));
        Verdict {
            silent: self.quiet >= patience,
            probe: self.quiet > 0 && self.quiet.is_multiple_of(PROBE_STEPS),
        }
    }
}

/// Watches until the connection ends.
pub(super) async fn watch(
    address: SocketAddr,
    quic: quinn::Connection,
    pending: Arc<Pending>,
    silent: watch::Sender<bool>,
) {
    tokio::select! {
        _ = quic.closed() => {}
        () = listen(address, &quic, &pending, &silent) => {}
    }
}

/// Ends when the node's process is known to be gone.
async fn listen(
    address: SocketAddr,
    quic: &quinn::Connection,
    pending: &Pending,
    silent: &watch::Sender<bool>,
) {
    loop {
        pending.asked().await;
        let mut hearing = Hearing {
            datagrams: quic.stats().udp_rx.datagrams,
            quiet: 0,
        };
        while !pending.is_empty() || *silent.borrow() {
            time::sleep(STEP).await;
            let verdict = hearing.step(quic.stats().udp_rx.datagrams, quic.rtt());
            if silent.send_if_modified(|was| std::mem::replace(was, verdict.silent) != verdict.silent) {
                tracing::debug!(%address, silent = verdict.silent, "a node fell silent, or speaks again");
            }
            if verdict.probe && refuses(address).await {
                pending.fail(broken(address, "nothing listens there any more"));
                quic.close(1u32.into(), b"nothing listens there any more");
                return;
            }
        }
    }
}

/// Whether the machine at `address` lives and says that nobody listens there (ICMP: port unreachable). What can't be found out is no.
async fn refuses(address: SocketAddr) -> bool {
    let any: SocketAddr = if address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let tried = async {
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        // Too short for a packet of QUIC: who listens drops it.
        socket.send(&[0]).await?;
        socket.recv(&mut [0]).await
    };
    match time::timeout(REFUSAL, tried).await {
        Ok(Err(error)) => matches!(error.kind(), Io::ConnectionRefused | Io::ConnectionReset),
        Ok(Ok(_)) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Duration = Duration::from_millis(1);

    #[test]
    fn who_says_nothing_for_long_is_silent_until_something_comes() {
        let mut hearing = Hearing {
            datagrams: 7,
            quiet: 0,
        };
        let steps: Vec<Verdict> = (0..SILENT_STEPS).map(|_| hearing.step(7, NEAR)).collect();
        assert_eq!(steps.iter().filter(|step| step.silent).count(), 1);
        assert!(steps.last().unwrap().silent);
        let probes: Vec<usize> = (0..steps.len()).filter(|at| steps[*at].probe).collect();
        assert_eq!(probes, [PROBE_STEPS as usize - 1]);
        let heard = hearing.step(8, NEAR);
        assert!(!heard.silent && !heard.probe);
    }

    #[test]
    fn who_is_far_away_has_more_time() {
        let mut hearing = Hearing {
            datagrams: 0,
            quiet: 0,
        };
        let far = Duration::from_millis(300);
        let silent_after = (1..100).find(|_| hearing.step(0, far).silent).unwrap();
        assert_eq!(silent_after, SILENT_STEPS + 12);
        assert!(
            Hearing {
                datagrams: 0,
                quiet: u32::MAX
            }
            .step(0, NEAR)
            .silent
        );
    }

    #[test]
    fn a_keep_alive_is_answered_before_a_port_is_tried() {
        assert!(KEEP_ALIVE < STEP * PROBE_STEPS && PROBE_STEPS < SILENT_STEPS);
    }

    #[tokio::test]
    async fn a_port_that_nobody_has_refuses_and_one_in_use_does_not() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        assert!(!refuses(address).await);
        drop(socket);
        assert!(refuses(address).await);
    }
}

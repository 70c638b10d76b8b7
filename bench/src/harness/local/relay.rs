//! A relay for the datagrams between nodes, so that nodes can be cut off from one another without the system's packet
//! filter, which needs root.
//!
//! Each node tells the others the relay's address for it (`--advertise`) and listens at another. The relay hands on what
//! comes to the one to the other, over a socket of its own for each sender, and answers the way back. It knows nodes
//! by the address that they listen at, which they also send from. All others are clients: nothing cuts them off.
//!
//! A datagram takes twice the way, and the system does not tell a sender that nobody listens behind the relay. So a
//! cluster has a relay only if a partition is asked for.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket as SystemSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{net::UdpSocket, runtime::Handle, sync::oneshot};

/// The largest datagram of UDP over IPv4.
const MAX_DATAGRAM: usize = 65_507;

/// Senders that are told apart for each node; the datagrams of further ones are dropped.
const MAX_SENDERS: usize = 4096;

/// Nodes that a relay can know.
const MAX_NODES: usize = 256;

/// The relay. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Relay {
    handle: Handle,
    alone: Arc<Alone>,
    _ends_the_thread: oneshot::Sender<()>,
}

/// Which nodes are cut off from all others, by place: node1 has place 1.
#[derive(Debug)]
struct Alone {
    /// The port that nodes listen at, each on its own address.
    inner_port: u16,
    nodes: [AtomicBool; MAX_NODES],
}

impl Alone {
    /// The node that sends from an address: 127.0.0.N and the port that nodes have. `None`: a client.
    fn node_at(&self, sender: SocketAddr) -> Option<usize> {
        let SocketAddr::V4(address) = sender else {
            return None;
        };
        let [127, 0, 0, node] = address.ip().octets() else {
            return None;
        };
        (address.port() == self.inner_port).then_some(usize::from(node))
    }

    fn cuts(&self, sender: SocketAddr, node: usize) -> bool {
        let is_alone = |node: usize| self.nodes[node].load(Ordering::Relaxed);
        self.node_at(sender)
            .is_some_and(|sender| sender != node && (is_alone(sender) || is_alone(node)))
    }
}

impl Relay {
    /// A relay for nodes that listen at `inner_port` of their addresses.
    ///
    /// # Errors
    /// The system gives no thread, or no events.
    pub(super) fn start(inner_port: u16) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let handle = runtime.handle().clone();
        let (ends, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name("relay".into()).spawn(move || {
            // The sender's end is the sign.
            let _dropped = runtime.block_on(ended);
        })?;
        Ok(Self {
            handle,
            alone: Arc::new(Alone {
                inner_port,
                nodes: [const { AtomicBool::new(false) }; MAX_NODES],
            }),
            _ends_the_thread: ends,
        })
    }

    /// From here on hands on to `node`, which listens at `inner`, what comes to `outer`. Gives that, with the port that the system
    /// chose if it had none.
    ///
    /// # Errors
    /// `outer` can't be bound.
    pub(super) fn add(&self, node: u32, outer: SocketAddr, inner: SocketAddr) -> io::Result<SocketAddr> {
        let socket = SystemSocket::bind(outer)?;
        let outer = socket.local_addr()?;
        socket.set_nonblocking(true)?;
        let entered = self.handle.enter();
        let front = Arc::new(UdpSocket::from_std(socket)?);
        drop(entered);
        self.handle
            .spawn(hand_on(front, node as usize, inner, Arc::clone(&self.alone)));
        Ok(outer)
    }

    /// Cuts a node off from all others.
    pub(super) fn cut_off(&self, node: u32) {
        self.alone.nodes[node as usize].store(true, Ordering::Relaxed);
    }

    /// Lets all through again.
    pub(super) fn heal(&self) {
        for node in &self.alone.nodes {
            node.store(false, Ordering::Relaxed);
        }
    }
}

/// Hands on what comes to a node. Datagrams that can't be handed on are lost, as datagrams may be.
async fn hand_on(front: Arc<UdpSocket>, node: usize, inner: SocketAddr, alone: Arc<Alone>) {
    let mut ways: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let Ok((size, sender)) = front.recv_from(&mut buffer).await else {
            continue;
        };
        if alone.cuts(sender, node) {
            continue;
        }
        let way = match ways.get(&sender) {
            Some(way) => Arc::clone(way),
            None if ways.len() < MAX_SENDERS => match open(inner).await {
                Ok(way) => {
                    tokio::spawn(hand_back(
                        Arc::clone(&way),
                        Arc::clone(&front),
                        (sender, node),
                        Arc::clone(&alone),
                    ));
                    ways.insert(sender, Arc::clone(&way));
                    way
                }
                Err(_) => continue,
            },
            None => continue,
        };
        let _lost = way.send(&buffer[..size]).await;
    }
}

/// Hands a node's answers back to whom it answers.
async fn hand_back(
    way: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    (sender, node): (SocketAddr, usize),
    alone: Arc<Alone>,
) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        // An error says that the node does not listen now: it may again.
        let Ok(size) = way.recv(&mut buffer).await else {
            continue;
        };
        if !alone.cuts(sender, node) {
            let _lost = front.send_to(&buffer[..size], sender).await;
        }
    }
}

async fn open(inner: SocketAddr) -> io::Result<Arc<UdpSocket>> {
    let way = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    way.connect(inner).await?;
    Ok(Arc::new(way))
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket as SystemSocket, time::Duration};

    use super::Relay;

    /// A socket on an address, on a port of the system's choice if it is 0; `None` if the port is taken.
    fn socket(address: &str, port: u16) -> Option<SystemSocket> {
        let socket = SystemSocket::bind((address, port)).ok()?;
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a time limit");
        Some(socket)
    }

    /// The sockets of two nodes, with the same port on their addresses.
    fn nodes() -> (SystemSocket, SystemSocket) {
        loop {
            let second = socket("127.0.0.2", 0).expect("some port is free");
            let port = second.local_addr().expect("an address").port();
            if let Some(first) = socket("127.0.0.1", port) {
                return (first, second);
            }
        }
    }

    /// Sends words from `sender` and gives what `receiver` gets.
    fn pass(
        sender: &SystemSocket,
        receiver: &SystemSocket,
        to: std::net::SocketAddr,
        words: &[u8],
    ) -> Vec<u8> {
        sender.send_to(words, to).expect("it is sent");
        let mut buffer = [0; 100];
        let (size, from) = receiver.recv_from(&mut buffer).expect("it arrives");
        receiver.send_to(b"answer", from).expect("it is sent");
        buffer[..size].to_vec()
    }

    fn answer(socket: &SystemSocket) -> Vec<u8> {
        let mut buffer = [0; 100];
        let size = socket.recv(&mut buffer).expect("an answer");
        buffer[..size].to_vec()
    }

    #[test]
    fn a_node_is_cut_off_and_clients_are_not() {
        let (first, second) = nodes();
        let inner = second.local_addr().expect("an address");
        let client = socket("127.0.0.1", 0).expect("some port is free");
        let relay = Relay::start(inner.port()).expect("a relay");
        let any_port = "127.0.0.2:0".parse().expect("an address");
        let outer = relay.add(2, any_port, inner).expect("some port is free");
        assert_eq!(pass(&first, &second, outer, b"one"), b"one");
        assert_eq!(answer(&first), b"answer");
        relay.cut_off(2);
        first.send_to(b"lost", outer).expect("it is sent");
        // The relay takes the datagrams of one socket in their order: the client's comes after the lost one.
        assert_eq!(pass(&client, &second, outer, b"two"), b"two");
        assert_eq!(answer(&client), b"answer");
        relay.heal();
        assert_eq!(pass(&first, &second, outer, b"three"), b"three");
        assert_eq!(answer(&first), b"answer");
    }
}

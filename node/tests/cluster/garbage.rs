//! Bytes that make no sense, on every port.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
};

use crate::harness::{Cluster, PATIENCE, block_on};

/// The same bytes in every run (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// Sends bytes and takes what comes until the server closes the connection, or has no more to say.
fn throw(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    // The server may close while it is sent to: that is its right.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn a_node_shrugs_off_garbage() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    let before = node.status().unwrap();
    let mut noise = Noise(0x5EED);
    for round in 0..40 {
        throw(node.cql, &noise.bytes(1 + 97 * round));
        throw(node.admin, &noise.bytes(1 + 31 * round));
        // A header of the CQL protocol that promises 2 GiB, and little more.
        throw(node.cql, &[4, 0, 0, 0, 7, 0x7F, 0xFF, 0xFF, 0xFF, 1, 2, 3]);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for round in 0..3000 {
        let mut datagram = noise.bytes(1 + round % 1400);
        if round % 2 == 0 {
            // Looks like the first packet of a QUIC handshake.
            let start = [0xC3, 0, 0, 0, 1, 8];
            datagram.splice(0..0, start);
        }
        socket.send_to(&datagram, node.listen).unwrap();
    }
    block_on(async {
        let session = cluster.session(&[0]).await;
        let rows = session
            .query("SELECT cluster_name FROM system.local")
            .await
            .unwrap()
            .rows()
            .unwrap();
        assert_eq!(rows.first::<(String,)>().unwrap(), Some(("test".to_owned(),)));
    });
    let after = node.status().unwrap();
    assert_eq!(after.pid, before.pid);
    if let (Some(before), Some(after)) = (before.resident_bytes, after.resident_bytes) {
        assert!(
            after < before + (64 << 20),
            "memory went from {before} to {after} bytes"
        );
    }
}

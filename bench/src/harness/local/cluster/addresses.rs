//! Where the nodes are: node N at 127.0.0.N, with the same ports as all others.

use std::net::{Ipv4Addr, SocketAddr};

use crate::{cluster::free_ports, error::Error};

/// Addresses that are kept free for nodes that join later.
const MAY_JOIN: u32 = 8;

/// The ports of a cluster's nodes, each on its own address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    cql: u16,
    quic: u16,
    admin: u16,
    inner: u16,
}

impl Addresses {
    /// Takes ports that are free on the addresses of this many nodes and of some that may join.
    pub(super) fn free_for(nodes: u32) -> Result<Self, Error> {
        let [cql, quic, admin, inner] = free_ports(nodes + MAY_JOIN)?;
        Ok(Self {
            cql,
            quic,
            admin,
            inner,
        })
    }

    /// The address itself.
    pub(super) fn ip(node: u32) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 0, node as u8)
    }

    pub(super) fn cql(self, node: u32) -> SocketAddr {
        at(node, self.cql)
    }

    /// Where others reach the node by QUIC.
    pub(super) fn quic(self, node: u32) -> SocketAddr {
        at(node, self.quic)
    }

    pub(super) fn admin(self, node: u32) -> SocketAddr {
        at(node, self.admin)
    }

    /// Where the node itself listens, if there is a relay before it.
    pub(super) fn inner(self, node: u32) -> SocketAddr {
        at(node, self.inner)
    }

    /// The port of [`Self::inner`], which all nodes have.
    pub(super) fn inner_port(self) -> u16 {
        self.inner
    }
}

fn at(node: u32, port: u16) -> SocketAddr {
    SocketAddr::from((Addresses::ip(node), port))
}

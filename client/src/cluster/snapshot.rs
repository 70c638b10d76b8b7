//! The ring as last learnt: an immutable value that requests route by.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use starling_cql::native::{Topology, TopologyNode};
use starling_model::{NodeId, Token};
use starling_ring::{Member, Partitioner, Placement, Ring, Strategy};

use super::node::Node;

/// A member and its connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) node: Arc<Node>,
    pub(crate) datacenter: String,
    pub(crate) up: bool,
}

/// The cluster as last learnt.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) topology: Arc<Topology>,
    pub(crate) peers: Vec<Peer>,
    by_id: HashMap<NodeId, usize>,
    /// `None` for a partitioner that this client doesn't know: requests then go to any node.
    partitioner: Option<Partitioner>,
    placements: HashMap<String, Placement>,
    /// Nodes that were given as contacts and that the topology knows under other addresses.
    pub(crate) contacts: Vec<Arc<Node>>,
}

impl Snapshot {
    /// Makes a snapshot of `topology`; `node` gives the node at an address, new or known.
    pub(crate) fn new(
        topology: Topology,
        contacts: &[Arc<Node>],
        mut node: impl FnMut(SocketAddr) -> Arc<Node>,
    ) -> Self {
        let peers: Vec<Peer> = topology
            .nodes
            .iter()
            .map(|member| Peer {
                node: node(member.address),
                datacenter: member.datacenter.clone(),
                up: member.up,
            })
            .collect();
        let by_id = topology
            .nodes
            .iter()
            .enumerate()
            .map(|(at, member)| (member.id, at))
            .collect();
        let partitioner = topology.partitioner.parse().ok();
        let placements = partitioner
            .map(|partitioner| placements(partitioner, &topology))
            .unwrap_or_default();
        let contacts = contacts
            .iter()
            .filter(|contact| !peers.iter().any(|peer| peer.node.address() == contact.address()))
            .cloned()
            .collect();
        Self {
            topology: Arc::new(topology),
            peers,
            by_id,
            partitioner,
            placements,
            contacts,
        }
    }

    /// A cluster of which nothing is known but where to ask.
    pub(crate) fn unknown(contacts: Vec<Arc<Node>>) -> Self {
        let topology = Topology {
            cluster: String::new(),
            partitioner: String::new(),
            nodes: Vec::new(),
            keyspaces: Vec::new(),
        };
        Self::new(topology, &contacts, |_| unreachable!("no members"))
    }

    /// The token of a serialized partition key.
    pub(crate) fn token(&self, key: &[u8]) -> Option<Token> {
        self.partitioner.map(|partitioner| partitioner.token(key))
    }

    /// The replicas of a token in a keyspace, as indexes of `peers`, in ring order.
    pub(crate) fn replicas(&self, keyspace: &str, token: Token) -> impl Iterator<Item = usize> + '_ {
        self.placements
            .get(keyspace)
            .map(|placement| placement.replicas(token))
            .unwrap_or_default()
            .iter()
            .filter_map(|id| self.by_id.get(id).copied())
    }

    /// The member at an address.
    pub(crate) fn member(&self, address: SocketAddr) -> Option<&TopologyNode> {
        self.topology
            .nodes
            .iter()
            .find(|member| member.address == address)
    }
}

fn placements(partitioner: Partitioner, topology: &Topology) -> HashMap<String, Placement> {
    let members = topology
        .nodes
        .iter()
        .map(|node| Member {
            id: node.id,
            datacenter: node.datacenter.clone(),
            rack: node.rack.clone(),
            tokens: node.tokens.iter().copied().map(Token).collect(),
        })
        .collect();
    let ring = Ring::new(partitioner, members);
    let mut placements = HashMap::new();
    for (keyspace, options) in &topology.keyspaces {
        let class = options
            .iter()
            .find(|(name, _)| name == "class")
            .map_or("", |(_, class)| class.as_str());
        let pairs = options
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        match Strategy::parse(class, pairs) {
            // Every node is its own replica: nothing to route by.
            Ok(Strategy::Local) => {}
            Ok(strategy) => {
                placements.insert(keyspace.clone(), ring.placement(&strategy));
            }
            Err(error) => {
                tracing::debug!(keyspace, %error, "requests to this keyspace are not routed by token");
            }
        }
    }
    placements
}

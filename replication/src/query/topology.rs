//! What clients and operators are told of the ring.

use std::collections::BTreeMap;

use starling_cql::{
    describe::ClusterInfo,
    native::{Topology, TopologyNode},
};
use starling_model::NodeId;
use starling_ring::Ring;

use crate::{
    env::Env,
    membership::uuid_text,
    node::Node,
    status::{DepartedStatus, MemberStatus, NodeStatus, Owners},
};

impl<E: Env> Node<E> {
    pub(crate) fn native_topology(&self) -> Topology {
        let snapshot = self.views.load();
        let nodes = snapshot
            .cluster
            .joined()
            .filter_map(|peer| {
                Some(TopologyNode {
                    id: peer.id,
                    address: peer.address,
                    cql_address: peer.cql?,
                    datacenter: peer.datacenter.clone(),
                    rack: peer.rack.clone(),
                    tokens: peer.tokens.iter().map(|token| token.0).collect(),
                    up: peer.alive,
                })
            })
            .collect();
        let keyspaces = snapshot
            .schema
            .keyspaces()
            .map(|keyspace| {
                (
                    keyspace.name.clone(),
                    keyspace.replication.map().into_iter().collect(),
                )
            })
            .collect();
        Topology {
            cluster: self.config.cluster.clone(),
            partitioner: self.config.partitioner.name().to_owned(),
            nodes,
            keyspaces,
        }
    }

    /// Who holds what of the keyspaces that users made, by name, as this node plans requests by it.
    pub fn owners(&self) -> BTreeMap<String, Owners> {
        let snapshot = self.views.load();
        let keyspaces = snapshot.schema.keyspaces();
        let users = keyspaces.filter(|keyspace| !keyspace.is_system());
        let placed = users.filter_map(|keyspace| {
            let placements = snapshot.placements(&keyspace.name).ok()?;
            let owners = Owners {
                ring: snapshot.cluster.stamp,
                current: placements.current.clone(),
                next: placements.next.clone(),
            };
            Some((keyspace.name.clone(), owners))
        });
        placed.collect()
    }

    pub(crate) fn node_status(&self) -> NodeStatus {
        let snapshot = self.views.load();
        let shares = ownership(&snapshot.cluster.ring);
        let hints = self.hints.kept();
        let departed = hints
            .iter()
            .filter(|(id, _)| !snapshot.cluster.peers.contains_key(id))
            .map(|(id, bytes)| DepartedStatus {
                id: *id,
                hint_bytes: *bytes,
            })
            .collect();
        let members = snapshot
            .cluster
            .peers
            .values()
            .map(|peer| MemberStatus {
                id: peer.id,
                address: peer.address,
                cql_address: peer.cql,
                datacenter: peer.datacenter.clone(),
                rack: peer.rack.clone(),
                up: peer.alive,
                joined: peer.joined,
                tokens: peer.tokens.len(),
                ownership: shares.get(&peer.id).copied().unwrap_or(0.0),
                schema_version: peer.schema_version.map(uuid_text),
                release: peer.release.clone(),
                hint_bytes: hints.get(&peer.id).copied().unwrap_or(0),
            })
            .collect();
        let trees = self.anti_entropy.trees();
        NodeStatus {
            divergence: self.anti_entropy.divergence(),
            tree_leaves: trees.leaves,
            tree_changed: trees.changed,
            tree_bytes: trees.bytes,
            id: self.id,
            cluster: self.config.cluster.clone(),
            partitioner: self.config.partitioner.name().to_owned(),
            release: self.config.release.clone(),
            ready: self.is_ready(),
            schema_version: uuid_text(snapshot.schema.version()),
            schema_agreed: self.membership.agrees_on_schema(),
            members_stored: self.membership.are_members_stored() && self.ring_changes.is_stored(),
            members,
            hint_bytes: hints.values().sum(),
            departed,
            in_flight: self.coordinated.inside(),
            damage: self.coordinator.waiting.status(),
            streams: self.streaming.status(),
            counters: self.counters.values(),
        }
    }

    /// What DESCRIBE CLUSTER shows. With a keyspace that is replicated, who holds which range.
    pub(crate) fn cluster_info(&self, keyspace: Option<&str>) -> ClusterInfo {
        let snapshot = self.views.load();
        let placement = keyspace.and_then(|keyspace| snapshot.placement(keyspace).ok());
        let range_ownership = placement.map_or_else(Vec::new, |placement| {
            placement
                .ranges()
                .filter(|(_, replicas)| !replicas.is_empty())
                .map(|(range, replicas)| {
                    let addresses = snapshot
                        .peers_of(replicas)
                        .iter()
                        .map(|peer| peer.cql.unwrap_or(peer.address).ip().to_string())
                        .collect();
                    (range.end.to_string(), addresses)
                })
                .collect()
        });
        ClusterInfo {
            cluster: self.config.cluster.clone(),
            partitioner: self.config.partitioner.name().to_owned(),
            snitch: "GossipingPropertyFileSnitch".to_owned(),
            range_ownership,
        }
    }
}

/// The share of the token space whose first replica each node is.
fn ownership(ring: &Ring) -> BTreeMap<NodeId, f64> {
    let tokens: Vec<_> = ring.tokens().collect();
    let mut shares: BTreeMap<NodeId, f64> = BTreeMap::new();
    for (at, (token, owner)) in tokens.iter().enumerate() {
        let before = tokens[(at + tokens.len() - 1) % tokens.len()].0;
        // The arc from the token before to this one, around the ring; a single token owns all of it.
        let width = (token.0.wrapping_sub(before.0)) as u64;
        let share = if tokens.len() == 1 {
            1.0
        } else {
            width as f64 / 2f64.powi(64)
        };
        *shares.entry(*owner).or_default() += share;
    }
    shares
}

//! The order in which nodes are tried.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use starling_cql::native::{Topology, TopologyNode};
use starling_model::NodeId;
use tokio::sync::broadcast;

use super::{
    node::Node,
    route::{Target, plan},
    snapshot::Snapshot,
};
use crate::{
    connection::{Dialer, Limits},
    tls::{Tls, Trust},
};

fn address(last: u8) -> SocketAddr {
    // Port 9 of loopback: nothing listens there, and nothing is sent but a few handshakes.
    ([127, 0, 0, last], 9).into()
}

/// Nodes 1 and 2 in dc1, 3 and 4 in dc2, each with one token.
fn snapshot(down: &[u8]) -> Snapshot {
    let limits = Limits {
        in_flight: 1,
        timeout: Duration::from_millis(1),
    };
    let dialer = Arc::new(Dialer::new(
        Tls::new(Trust::Anyone).unwrap(),
        limits,
        broadcast::channel(1).0,
    ));
    let nodes = (1..=4u8).map(|number| TopologyNode {
        id: NodeId(number.into()),
        address: address(number),
        cql_address: address(number),
        datacenter: if number <= 2 { "dc1" } else { "dc2" }.to_owned(),
        rack: "r1".to_owned(),
        tokens: vec![i64::from(number) * 100],
        up: !down.contains(&number),
    });
    let options = [("class", "NetworkTopologyStrategy"), ("dc1", "1"), ("dc2", "1")];
    let topology = Topology {
        cluster: "test".to_owned(),
        partitioner: starling_ring::Partitioner::Murmur3.name().to_owned(),
        nodes: nodes.collect(),
        keyspaces: vec![(
            "ks".to_owned(),
            options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )],
    };
    Snapshot::new(topology, &[], |address| Node::start(address, Arc::clone(&dialer)))
}

fn order(snapshot: &Snapshot, local: Option<&str>, partition: Option<(&str, i64)>, turn: usize) -> Vec<u8> {
    let partition = partition.map(|(keyspace, token)| (keyspace, starling_model::Token(token)));
    plan(snapshot, local, Target { partition }, turn)
        .iter()
        .map(|node| match node.address().ip() {
            std::net::IpAddr::V4(ip) => ip.octets()[3],
            std::net::IpAddr::V6(_) => unreachable!("all addresses are v4"),
        })
        .collect()
}

#[tokio::test]
async fn replicas_come_first_and_the_own_datacenter_before_others() {
    let snapshot = snapshot(&[]);
    // Token 150 belongs to node 2, and in dc2 to node 3.
    assert_eq!(order(&snapshot, Some("dc1"), Some(("ks", 150)), 0), [2, 3, 1, 4]);
    assert_eq!(order(&snapshot, Some("dc2"), Some(("ks", 150)), 0), [3, 2, 4, 1]);
    assert_eq!(order(&snapshot, None, Some(("ks", 150)), 0), [2, 3, 1, 4]);
}

#[tokio::test]
async fn without_a_partition_load_is_spread() {
    let snapshot = snapshot(&[]);
    assert_eq!(order(&snapshot, Some("dc1"), None, 0), [1, 2, 3, 4]);
    assert_eq!(order(&snapshot, Some("dc1"), None, 1), [2, 1, 4, 3]);
    assert_eq!(
        order(&snapshot, Some("dc1"), Some(("unknown", 150)), 2),
        [1, 2, 3, 4]
    );
}

#[tokio::test]
async fn nodes_that_are_down_come_last() {
    let snapshot = snapshot(&[2]);
    assert_eq!(order(&snapshot, Some("dc1"), Some(("ks", 150)), 0), [3, 1, 4, 2]);
}

//! In which order nodes are tried.
//!
//! First the replicas of the token in the client's own datacenter, then replicas elsewhere, then other
//! nodes of the own datacenter, then the rest; of each, those that are said to be up first. Within a class
//! the start rotates from request to request, so that load spreads.

use std::sync::Arc;

use starling_model::Token;

use super::{node::Node, snapshot::Snapshot};

/// What routing needs to know of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Target<'a> {
    /// The keyspace and the token of the partition, where both are known.
    pub(crate) partition: Option<(&'a str, Token)>,
}

/// The nodes to try, best first, each once.
pub(crate) fn plan(
    snapshot: &Snapshot,
    local: Option<&str>,
    target: Target<'_>,
    turn: usize,
) -> Vec<Arc<Node>> {
    let mut replica = vec![false; snapshot.peers.len()];
    if let Some((keyspace, token)) = target.partition {
        for index in snapshot.replicas(keyspace, token) {
            replica[index] = true;
        }
    }
    let mut classes: [Vec<usize>; 5] = Default::default();
    for (index, peer) in snapshot.peers.iter().enumerate() {
        let is_local = local.is_none_or(|local| local == peer.datacenter);
        let class = match (peer.up, replica[index], is_local) {
            (false, _, _) => 4,
            (true, true, true) => 0,
            (true, true, false) => 1,
            (true, false, true) => 2,
            (true, false, false) => 3,
        };
        classes[class].push(index);
    }
    let mut order = Vec::with_capacity(snapshot.peers.len() + snapshot.contacts.len());
    for mut class in classes {
        if !class.is_empty() {
            let by = turn % class.len();
            class.rotate_left(by);
        }
        order.extend(
            class
                .into_iter()
                .map(|index| Arc::clone(&snapshot.peers[index].node)),
        );
    }
    order.extend(snapshot.contacts.iter().cloned());
    order
}

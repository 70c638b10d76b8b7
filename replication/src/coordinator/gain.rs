//! What this node gains by a change of the ring, fetched from those who have it.
//!
//! Invariant: what a quorum of the old replicas holds, a quorum of the new ones holds afterwards. Each node that gains
//! an arc is paired with one that loses it, in its datacenter, and fetches from *that* one: so of every set of old
//! replicas that holds a write, as many new ones do. Where nobody loses the arc, or who does is dead, enough of
//! the others are read that they overlap with every quorum.

use std::{collections::BTreeMap, sync::Arc};

use starling_model::{NodeId, TokenRange};

use super::Coordinator;
use crate::{
    env::Env,
    snapshot::{Cluster, Peer, Snapshot},
    topology::quorum::ReplicaSets,
};

/// Where an arc that is gained comes from.
struct Source {
    tokens: TokenRange,
    /// Who may be read, and how many of them are.
    peers: Vec<Arc<Peer>>,
    needed: usize,
}

impl<E: Env> Coordinator<E> {
    /// Fetches all that this node gains by the change of this id, of all tables that it knows.
    pub(crate) async fn fetch_gains(&self, change: u128) -> Result<(), String> {
        let snapshot = self.views.load();
        let under_way = snapshot.cluster.change.as_ref();
        if under_way.is_none_or(|(under_way, _)| under_way.id != change) {
            return Err("the change is not known here any more".to_owned());
        }
        for table in snapshot.schema.all_tables() {
            let placements = snapshot
                .placements(&table.keyspace)
                .map_err(|error| error.message)?;
            for (tokens, sets) in placements.ranges() {
                let Some(source) = source(&snapshot, tokens, &sets)? else {
                    continue;
                };
                self.fetch(table.id, source.tokens, &source.peers, source.needed)
                    .await
                    .map_err(|problem| format!("{problem} (tokens {tokens} of {})", table.name))?;
            }
        }
        Ok(())
    }
}

/// Where this node gets an arc from; `None` if it does not gain it.
fn source(snapshot: &Snapshot, tokens: TokenRange, sets: &ReplicaSets) -> Result<Option<Source>, String> {
    let cluster = &snapshot.cluster;
    let Some(next) = &sets.next else { return Ok(None) };
    if sets.current.contains(&cluster.me) || !next.contains(&cluster.me) {
        return Ok(None);
    }
    let dead = cluster
        .change
        .as_ref()
        .map(|(change, _)| change.kind.dead())
        .unwrap_or_default();
    let loser = paired_loser(cluster, &sets.current, next).filter(|id| !dead.contains(id));
    if let Some(loser) = loser.and_then(|id| cluster.peers.get(&id)) {
        if !loser.alive {
            return Err(format!(
                "node {} is down, whose data this node takes over",
                loser.address
            ));
        }
        return Ok(Some(Source {
            tokens,
            peers: vec![Arc::clone(loser)],
            needed: 1,
        }));
    }
    let mut peers = snapshot.peers_of(&sets.current);
    let total = peers.len();
    peers.retain(|peer| !dead.contains(&peer.id));
    // Of those that are gone for good nothing can be had: the others are read, all of them if need be.
    let needed = peers.len().min(total / 2 + 1);
    peers.retain(|peer| peer.alive);
    if peers.len() < needed {
        return Err("too few other replicas are alive".to_owned());
    }
    if needed == 0 {
        ::tracing::error!(%tokens, "all replicas of these tokens are gone for good, and their data with them");
        return Ok(None);
    }
    Ok(Some(Source {
        tokens,
        peers,
        needed,
    }))
}

/// The node that loses the arc that this node gains: both sorted within their datacenter, the n-th of the one to the
/// n-th of the other.
fn paired_loser(cluster: &Cluster, current: &[NodeId], next: &[NodeId]) -> Option<NodeId> {
    let datacenter = |id: &NodeId| cluster.peers.get(id).map(|peer| peer.datacenter.clone());
    let only = |of: &[NodeId], others: &[NodeId]| {
        let mut by_datacenter: BTreeMap<Option<String>, Vec<NodeId>> = BTreeMap::new();
        for id in of.iter().filter(|id| !others.contains(id)) {
            by_datacenter.entry(datacenter(id)).or_default().push(*id);
        }
        for ids in by_datacenter.values_mut() {
            ids.sort_unstable();
        }
        by_datacenter
    };
    let mine = datacenter(&cluster.me);
    let gainers = only(next, current);
    let at = gainers.get(&mine)?.iter().position(|id| *id == cluster.me)?;
    only(current, next).get(&mine)?.get(at).copied()
}

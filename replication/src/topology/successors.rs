//! Dead nodes whose places others wait to take.
//!
//! Who is started with `--replace` says with it that a node is dead for good, and tells everybody by gossip for as long as it waits.
//! Where several have died each successor speaks for one of them. None could come in if its change waited for the other
//! dead: so a change that takes dead nodes out does without those, too, whose successors wait. `ALGORITHM.md`
//! says why nothing is lost by it.

use std::collections::BTreeSet;

use starling_model::NodeId;

use super::{Change, ChangeError, ChangeKind, RingState, Topology};
use crate::{
    env::Env,
    placements::Strategies,
    snapshot::{Peer, Snapshot},
    streaming::plan::{Gain, Rings, Way},
};

impl<E: Env> Topology<E> {
    /// The nodes that are dead as far as this node knows, and have a successor that is alive and waits.
    pub(super) fn succeeded(&self) -> BTreeSet<NodeId> {
        let snapshot = self.views.load();
        let waiting = snapshot.cluster.peers.values().filter(|peer| waits(peer));
        let succeeded = waiting.filter_map(|peer| peer.replaces);
        succeeded.filter(|dead| !is_alive(&snapshot, *dead)).collect()
    }

    /// Whether an operator has said that a node is dead for good: it is being removed or replaced, was lost in the midst of a change,
    /// or has a successor that waits.
    pub(crate) fn is_dead_for_good(&self, id: NodeId) -> bool {
        let state = self.book.load();
        let named = state.change().is_some_and(|change| change.dead().contains(&id));
        named || state.refused_since(id).is_some() || self.succeeded().contains(&id)
    }

    /// Who is dead for good besides those whom a change takes out of the ring: it need not wait for them. Other changes
    /// wait until they are out.
    pub(super) fn lost_before(&self, state: &RingState, kind: &ChangeKind) -> BTreeSet<NodeId> {
        if !matches!(kind, ChangeKind::Replace { .. } | ChangeKind::Remove(_)) {
            return BTreeSet::new();
        }
        let snapshot = self.views.load();
        let (named, succeeded) = (kind.dead(), self.succeeded());
        let is_lost = |id: &NodeId| succeeded.contains(id) || state.refused_since(*id).is_some();
        let members = state.members().into_iter().map(|member| member.id);
        members
            .filter(|id| !named.contains(id) && !is_alive(&snapshot, *id) && is_lost(id))
            .collect()
    }

    /// Nobody gives data away for one that is dead already: nobody would have it then. What such a one gains otherwise its
    /// successor fetches, as it fetches the rest.
    pub(super) fn check_heirs(&self, change: &Change) -> Result<(), ChangeError> {
        if change.lost.is_empty() {
            return Ok(());
        }
        let snapshot = self.views.load();
        let rings = Rings::through(&snapshot.cluster.ring, &change.kind, change.dead());
        for keyspace in snapshot.schema.keyspaces() {
            let Some(strategies) = Strategies::through(&snapshot, &change.kind, &keyspace.name) else {
                continue;
            };
            let given = |gain: &Gain| matches!(gain.way, Way::Partner(_)) && change.lost.contains(&gain.node);
            if let Some(gain) = rings.gains(&strategies).into_iter().find(given) {
                return Err(ChangeError::Refused(format!(
                    "node {} is dead too, and would take over data of keyspace {}; take all dead nodes out at once \
                     (`starling remove`), or start their successors in the racks of those whose places they take",
                    gain.node, keyspace.name
                )));
            }
        }
        Ok(())
    }
}

/// Whether a peer is started to take a dead one's place, and has not come in yet.
fn waits(peer: &Peer) -> bool {
    peer.alive && !peer.joined && peer.replaces.is_some()
}

fn is_alive(snapshot: &Snapshot, id: NodeId) -> bool {
    snapshot.cluster.peers.get(&id).is_some_and(|peer| peer.alive)
}

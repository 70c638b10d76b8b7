//! What one living node believes.

use std::{collections::BTreeMap, sync::Arc};

use starling_model::NodeId;
use starling_replication::{
    Node, Owners,
    topology::{RingState, Stamp},
};

use crate::env::SimEnv;

/// The ring that a node knows, and the owners that it plans requests by.
#[derive(Debug, Clone)]
pub(super) struct Belief {
    /// The machine.
    pub(super) number: usize,
    pub(super) id: NodeId,
    pub(super) state: Arc<RingState>,
    pub(super) stamp: Stamp,
    /// By keyspace.
    pub(super) owners: BTreeMap<String, Owners>,
}

impl Belief {
    /// What a node believes now; `last` is what it believed before.
    pub(super) fn of(number: usize, id: NodeId, node: &Node<SimEnv>, last: Option<&Self>) -> Self {
        let state = node.ring_state();
        // A stamp is a hash over all members.
        let known = last.filter(|last| Arc::ptr_eq(&last.state, &state));
        let stamp = known.map_or_else(|| state.stamp(), |last| last.stamp);
        Self {
            number,
            id,
            state,
            stamp,
            owners: node.owners(),
        }
    }

    /// Whether it coordinates clients' requests on its ring.
    pub(super) fn plans(&self) -> bool {
        self.state.serves(self.id)
    }

    /// Whether it would carry out a request that was planned on this ring.
    pub(super) fn would_let_in(&self, planned: Stamp) -> bool {
        self.stamp.digest == planned.digest || self.stamp.epoch < planned.epoch
    }
}

//! A node, as another one knows it.

use std::{collections::BTreeMap, net::SocketAddr};

use starling_model::NodeId;

use crate::state::{StateKey, Versioned, status};

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which node.
    pub id: NodeId,
    /// Where it is reached.
    pub address: SocketAddr,
    /// Which start of its process this is about.
    pub generation: u64,
    /// Everything the node said up to this version is known. Its heartbeat: it grows with each of its rounds.
    pub version: u64,
    /// Whether it is believed to be alive.
    pub alive: bool,
    /// What it says about itself.
    pub states: BTreeMap<StateKey, Versioned>,
}

impl Member {
    /// The value of a state.
    pub fn get(&self, key: StateKey) -> Option<&str> {
        self.states.get(&key).map(|state| state.value.as_str())
    }

    /// Whether it is gone for good: it left, or others removed it.
    pub fn is_departed(&self) -> bool {
        matches!(self.get(StateKey::Status), Some(status::LEFT | status::REMOVED))
    }

    /// Whether others removed it.
    pub fn is_removed(&self) -> bool {
        self.get(StateKey::Status) == Some(status::REMOVED)
    }

    /// Whether it announced that its process ends.
    pub fn is_shut_down(&self) -> bool {
        self.get(StateKey::Status) == Some(status::SHUTDOWN)
    }
}

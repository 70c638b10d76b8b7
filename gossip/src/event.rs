//! What the caller hears of.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};
use starling_model::NodeId;

use crate::state::StateKey;

/// Something changed in what is known of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A member that was unknown. Whether it is alive is not known yet: `Up` follows if it is.
    Joined(NodeId),
    /// A member is alive.
    Up(NodeId),
    /// A member's silence is too surprising: it is asked, and others are asked about it. `Down` follows if nobody
    /// hears of it; until then it counts as alive.
    Suspected(NodeId),
    /// A member is not alive any more.
    Down(NodeId),
    /// A member's process started anew; its states and perhaps its address are new.
    Restarted(NodeId),
    /// A member's state has a new value.
    Changed(NodeId, StateKey),
    /// A member that left or was removed is forgotten, its quarantine being over.
    Forgotten(NodeId),
    /// The others removed this node: it is no part of the cluster any more and must stop.
    Expelled,
    /// A node sent a message and was refused. Nothing of it was taken over.
    Refused {
        /// Where it came from.
        from: SocketAddr,
        /// Why.
        reason: Refusal,
    },
    /// A node refused this node's message.
    RefusedBy {
        /// Who.
        from: SocketAddr,
        /// Why.
        reason: Refusal,
    },
    /// Events were not taken in time and are lost: look at all members anew.
    Missed,
}

/// Why two nodes don't talk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// They are of different clusters.
    Cluster {
        /// The refusing node's.
        expected: String,
        /// The other's.
        found: String,
    },
    /// They place keys by different partitioners.
    Partitioner {
        /// The refusing node's.
        expected: String,
        /// The other's.
        found: String,
    },
    /// They claim to be the same node.
    SameId(NodeId),
    /// The message breaks the protocol.
    Malformed(String),
    /// The sender was removed from the cluster.
    Removed(NodeId),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster { expected, found } => write!(
                f,
                "the node belongs to cluster '{found}', not to '{expected}'; check its cluster name and seeds"
            ),
            Self::Partitioner { expected, found } => write!(
                f,
                "the node uses partitioner {found}, the cluster uses {expected}; it is fixed when a cluster is created"
            ),
            Self::SameId(id) => write!(
                f,
                "two processes run as node {id}; stop one (was a data directory copied?)"
            ),
            Self::Removed(id) => write!(
                f,
                "node {id} was removed from the cluster; start it anew with an empty data directory"
            ),
            Self::Malformed(what) => write!(f, "a malformed gossip message: {what}"),
        }
    }
}

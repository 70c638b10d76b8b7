//! What nodes say to each other about the ring.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use starling_model::{NodeId, Timestamp};

use super::Change;

/// A request about the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopologyRequest {
    /// Send the ring state.
    Pull,
    /// Promise to take no other change for a while. Sent with the ring state that the change is made on.
    Grant {
        /// The change.
        change: Box<Change>,
        /// The state.
        state: Bytes,
    },
    /// The change of this id does not begin: forget the promise.
    Release(u128),
    /// Learn this ring state. The answer comes once it is durable and no request is under way that was planned on
    /// an older one.
    Push(Bytes),
    /// Fetch what this node gains by the change of this id. The answer may come before all is there; ask again.
    Fetch(u128),
    /// Give the change of this id up: to its coordinator.
    Abort(u128),
    /// An operator says that these nodes are dead for good: are they, as far as the one that is asked knows?
    Lost(BTreeSet<NodeId>),
    /// The same of one node, whose place the sender is to take: end the change that waits for it. The answer may come before
    /// it has ended; ask again.
    End(NodeId),
}

/// The answer to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopologyResponse {
    /// The ring state. To a grant: it is not given, for the ring is another one by now.
    State(Bytes),
    /// The promise is given.
    Granted,
    /// Another change is under way, or about to begin.
    Busy {
        /// What it does.
        what: String,
        /// Since when.
        since: Timestamp,
    },
    /// Not now: the reason passes by itself.
    NotYet(String),
    /// Not at all.
    Refused(String),
    /// All that the node gains is there.
    Fetched,
    /// Not all is there yet. With a problem, if there is one; it is tried again.
    Fetching(Option<String>),
    /// Done, or begun.
    Done,
}

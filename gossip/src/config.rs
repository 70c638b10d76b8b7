//! Settings of the state machine, and who it speaks for.

use std::{net::SocketAddr, time::Duration};

use starling_model::NodeId;

/// How a node gossips. All nodes of a cluster must agree on `cluster` and `partitioner`; the rest may differ.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cluster's name. A node of another cluster is refused.
    pub cluster: String,
    /// The partitioner's name. A node with another one is refused: it would misplace every key.
    pub partitioner: String,
    /// How often [`crate::Gossip::tick`] is called, about.
    pub interval: Duration,
    /// How many live peers a round talks to.
    pub fanout: usize,
    /// A member is taken for dead once its phi is above this. 8 means: a wrong verdict in 10^8, if
    /// arrivals go on as they did.
    pub phi_threshold: f64,
    /// What the interval between two heartbeats of a new member is expected to be, until it is known.
    pub first_interval: Duration,
    /// Silence beyond the mean that says nothing yet: pauses, load, lost messages.
    pub tolerated_pause: Duration,
    /// After [`crate::Gossip::report_failure`], for how long what others say of the member is no proof of
    /// life: old heartbeats still go around. What it says itself always is.
    pub doubt: Duration,
    /// How long a member that left or was removed is remembered as such, and for how long after that its
    /// old states are refused: longer than any node that still believes in it may be away.
    pub quarantine: Duration,
    /// The most digests in one message, besides those of fresh changes. What is sent in a round does not grow
    /// with the cluster beyond it.
    pub max_digests: usize,
    /// How many others are asked to probe a silent member before it is taken for dead.
    pub witnesses: usize,
    /// The largest message, in bytes of MessagePack; at least [`crate::message::MIN_MESSAGE_BYTES`].
    pub max_message_bytes: usize,
    /// The most members, this node included. What goes beyond is ignored.
    pub max_members: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: "starling".to_owned(),
            partitioner: "org.apache.cassandra.dht.Murmur3Partitioner".to_owned(),
            interval: Duration::from_secs(1),
            fanout: 3,
            phi_threshold: 8.0,
            first_interval: Duration::from_secs(2),
            tolerated_pause: Duration::from_secs(2),
            doubt: Duration::from_secs(10),
            quarantine: Duration::from_hours(72),
            max_digests: 256,
            witnesses: 3,
            max_message_bytes: 60 << 10,
            max_members: 16_384,
        }
    }
}

/// Which node this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its id, for all time.
    pub id: NodeId,
    /// Where its peers reach it.
    pub address: SocketAddr,
    /// Which start of the process this is: larger at each. The wall clock in seconds or milliseconds is a
    /// good one; if it went back, the node hears of its former generation and goes beyond it.
    pub generation: u64,
}

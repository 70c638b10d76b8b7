//! What a node is told when it starts.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use starling_ring::Partitioner;

use crate::budget::Budget;

/// A node's settings. [`Config::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cluster's name: nodes of another cluster are not talked to.
    pub cluster: String,
    /// The datacenter this node stands in.
    pub datacenter: String,
    /// The rack this node stands in.
    pub rack: String,
    /// Where peers (and native clients) reach this node.
    pub listen: SocketAddr,
    /// Where CQL clients reach this node.
    pub cql: SocketAddr,
    /// Internode addresses of nodes to ask for the cluster. A node that is its own seed, or has none,
    /// may found a cluster.
    pub seeds: Vec<SocketAddr>,
    /// Host id or internode address of a dead node whose place a new node takes.
    pub replace: Option<String>,
    /// How many tokens a new node takes, 1 to 256.
    pub vnodes: u32,
    /// How keys become tokens; fixed when the cluster is made.
    pub partitioner: Partitioner,
    /// This build's version, as in `system.local`.
    pub release: String,
    /// How many shards the node's data directory has.
    pub shards: u32,
    /// How long operations may take.
    pub timeouts: Timeouts,
    /// How often the node gossips.
    pub gossip_interval: Duration,
    /// How often it gossips while it has found nobody.
    pub discovery_interval: Duration,
    /// How long a node that is not a seed waits for a seed before it gives up.
    pub join_timeout: Duration,
    /// What may be in flight, and how much is kept.
    pub bounds: Bounds,
    /// The comparison of replicas in the background.
    pub repair: Repair,
    /// The bytes that the node may hold for others; shared with its listeners and its transport.
    pub budget: Arc<Budget>,
}

/// Bytes of the budget unless it is set.
pub const DEFAULT_BUDGET_BYTES: usize = 256 << 20;

/// Bytes of hints for one node unless it is set: 4.5 MiB a second for an hour, from each of those that keep them.
pub const DEFAULT_HINT_BYTES_PER_NODE: u64 = 16 << 30;

/// Bytes of hints for all nodes unless it is set.
pub const DEFAULT_HINT_BYTES: u64 = 64 << 30;

/// Bytes of hints a second to one node, from all together, unless it is set: 8,192 small ones.
pub const DEFAULT_HINT_RATE: u64 = 16 << 20;

/// How long the parts of an operation may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// A read of one partition.
    pub read: Duration,
    /// A read of a range.
    pub range: Duration,
    /// A write.
    pub write: Duration,
    /// A TRUNCATE.
    pub truncate: Duration,
    /// How long a schema change waits for the live nodes to agree.
    pub schema: Duration,
    /// After how long a logged batch whose coordinator is silent is carried out by those who keep it.
    pub batch_replay: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            read: Duration::from_secs(5),
            range: Duration::from_secs(10),
            write: Duration::from_secs(2),
            truncate: Duration::from_mins(1),
            schema: Duration::from_secs(10),
            batch_replay: Duration::from_secs(5),
        }
    }
}

/// Upper bounds on what a node holds for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Client requests that are coordinated at a time; more are refused as overloaded.
    pub coordinated: usize,
    /// Requests of peers that are served at a time; more are refused as overloaded.
    pub served: usize,
    /// Bytes of hints kept for one node that is down; further writes to it are left to repair.
    pub hint_bytes_per_node: u64,
    /// Bytes of hints kept for all nodes that are down.
    pub hint_bytes: u64,
    /// Hints are kept only while so many bytes are free on the disk: what the node acknowledges itself comes first.
    pub hint_reserve: u64,
    /// Hints older than this are dropped: it must be shorter than the tables' `gc_grace_seconds`.
    pub hint_age: Duration,
    /// How much longer a hint may live by the clock of whoever gets it: what clocks may disagree, and the write's own
    /// time.
    pub hint_slack: Duration,
    /// Bytes of hints that are sent to a node a second, by all nodes together. A hint counts as 2 KiB at least.
    pub hint_rate: u64,
    /// Messages of hints that a node carries out at a time; more are refused.
    pub hints_served: usize,
    /// Prepared statements that are kept.
    pub prepared: usize,
    /// Bytes of query text of prepared statements that are kept.
    pub prepared_bytes: usize,
    /// Traces that are kept.
    pub traces: usize,
    /// Bytes of logged batches that are kept for other coordinators.
    pub batch_bytes: usize,
    /// Bytes a second that a node fetches of what it gains; 0: as fast as it goes.
    pub stream_rate: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            coordinated: 4096,
            served: 8192,
            hint_bytes_per_node: DEFAULT_HINT_BYTES_PER_NODE,
            hint_bytes: DEFAULT_HINT_BYTES,
            hint_reserve: 1 << 30,
            hint_age: Duration::from_hours(3),
            hint_slack: Duration::from_mins(10),
            hint_rate: DEFAULT_HINT_RATE,
            hints_served: 2,
            prepared: 10_000,
            prepared_bytes: 64 << 20,
            traces: 512,
            batch_bytes: 128 << 20,
            stream_rate: 0,
        }
    }
}

impl Bounds {
    /// A hint is never carried out when its write is older than this, by whichever node's clock: deletions that
    /// are younger must not be purged.
    pub fn hint_horizon(&self) -> Duration {
        self.hint_age + self.hint_slack
    }
}

/// How replicas are compared in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repair {
    /// Whether they are. Without it tombstones are kept, unless every range is repaired by hand.
    pub enabled: bool,
    /// About how long one round over all ranges takes; longer if there is much to hash.
    pub interval: Duration,
    /// Bytes of differing rows that a session in the background reads a second.
    pub rate: u64,
    /// How far the clocks of two nodes may be apart without a tombstone being purged too early.
    pub clock_skew: Duration,
    /// Rows that have one digest, at most, unless one cell of the grid holds more. With fewer less is hashed for a write,
    /// and the digests take more memory: about 144 bytes each.
    pub leaf_rows: u64,
}

impl Default for Repair {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_mins(10),
            rate: 16 << 20,
            clock_skew: Duration::from_mins(10),
            leaf_rows: 256,
        }
    }
}

impl Config {
    /// The defaults: one node that may found a cluster.
    pub fn new(cluster: impl Into<String>, listen: SocketAddr, cql: SocketAddr) -> Self {
        Self {
            cluster: cluster.into(),
            datacenter: "datacenter1".to_owned(),
            rack: "rack1".to_owned(),
            listen,
            cql,
            seeds: Vec::new(),
            replace: None,
            vnodes: 16,
            partitioner: Partitioner::Murmur3,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            shards: 1,
            timeouts: Timeouts::default(),
            gossip_interval: Duration::from_secs(1),
            discovery_interval: Duration::from_millis(100),
            join_timeout: Duration::from_mins(1),
            bounds: Bounds::default(),
            repair: Repair::default(),
            budget: Arc::new(Budget::new(DEFAULT_BUDGET_BYTES)),
        }
    }
}

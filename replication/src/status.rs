//! A node's view of itself and its cluster, for operators.

use std::{net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};
use starling_model::NodeId;
use starling_ring::Placement;

use crate::anti_entropy::divergence::TableDivergence;
use crate::coordinator::waiting::DamageStatus;
use crate::streaming::StreamStatus;
use crate::topology::Stamp;

/// What a node knows and has done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// This node's host id.
    #[serde(with = "host_id")]
    pub id: NodeId,
    /// The cluster's name.
    pub cluster: String,
    /// The partitioner's class name.
    pub partitioner: String,
    /// This build's version.
    pub release: String,
    /// Whether it serves clients: it is in the ring, knows who is alive or has waited for news, and agrees with
    /// the live nodes on the schema.
    pub ready: bool,
    /// The schema's version, a UUID.
    pub schema_version: String,
    /// Whether all live members have that schema.
    pub schema_agreed: bool,
    /// Whether a restart would find the members as they are now; false for long means that the disk refuses.
    pub members_stored: bool,
    /// All members, this node among them, by host id.
    pub members: Vec<MemberStatus>,
    /// Bytes of hints that it keeps, for members and for nodes that have left.
    pub hint_bytes: u64,
    /// The nodes that are no members any more, for which it keeps hints until those who have their ranges have them.
    pub departed: Vec<DepartedStatus>,
    /// Client requests that it coordinates now.
    pub in_flight: usize,
    /// What is known of the ranges that this node looks after, by table.
    pub divergence: Vec<TableDivergence>,
    /// Leaves of the trees of digests.
    pub tree_leaves: usize,
    /// Of them, those that were written to since they were hashed.
    pub tree_changed: usize,
    /// Memory of the trees, in bytes.
    pub tree_bytes: usize,
    /// What of its storage is damaged and does not heal now.
    #[serde(default)]
    pub damage: DamageStatus,
    /// What it moves.
    pub streams: StreamStatus,
    /// What it did since it started.
    pub counters: CounterValues,
}

/// Where a keyspace's data is, as a node plans requests by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owners {
    /// The ring that it follows from: what its requests carry.
    pub ring: Stamp,
    /// The replicas of every token.
    pub current: Arc<Placement>,
    /// Those after the change that is under way: a request meets its level among the current ones and among these.
    pub next: Option<Arc<Placement>>,
}

/// A member of the cluster, as this node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its host id.
    #[serde(with = "host_id")]
    pub id: NodeId,
    /// Where peers reach it.
    pub address: SocketAddr,
    /// Where CQL clients reach it; absent until gossip tells.
    pub cql_address: Option<SocketAddr>,
    /// Its datacenter.
    pub datacenter: String,
    /// Its rack.
    pub rack: String,
    /// Whether it is believed alive.
    pub up: bool,
    /// Whether it is in the ring.
    pub joined: bool,
    /// How many tokens it has.
    pub tokens: usize,
    /// The share of the token space whose first replica it is, 0 to 1.
    pub ownership: f64,
    /// The schema version it last told.
    pub schema_version: Option<String>,
    /// Its release.
    pub release: Option<String>,
    /// Bytes of hints that this node keeps for it.
    pub hint_bytes: u64,
}

/// A node that has left, and for which hints are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DepartedStatus {
    /// Its host id.
    #[serde(with = "host_id")]
    pub id: NodeId,
    /// Bytes of hints that this node keeps for it.
    pub hint_bytes: u64,
}

/// Host ids as text, as everybody else writes them.
mod host_id {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use starling_model::NodeId;

    use crate::membership::parse_uuid;

    pub(super) fn serialize<S: Serializer>(id: &NodeId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodeId, D::Error> {
        let text = String::deserialize(deserializer)?;
        let id = parse_uuid(&text).ok_or_else(|| D::Error::custom("not a UUID"))?;
        Ok(NodeId(id))
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident),* $(,)?) => {
        /// Counters since the start, as numbers.
        /// Those that a node of another release does not tell are 0.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct CounterValues {
            $($(#[doc = $doc])+ pub $name: u64,)*
        }

        impl CounterValues {
            /// Each with its name and what it counts, for metrics.
            pub fn described(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($doc),+).trim_ascii(), self.$name),)*]
            }
        }

        /// Counters since the start, as they count.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn values(&self) -> CounterValues {
                CounterValues { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Reads coordinated: one for each page of one read command.
    reads,
    /// Writes coordinated: one for each mutation.
    writes,
    /// Writes that got a second, newer timestamp because a replica had something as new: much of it means that
    /// clocks disagree.
    restamped,
    /// Requests of peers taken, gossip apart.
    served,
    /// Requests refused because fewer replicas were alive than their consistency level needs.
    unavailable,
    /// Reads that too few replicas answered in time.
    read_timeouts,
    /// Writes that too few replicas acknowledged in time; they may survive.
    write_timeouts,
    /// Reads that ended because replicas answered with errors.
    read_failures,
    /// Writes that ended because replicas answered with errors; they may survive.
    write_failures,
    /// Requests refused because too much was in flight.
    overloaded,
    /// Requests of peers and of clients dropped because their time had passed: whoever asked had given up by then. A write that
    /// the storage had begun with may be there all the same.
    late,
    /// Reads for which the replicas' digests differed.
    digest_mismatches,
    /// Mutations sent to stale replicas before a read was answered.
    read_repairs,
    /// Tombstones, and rows that are deleted or expired, that this node's storage went through for reads.
    dead_rows_read,
    /// Pages of this node's storage that went through 10,000 or more of those; the log names them.
    dead_reads,
    /// Times that a replica knew more of the ring than the coordinator, which planned again.
    old_rings,
    /// Reads after which all live replicas were compared, by their table's `read_repair_chance`.
    chance_repairs,
    /// Stretches of damaged data of this node's storage that were written anew from other replicas.
    healed,
    /// Stretches of damaged data of this node's storage that an operator has accepted to be lost, as far as others did not have
    /// them.
    losses_accepted,
    /// Times that a read asked another replica because one was slow.
    speculative_reads,
    /// Hints kept for replicas that missed a write.
    hints_written,
    /// Hints that their replica has now.
    hints_delivered,
    /// Hints given up because there were too many, or the disk did not take them, or their table was truncated: repair is
    /// needed but for the last.
    hints_dropped,
    /// Hints given up because they were too old, or their table was dropped: repair is needed.
    hints_expired,
    /// Damaged places in stored hints, and files of hints that could not be read: repair is needed; the log says where.
    hints_damaged,
    /// Hints of nodes that left the ring which the present replicas have now.
    hints_rerouted,
    /// Hints of other nodes that this node carried out.
    hints_taken,
    /// Hints of other nodes that this node dropped because they were too old.
    hints_late,
    /// Messages of hints that this node refused because clients kept it busy; they are sent again.
    hints_refused,
    /// Logged batches of dead coordinators that this node carried out.
    batches_replayed,
    /// Logged batches that this node gave up because they could not be carried out for as long as hints are kept.
    batches_expired,
    /// Statements prepared by clients.
    prepared,
    /// Schema changes that this node made or learnt of.
    schema_changes,
    /// Sessions in which this node compared the replicas of a range.
    repair_sessions,
    /// Sessions that ended early: a replica did not answer, or the range changed.
    repair_failures,
    /// Partitions, or parts of them, on which sessions found replicas to differ.
    repair_differences,
    /// Mutations that sessions of this node wrote to replicas that lacked them.
    repair_writes,
    /// Mutations that other nodes' sessions, or its own, wrote here.
    repair_rows_received,
    /// Bytes of pages that sessions fetched because replicas differed.
    repair_bytes,
    /// Bytes of other nodes' data that this node fetched because it became a replica of it.
    streamed_in_bytes,
    /// Bytes that other nodes fetched from this one for the same reason.
    streamed_out_bytes,
    /// Bytes of ranges that are other nodes' now, removed here.
    cleaned_up_bytes,
    /// Times that the schema or the list of members could not be written to disk.
    store_failures,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(std::sync::atomic::AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

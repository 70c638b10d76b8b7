//! A node's state as JSON: what the pages show and the commands print.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};
use starling_cql::native::Topology;
use starling_model::TableId;
use starling_replication::{Budget, NodeStatus, budget::Pool};
use starling_sstable::{fs::mapped_files, table::properties::LargeRows};

use crate::{maps, store::ShardStats};

/// `/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// The node's name in its settings.
    pub name: String,
    /// What the node knows of itself and the cluster, and did since it started.
    #[serde(flatten)]
    pub node: NodeStatus,
    /// The process.
    pub pid: u32,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Memory in use, in bytes; absent where the system does not tell.
    pub resident_bytes: Option<u64>,
    /// Files that are mapped into memory: every table that is open, mostly.
    #[serde(default)]
    pub mapped_files: u64,
    /// How many maps the system allows the process (`vm.max_map_count`), of which files get seven eighths at most; absent
    /// where the system does not tell.
    #[serde(default)]
    pub map_limit: Option<u64>,
    /// What requests and results that are under way hold of the node's budget.
    pub budget: Vec<PoolView>,
    /// The shards of its storage.
    pub shards: Vec<ShardView>,
    /// Large rows, of the tables that have any.
    #[serde(default)]
    pub large_rows: Vec<LargeRowsView>,
}

/// The large rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeRowsView {
    /// Keyspace and name, or the id of a table that is not known any more.
    pub table: String,
    /// Rows of 16 MiB and more. One that is in several files counts several times.
    pub rows: u64,
    /// Bytes of the largest row: at least 1 MiB.
    pub largest_bytes: u64,
}

/// A part of the node's budget (`--in-flight-mib`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolView {
    /// What it is for.
    pub name: String,
    /// Bytes that are held.
    pub held: usize,
    /// The most bytes that were held at a time.
    pub peak: usize,
    /// How many bytes it has.
    pub limit: usize,
    /// How many wait for room now.
    pub waiting: usize,
    /// How often somebody had to wait.
    pub waits: u64,
}

/// A shard of the node's storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardView {
    /// Requests that wait.
    pub queued: usize,
    /// Bytes in memtables.
    pub memtable_bytes: usize,
    /// What flushes alone wait for, in words. Absent: for nothing.
    #[serde(default)]
    pub flushes_wait_for: Option<String>,
    /// What flushes and compactions wait for, in words: room on a full disk, for example. Absent: for nothing.
    #[serde(default)]
    pub waits_for: Option<String>,
    /// Live tables.
    pub tables: usize,
    /// Their bytes on disk.
    pub table_bytes: u64,
    /// Damaged pieces of tables that can't be read here until other replicas' data replaces them.
    pub quarantined: usize,
    /// Damaged pieces that were found.
    pub damage_found: u64,
    /// Bytes of tables that were read again to look for damage.
    pub scrubbed_bytes: u64,
    /// Damaged pieces whose data was written anew.
    pub damage_healed: u64,
    /// Snapshots completed.
    pub snapshots: u64,
    /// Ingests of ready tables installed.
    pub ingests: u64,
    /// Log segments.
    pub log_segments: usize,
    /// Their bytes on disk.
    pub log_bytes: u64,
    /// Mutations accepted.
    pub writes: u64,
    /// Mutations refused as overload.
    pub refused: u64,
    /// Pages read.
    pub reads: u64,
    /// Rows and tombstones visited by reads.
    pub visited: u64,
    /// Log syncs.
    pub syncs: u64,
    /// Flushes.
    pub flushes: u64,
    /// Bytes of tables written by flushes.
    pub flushed_bytes: u64,
    /// Compactions.
    pub compactions: u64,
    /// Bytes of tables that compactions wrote.
    pub compacted_bytes: u64,
}

/// A token and who has it: `/ring`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingEntry {
    /// The token.
    pub token: i64,
    /// The host id of its owner, a UUID.
    pub id: String,
    /// Where peers and native clients reach the owner.
    pub address: SocketAddr,
    /// The owner's datacenter.
    pub datacenter: String,
    /// The owner's rack.
    pub rack: String,
    /// Whether the owner is believed alive.
    pub up: bool,
}

impl StatusView {
    pub(super) fn new(
        name: &str,
        uptime: Duration,
        node: NodeStatus,
        budget: &Budget,
        shards: &[ShardStats],
        table_name: impl Fn(TableId) -> String,
    ) -> Self {
        Self {
            name: name.to_owned(),
            node,
            pid: std::process::id(),
            uptime_seconds: uptime.as_secs(),
            resident_bytes: resident_bytes(),
            mapped_files: mapped_files() as u64,
            map_limit: maps::limit(),
            budget: budget.pools().map(pool).to_vec(),
            shards: shards.iter().map(shard).collect(),
            large_rows: large_rows(shards, table_name),
        }
    }
}

fn large_rows(shards: &[ShardStats], table_name: impl Fn(TableId) -> String) -> Vec<LargeRowsView> {
    let mut all: BTreeMap<TableId, LargeRows> = BTreeMap::new();
    for (table, rows) in shards.iter().flat_map(|shard| &shard.large_rows) {
        let sum = all.entry(*table).or_default();
        sum.count += rows.count;
        sum.largest = sum.largest.max(rows.largest);
    }
    let views = all.into_iter().map(|(table, rows)| LargeRowsView {
        table: table_name(table),
        rows: rows.count,
        largest_bytes: rows.largest,
    });
    views.collect()
}

fn pool((name, pool): (&'static str, &Pool)) -> PoolView {
    PoolView {
        name: name.to_owned(),
        held: pool.held(),
        peak: pool.peak(),
        limit: pool.limit(),
        waiting: pool.waiting(),
        waits: pool.waits(),
    }
}

fn shard(stats: &ShardStats) -> ShardView {
    let engine = stats.engine;
    ShardView {
        queued: stats.queued,
        memtable_bytes: engine.memtable_bytes,
        flushes_wait_for: stats.flushes_wait_for.clone(),
        waits_for: stats.waits_for.clone(),
        tables: engine.tables,
        table_bytes: engine.table_bytes,
        quarantined: engine.quarantined,
        damage_found: engine.damage_found,
        scrubbed_bytes: engine.scrubbed_bytes,
        damage_healed: engine.damage_healed,
        snapshots: engine.snapshots,
        ingests: engine.ingests,
        log_segments: engine.log_segments,
        log_bytes: engine.log_bytes,
        writes: engine.writes,
        refused: engine.refused,
        reads: engine.reads,
        visited: engine.visited,
        syncs: engine.syncs,
        flushes: engine.flushes,
        flushed_bytes: engine.flushed_bytes,
        compactions: engine.compactions,
        compacted_bytes: engine.compacted_bytes_out,
    }
}

/// All tokens in order.
pub(super) fn ring(topology: &Topology) -> Vec<RingEntry> {
    let mut entries: Vec<RingEntry> = topology
        .nodes
        .iter()
        .flat_map(|node| {
            node.tokens.iter().map(|token| RingEntry {
                token: *token,
                id: node.id.to_string(),
                address: node.address,
                datacenter: node.datacenter.clone(),
                rack: node.rack.clone(),
                up: node.up,
            })
        })
        .collect();
    entries.sort_by_key(|entry| entry.token);
    entries
}

/// The process's resident memory, as Linux tells it: the second number of `statm`, in pages.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

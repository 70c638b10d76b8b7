//! Figures as Prometheus reads them (text format 0.0.4).

use std::fmt::Write;

use starling_replication::{DivergedRange, MemberStatus, TableDivergence, diverged_longest};

use super::{PoolView, StatusView};
use crate::{
    cql_server,
    transport::{Count, Traffic},
};

/// All metrics of a node.
pub(super) fn text(status: &StatusView, cql: &cql_server::Counters, traffic: &Traffic) -> String {
    let mut out = Page::default();
    let node = &status.node;
    out.gauge(
        "ready",
        "1 if the node serves clients, 0 while it starts or stops.",
        u64::from(node.ready),
    );
    out.gauge(
        "schema_agreed",
        "1 if all live members have this node's schema.",
        u64::from(node.schema_agreed),
    );
    out.gauge(
        "members_stored",
        "1 if the list of members is on disk as it is now; 0 for long means that the disk refuses.",
        u64::from(node.members_stored),
    );
    out.gauge(
        "uptime_seconds",
        "Seconds since the process started.",
        status.uptime_seconds,
    );
    if let Some(bytes) = status.resident_bytes {
        out.gauge("resident_bytes", "Resident memory of the process.", bytes);
    }
    out.gauge(
        "mapped_files",
        "Files that are mapped into memory: every table that is open, mostly.",
        status.mapped_files,
    );
    if let Some(limit) = status.map_limit {
        out.gauge(
            "map_limit",
            "Maps that the system allows the process (vm.max_map_count); files get seven eighths of them at most.",
            limit,
        );
    }
    out.family("member_up", "gauge", "1 if this node believes the member alive.");
    for member in &node.members {
        out.sample("member_up", &member_labels(member), u64::from(member.up));
    }
    out.family(
        "hint_bytes",
        "gauge",
        "Bytes of hints that this node keeps for the member.",
    );
    for member in &node.members {
        out.sample("hint_bytes", &member_labels(member), member.hint_bytes);
    }
    out.gauge(
        "kept_hint_bytes",
        "Bytes of hints that this node keeps, those for nodes that have left included.",
        node.hint_bytes,
    );
    out.family(
        "departed_hint_bytes",
        "gauge",
        "Bytes of hints that this node keeps for a node that has left, until those who have its ranges have them.",
    );
    for departed in &node.departed {
        let id = format!("id=\"{}\"", departed.id);
        out.sample("departed_hint_bytes", &id, departed.hint_bytes);
    }
    divergence(&mut out, status);
    diverged_ranges(&mut out, status);
    out.gauge(
        "damage_waiting",
        "Stretches of damaged tokens that could not be written anew from other replicas yet; the first few are in /status.",
        status.node.damage.waiting,
    );
    out.gauge(
        "damage_for_operator",
        "Of them, those that never heal by themselves: see starling repair --accept-loss.",
        status.node.damage.for_operator,
    );
    budget(&mut out, status);
    coordinator(&mut out, status);
    listener(&mut out, cql);
    peers(&mut out, traffic);
    shards(&mut out, status);
    large_rows(&mut out, status);
    out.text
}

/// What is known of the ranges that this node looks after.
fn divergence(out: &mut Page, status: &StatusView) {
    let node = &status.node;
    out.gauge(
        "digest_leaves",
        "Leaves of the trees of digests.",
        node.tree_leaves as u64,
    );
    out.gauge(
        "digest_leaves_changed",
        "Leaves that were written to since they were hashed.",
        node.tree_changed as u64,
    );
    out.gauge(
        "digest_bytes",
        "Memory of the trees of digests.",
        node.tree_bytes as u64,
    );
    type Figure = (&'static str, &'static str, fn(&TableDivergence) -> Option<u64>);
    let figures: [Figure; 6] = [
        (
            "repair_ranges",
            "Ranges of the table that this node looks after.",
            |table| Some(table.ranges),
        ),
        (
            "repair_ranges_agreed",
            "Of them, those whose replicas were all found equal.",
            |table| Some(table.agreed),
        ),
        (
            "repair_ranges_diverged",
            "Ranges that differ, or can't be compared with all their replicas.",
            |table| Some(table.diverged_ranges),
        ),
        (
            "repair_diverged_since_seconds",
            "The earliest of the seconds since the epoch since which one of those ranges does so without a break; absent if none does.",
            |table| table.diverged_since.map(u64::from),
        ),
        (
            "repair_differing",
            "Partitions, or parts of them, that were seen to differ and are not known to be equal on all replicas since: at least so many.",
            |table| Some(table.differing),
        ),
        (
            "repair_oldest_agreement_seconds",
            "The earliest of the seconds since the epoch at which the ranges' replicas were last equal.",
            |table| table.oldest_agreement.map(u64::from),
        ),
    ];
    for (name, help, value) in figures {
        out.family(name, "gauge", help);
        for table in &node.divergence {
            if let Some(value) = value(table) {
                out.sample(name, &format!("table=\"{}\"", table.table), value);
            }
        }
    }
}

/// The ranges that have differed longest, one by one: few, so that a node that is down makes no thousands of series.
fn diverged_ranges(out: &mut Page, status: &StatusView) {
    type Figure = (&'static str, &'static str, fn(&DivergedRange) -> u64);
    let figures: [Figure; 2] = [
        (
            "repair_range_diverged_since_seconds",
            "Since when, in seconds since the epoch, a range differs or can't be compared; of all tables the 32 that have done so longest.",
            |range| u64::from(range.since),
        ),
        (
            "repair_range_differing",
            "Partitions of that range, or parts of them, that were seen to differ; 0: it only can't be compared.",
            |range| range.differing,
        ),
    ];
    let ranges = diverged_longest(&status.node.divergence);
    for (name, help, value) in figures {
        out.family(name, "gauge", help);
        for (table, range) in &ranges {
            let DivergedRange { start, end, .. } = range;
            let labels = format!("table=\"{}\",range=\"{start}:{end}\"", table.table);
            out.sample(name, &labels, value(range));
        }
    }
}

fn member_labels(member: &MemberStatus) -> String {
    format!("address=\"{}\"", member.address)
}

type PoolFigure = (&'static str, &'static str, &'static str, fn(&PoolView) -> u64);

const POOL: [PoolFigure; 5] = [
    (
        "held_bytes",
        "gauge",
        "Bytes of the pool that requests and results hold now.",
        |pool| pool.held as u64,
    ),
    (
        "peak_bytes",
        "gauge",
        "The most bytes of the pool that were held at a time since the start.",
        |pool| pool.peak as u64,
    ),
    (
        "limit_bytes",
        "gauge",
        "Bytes of the pool that may be held at a time.",
        |pool| pool.limit as u64,
    ),
    (
        "waiting",
        "gauge",
        "Requests and results that wait for room in the pool now.",
        |pool| pool.waiting as u64,
    ),
    (
        "waits_total",
        "counter",
        "Requests and results that had to wait for room in the pool.",
        |pool| pool.waits,
    ),
];

fn budget(out: &mut Page, status: &StatusView) {
    for (name, kind, help, value) in POOL {
        let name = format!("budget_{name}");
        out.family(&name, kind, help);
        for pool in &status.budget {
            out.sample(&name, &format!("pool=\"{}\"", pool.name), value(pool));
        }
    }
}

fn coordinator(out: &mut Page, status: &StatusView) {
    out.gauge(
        "in_flight",
        "Client requests that the node coordinates now.",
        status.node.in_flight as u64,
    );
    let streams = &status.node.streams;
    out.gauge(
        "stream_bytes_total",
        "Bytes that this node fetches because it becomes a replica of their ranges, in the run that is under way.",
        streams.bytes_total,
    );
    out.gauge(
        "stream_bytes_done",
        "Bytes of them that are here.",
        streams.bytes_done,
    );
    out.gauge(
        "streams_serving",
        "Streams that other nodes have open here.",
        streams.serving as u64,
    );
    out.gauge(
        "cleanup_tables_left",
        "Tables of which ranges of other nodes are still to be removed.",
        streams.cleaning as u64,
    );
    for (name, help, value) in status.node.counters.described() {
        out.counter(name, help, value);
    }
}

fn listener(out: &mut Page, cql: &cql_server::Counters) {
    out.gauge(
        "cql_connections",
        "CQL connections that are open.",
        cql.connections.get(),
    );
    out.gauge(
        "cql_in_flight",
        "CQL requests that were read and are not answered yet.",
        cql.in_flight.get(),
    );
    out.counter("cql_accepted", "CQL connections accepted.", cql.accepted.get());
    out.counter(
        "cql_turned_away",
        "CQL connections closed at once because too many were open.",
        cql.turned_away.get(),
    );
    out.counter("cql_requests", "CQL requests read.", cql.requests.get());
    out.counter(
        "cql_overloaded",
        "CQL requests refused because too much was in flight.",
        cql.overloaded.get(),
    );
    out.counter(
        "cql_malformed",
        "Messages from CQL clients that break the protocol.",
        cql.malformed.get(),
    );
    out.counter("cql_bytes_in", "Bytes read from CQL clients.", cql.bytes_in.get());
    out.counter(
        "cql_bytes_out",
        "Bytes written to CQL clients.",
        cql.bytes_out.get(),
    );
}

/// Messages of both directions, by kind.
fn peers(out: &mut Page, traffic: &Traffic) {
    let kinds = [
        ("request", &traffic.requests_sent, &traffic.requests_received),
        ("answer", &traffic.answers_sent, &traffic.answers_received),
        ("cast", &traffic.casts_sent, &traffic.casts_received),
    ];
    type Figure = (&'static str, &'static str, bool, fn(&Count) -> u64);
    let figures: [Figure; 5] = [
        (
            "sent",
            "Messages to peers; a cast has no answer.",
            true,
            Count::frames,
        ),
        (
            "sent_bytes",
            "Bytes of messages to peers with their frames, before encryption.",
            true,
            Count::bytes,
        ),
        (
            "sent_batches",
            "Times that messages to a peer left together.",
            true,
            Count::batches,
        ),
        ("received", "Messages from peers.", false, Count::frames),
        (
            "received_bytes",
            "Bytes of messages from peers with their frames, decrypted.",
            false,
            Count::bytes,
        ),
    ];
    for (name, help, is_sent, value) in figures {
        let name = format!("peer_{name}_total");
        out.family(&name, "counter", help);
        for (kind, sent, received) in kinds {
            let count = if is_sent { sent } else { received };
            out.sample(&name, &format!("kind=\"{kind}\""), value(count));
        }
    }
}

type Figure = (
    &'static str,
    &'static str,
    &'static str,
    fn(&super::ShardView) -> u64,
);

/// Name, kind, meaning, and where it is found.
const SHARD: [Figure; 22] = [
    (
        "queued",
        "gauge",
        "Requests that wait in the shard's queue now.",
        |shard| shard.queued as u64,
    ),
    (
        "waits",
        "gauge",
        "1 while flushes or compactions wait, for room on a full disk for example; /status says for what.",
        |shard| u64::from(shard.waits_for.is_some()),
    ),
    (
        "memtable_bytes",
        "gauge",
        "Bytes in the shard's memtables.",
        |shard| shard.memtable_bytes as u64,
    ),
    (
        "tables",
        "gauge",
        "Tables on disk that reads may need.",
        |shard| shard.tables as u64,
    ),
    (
        "table_bytes",
        "gauge",
        "Bytes of those tables on disk.",
        |shard| shard.table_bytes,
    ),
    (
        "quarantined",
        "gauge",
        "Damaged pieces of tables that can't be read here until other replicas' data replaces them.",
        |shard| shard.quarantined as u64,
    ),
    (
        "damage_found_total",
        "counter",
        "Damaged pieces found.",
        |shard| shard.damage_found,
    ),
    (
        "scrubbed_bytes_total",
        "counter",
        "Bytes of tables that were read again to look for damage.",
        |shard| shard.scrubbed_bytes,
    ),
    (
        "damage_healed_total",
        "counter",
        "Damaged pieces whose data was written anew.",
        |shard| shard.damage_healed,
    ),
    ("snapshots_total", "counter", "Snapshots completed.", |shard| {
        shard.snapshots
    }),
    ("ingests_total", "counter", "Ingests installed.", |shard| {
        shard.ingests
    }),
    (
        "log_segments",
        "gauge",
        "Segments of the commit log on disk.",
        |shard| shard.log_segments as u64,
    ),
    (
        "log_bytes",
        "gauge",
        "Bytes of the commit log on disk.",
        |shard| shard.log_bytes,
    ),
    ("writes_total", "counter", "Mutations applied.", |shard| {
        shard.writes
    }),
    (
        "refused_total",
        "counter",
        "Mutations refused because the shard had no room.",
        |shard| shard.refused,
    ),
    ("reads_total", "counter", "Pages read from the shard.", |shard| {
        shard.reads
    }),
    (
        "visited_total",
        "counter",
        "Rows and tombstones that reads visited.",
        |shard| shard.visited,
    ),
    ("syncs_total", "counter", "Syncs of the commit log.", |shard| {
        shard.syncs
    }),
    (
        "flushes_total",
        "counter",
        "Memtables written to tables.",
        |shard| shard.flushes,
    ),
    (
        "flushed_bytes_total",
        "counter",
        "Bytes of tables written by flushes.",
        |shard| shard.flushed_bytes,
    ),
    ("compactions_total", "counter", "Compactions finished.", |shard| {
        shard.compactions
    }),
    (
        "compacted_bytes_total",
        "counter",
        "Bytes of tables written by compactions.",
        |shard| shard.compacted_bytes,
    ),
];

fn shards(out: &mut Page, status: &StatusView) {
    for (name, kind, help, value) in SHARD {
        let name = format!("shard_{name}");
        out.family(&name, kind, help);
        for (n, shard) in status.shards.iter().enumerate() {
            out.sample(&name, &format!("shard=\"{n}\""), value(shard));
        }
    }
}

fn large_rows(out: &mut Page, status: &StatusView) {
    let tables = &status.large_rows;
    out.family(
        "large_rows",
        "gauge",
        "Rows of 16 MiB and more in a table; one that is in several files counts several times.",
    );
    for of in tables {
        out.sample("large_rows", &format!("table=\"{}\"", of.table), of.rows);
    }
    out.family(
        "largest_row_bytes",
        "gauge",
        "Bytes of a table's largest row, if it has 1 MiB or more.",
    );
    for of in tables {
        out.sample(
            "largest_row_bytes",
            &format!("table=\"{}\"", of.table),
            of.largest_bytes,
        );
    }
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string can't fail.
        let _ = writeln!(
            self.text,
            "# HELP starling_{name} {help}\n# TYPE starling_{name} {kind}"
        );
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.text, "starling_{name}{{{labels}}} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help);
        let _ = writeln!(self.text, "starling_{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let name = format!("{name}_total");
        self.family(&name, "counter", help);
        let _ = writeln!(self.text, "starling_{name} {value}");
    }
}

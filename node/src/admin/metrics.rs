//! Figures as Prometheus reads them (text format 0.0.4).

use std::fmt::Write;

use super::{PoolView, StatusView};
use crate::cql_server;

/// All metrics of a node.
pub(super) fn text(status: &StatusView, cql: &cql_server::Counters) -> String {
    let mut out = Page::default();
    out.gauge(
        "ready",
        "Whether the node serves clients.",
        u64::from(status.ready),
    );
    out.gauge(
        "uptime_seconds",
        "Seconds since the start.",
        status.uptime_seconds,
    );
    if let Some(bytes) = status.resident_bytes {
        out.gauge("resident_bytes", "Memory in use.", bytes);
    }
    out.family("member_up", "gauge", "Whether this node believes a member alive.");
    for member in &status.members {
        let labels = format!("address=\"{}\"", member.address);
        out.sample("member_up", &labels, u64::from(member.up));
    }
    out.family("hint_bytes", "gauge", "Bytes of hints kept for a member.");
    for member in &status.members {
        let labels = format!("address=\"{}\"", member.address);
        out.sample("hint_bytes", &labels, member.hint_bytes);
    }
    budget(&mut out, status);
    coordinator(&mut out, status);
    listener(&mut out, cql);
    shards(&mut out, status);
    out.text
}

type PoolFigure = (&'static str, &'static str, &'static str, fn(&PoolView) -> u64);

const POOL: [PoolFigure; 5] = [
    (
        "held_bytes",
        "gauge",
        "Bytes that requests and results hold.",
        |pool| pool.held as u64,
    ),
    (
        "peak_bytes",
        "gauge",
        "The most bytes that were held at a time.",
        |pool| pool.peak as u64,
    ),
    ("limit_bytes", "gauge", "Bytes that may be held.", |pool| {
        pool.limit as u64
    }),
    ("waiting", "gauge", "How many wait for room.", |pool| {
        pool.waiting as u64
    }),
    (
        "waits_total",
        "counter",
        "How often somebody had to wait for room.",
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
    // Counters are a flat struct of numbers: its field names are the metrics' names.
    let Ok(serde_json::Value::Object(counters)) = serde_json::to_value(status.counters) else {
        return;
    };
    for (name, value) in counters {
        if let Some(value) = value.as_u64() {
            out.counter(&name, "Since the start; see the NodeStatus documentation.", value);
        }
    }
}

fn listener(out: &mut Page, cql: &cql_server::Counters) {
    out.gauge("cql_connections", "Open CQL connections.", cql.connections.get());
    out.gauge(
        "cql_in_flight",
        "CQL requests being carried out.",
        cql.in_flight.get(),
    );
    out.counter("cql_accepted", "CQL connections taken.", cql.accepted.get());
    out.counter(
        "cql_turned_away",
        "CQL connections refused: too many.",
        cql.turned_away.get(),
    );
    out.counter("cql_requests", "CQL requests taken.", cql.requests.get());
    out.counter(
        "cql_overloaded",
        "CQL requests refused: too much in flight.",
        cql.overloaded.get(),
    );
    out.counter(
        "cql_malformed",
        "Messages that were not CQL.",
        cql.malformed.get(),
    );
    out.counter("cql_bytes_in", "Bytes read from CQL clients.", cql.bytes_in.get());
    out.counter(
        "cql_bytes_out",
        "Bytes written to CQL clients.",
        cql.bytes_out.get(),
    );
}

type Figure = (
    &'static str,
    &'static str,
    &'static str,
    fn(&super::ShardView) -> u64,
);

/// Name, kind, meaning, and where it is found.
const SHARD: [Figure; 15] = [
    ("queued", "gauge", "Requests that wait.", |shard| {
        shard.queued as u64
    }),
    ("memtable_bytes", "gauge", "Bytes in memtables.", |shard| {
        shard.memtable_bytes as u64
    }),
    ("tables", "gauge", "Live tables.", |shard| shard.tables as u64),
    ("table_bytes", "gauge", "Bytes of live tables.", |shard| {
        shard.table_bytes
    }),
    ("log_segments", "gauge", "Log segments.", |shard| {
        shard.log_segments as u64
    }),
    ("log_bytes", "gauge", "Bytes of log segments.", |shard| {
        shard.log_bytes
    }),
    ("writes_total", "counter", "Mutations accepted.", |shard| {
        shard.writes
    }),
    (
        "refused_total",
        "counter",
        "Mutations refused as overload.",
        |shard| shard.refused,
    ),
    ("reads_total", "counter", "Pages read.", |shard| shard.reads),
    (
        "visited_total",
        "counter",
        "Rows and tombstones visited.",
        |shard| shard.visited,
    ),
    ("syncs_total", "counter", "Log syncs.", |shard| shard.syncs),
    ("flushes_total", "counter", "Flushes.", |shard| shard.flushes),
    (
        "flushed_bytes_total",
        "counter",
        "Bytes written by flushes.",
        |shard| shard.flushed_bytes,
    ),
    ("compactions_total", "counter", "Compactions.", |shard| {
        shard.compactions
    }),
    (
        "compacted_bytes_total",
        "counter",
        "Bytes written by compactions.",
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

//! Tables for people, JSON for programs.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use serde::Serialize;

/// One row of the report: an operation at a level, with so many requests in flight.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// How many nodes, with that replication factor.
    pub nodes: u32,
    /// The consistency level.
    pub consistency: String,
    /// What was done.
    pub operation: &'static str,
    /// Requests in flight over all connections.
    pub in_flight: u32,
    /// Over how many connections.
    pub connections: u32,
    /// How many were done in the measured time.
    pub operations: u64,
    /// For each second of the measured time.
    pub per_second: f64,
    /// Half of the requests took at most this, in microseconds.
    pub p50_us: u64,
    /// 99 % took at most this, in microseconds.
    pub p99_us: u64,
    /// 99.9 % took at most this, in microseconds.
    pub p999_us: u64,
    /// What all servers together spent for one, user and system, in microseconds.
    pub server_cpu_us: f64,
}

impl Figure {
    /// Fills in what a measurement gave.
    pub fn measured(mut self, latencies: &Histogram<u64>, elapsed: Duration, server_cpu: Duration) -> Self {
        self.operations = latencies.len();
        self.per_second = latencies.len() as f64 / elapsed.as_secs_f64();
        self.p50_us = latencies.value_at_quantile(0.5);
        self.p99_us = latencies.value_at_quantile(0.99);
        self.p999_us = latencies.value_at_quantile(0.999);
        self.server_cpu_us = server_cpu.as_secs_f64() * 1e6 / (latencies.len().max(1) as f64);
        self
    }
}

/// What starting and idling cost.
#[derive(Debug, Clone, Serialize)]
pub struct Idle {
    /// How many nodes.
    pub nodes: u32,
    /// From the start of the process to `ready:`, in milliseconds; one number a run.
    pub ready_ms: Vec<u64>,
    /// Resident memory of each node without data, in MiB.
    pub resident_mib: Vec<f64>,
    /// The server's binary, in MiB.
    pub binary_mib: f64,
}

impl Idle {
    fn to_line(&self) -> String {
        let ready: Vec<String> = self.ready_ms.iter().map(u64::to_string).collect();
        let resident: Vec<String> = self.resident_mib.iter().map(|mib| format!("{mib:.1}")).collect();
        format!(
            "{} node(s): ready after {} ms; {} MiB resident a node; binary {:.1} MiB\n",
            self.nodes,
            ready.join(", "),
            resident.join(", "),
            self.binary_mib
        )
    }
}

/// Everything that one run measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Starting and idling.
    pub idle: Vec<Idle>,
    /// Under load.
    pub figures: Vec<Figure>,
}

impl Report {
    /// As Markdown, which reads well in a terminal too.
    pub fn to_markdown(&self) -> String {
        let idle: String = self.idle.iter().map(Idle::to_line).collect();
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header([
            "nodes",
            "level",
            "op",
            "in flight",
            "conns",
            "op/s",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "server CPU us/op",
        ]);
        for figure in &self.figures {
            table.add_row([
                figure.nodes.to_string(),
                figure.consistency.clone(),
                figure.operation.to_owned(),
                figure.in_flight.to_string(),
                figure.connections.to_string(),
                format!("{:.0}", figure.per_second),
                figure.p50_us.to_string(),
                figure.p99_us.to_string(),
                figure.p999_us.to_string(),
                format!("{:.1}", figure.server_cpu_us),
            ]);
        }
        for column in table.column_iter_mut().skip(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{idle}\n{table}\n")
    }
}

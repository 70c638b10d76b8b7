//! What was measured, for people and programs.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::nodes::NodeMemory;

/// One repair of all ranges.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    /// Rows that were found to differ, in as many partitions.
    pub(super) differences: u64,
    /// Mutations written.
    pub(super) written: u64,
    pub(super) ranges: u64,
    /// Rows compared.
    pub(super) rows: u64,
    /// All that went over the loopback.
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    /// Of all nodes.
    pub(super) cpu_seconds: f64,
}

/// All of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) rows: u64,
    pub(super) partitions: u64,
    /// The first repair, which hashes everything.
    pub(super) hash_seconds: f64,
    pub(super) hash_cpu_seconds: f64,
    /// Of one node's trees.
    pub(super) leaves: u64,
    pub(super) tree_bytes: u64,
    /// Of one node, before anything was written...
    pub(super) empty: NodeMemory,
    /// ...and when everything was written, hashed and compacted.
    pub(super) idle: NodeMemory,
    pub(super) idle_bytes_per_second: u64,
    pub(super) points: Vec<Point>,
    /// Rows written to all replicas before...
    pub(super) writes: u64,
    /// ...this repair.
    pub(super) keeping: Option<Point>,
}

impl Report {
    pub(super) fn to_markdown(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "rows that differ",
            "bytes on the wire",
            "seconds",
            "CPU of all nodes, s",
        ]);
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for point in &self.points {
            table.add_row([
                point.differences.to_string(),
                point.bytes.to_string(),
                format!("{:.2}", point.seconds),
                format!("{:.2}", point.cpu_seconds),
            ]);
        }
        let mut text = format!(
            "{} rows in {} partitions, three replicas on this machine\n\n{table}\n\n",
            self.rows, self.partitions
        );
        let per_row = self.hash_cpu_seconds * 1e9 / (3 * self.rows.max(1)) as f64;
        let per_million = self.tree_bytes as f64 / self.partitions.max(1) as f64 * 1e6 / f64::from(1 << 20);
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "- the first repair, which hashes everything: {:.1} s, {per_row:.0} ns of CPU for each row and replica",
            self.hash_seconds
        );
        let _ = writeln!(
            text,
            "- a node's tree: {} leaves, {} bytes; {per_million:.2} MiB for a million partitions",
            self.leaves, self.tree_bytes
        );
        for (memory, when) in [(&self.empty, "empty"), (&self.idle, "idle, with all of it")] {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            let _ = writeln!(
                text,
                "- memory of a node that is {when}: {:.1} MiB of its own ({:.1} in memtables, {:.1} in digests), {:.1} MiB of mapped files",
                mib(memory.resident.anonymous),
                mib(memory.memtables),
                mib(memory.digests),
                mib(memory.resident.mapped),
            );
        }
        let _ = writeln!(
            text,
            "- nothing asked of them, {} bytes go over the wire each second",
            self.idle_bytes_per_second
        );
        if let Some(keeping) = &self.keeping {
            let each = keeping.cpu_seconds * 1e6 / (3 * self.writes.max(1)) as f64;
            let _ = writeln!(
                text,
                "- {} rows written all over the table, then a repair: {:.2} s, {each:.2} us of CPU for each row and replica",
                self.writes, keeping.seconds
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Memory;

    fn point(differences: u64) -> Point {
        Point {
            differences,
            written: differences,
            ranges: 48,
            rows: 1_000,
            bytes: 20_000 + 2_000 * differences,
            seconds: 0.25,
            cpu_seconds: 0.5,
        }
    }

    #[test]
    fn figures_are_by_row_and_replica() {
        let report = Report {
            rows: 1_000,
            partitions: 100,
            hash_seconds: 1.0,
            hash_cpu_seconds: 0.003,
            leaves: 4,
            tree_bytes: 576,
            points: vec![point(0), point(7)],
            writes: 100,
            idle: NodeMemory {
                resident: Memory {
                    anonymous: 12 << 20,
                    mapped: 5 << 20,
                },
                memtables: 2 << 20,
                digests: 0,
            },
            keeping: Some(point(0)),
            ..Report::default()
        };
        let text = report.to_markdown();
        assert!(text.contains("1000 ns of CPU"), "{text}");
        assert!(text.contains("12.0 MiB of its own (2.0 in memtables"), "{text}");
        assert!(text.contains("34000") && text.contains("1666.67 us"), "{text}");
        let drawing = crate::repair::chart::draw(&report);
        assert!(drawing.starts_with("<svg") && drawing.contains("polyline"));
    }
}

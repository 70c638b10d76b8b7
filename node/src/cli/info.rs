//! `starling info`.

use super::{AdminArgs, output};
use crate::{
    admin::{PoolView, ShardView, StatusView},
    failure::Failure,
};

pub(super) fn run(args: &AdminArgs) -> Result<(), Failure> {
    let status: StatusView = args.fetch("/status")?;
    if args.format == output::Format::Json {
        return output::json(&status);
    }
    let facts = [
        ("node", status.name.clone()),
        ("id", status.node.id.to_string()),
        ("cluster", status.node.cluster.clone()),
        ("release", status.node.release.clone()),
        ("partitioner", status.node.partitioner.clone()),
        (
            "state",
            (if status.node.ready { "ready" } else { "starting" }).to_owned(),
        ),
        ("schema", status.node.schema_version.clone()),
        ("process", status.pid.to_string()),
        ("up for", format!("{} s", status.uptime_seconds)),
        (
            "memory",
            status
                .resident_bytes
                .map_or_else(|| "?".to_owned(), output::bytes),
        ),
        ("mapped files", mapped(&status)),
        ("under way", under_way(&status)),
        ("reads", status.node.counters.reads.to_string()),
        ("writes", status.node.counters.writes.to_string()),
        ("read repairs", status.node.counters.read_repairs.to_string()),
        ("hints kept", status.node.counters.hints_written.to_string()),
        ("unavailable", status.node.counters.unavailable.to_string()),
        (
            "timeouts",
            (status.node.counters.read_timeouts + status.node.counters.write_timeouts).to_string(),
        ),
        ("overloaded", status.node.counters.overloaded.to_string()),
    ];
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in facts {
        println!("{name:width$}  {value}");
    }
    println!();
    let header = [
        "shard",
        "queued",
        "memtables",
        "tables",
        "on disk",
        "log",
        "writes",
        "reads",
        "flushes",
        "compactions",
    ];
    println!(
        "{}",
        output::table(&header, status.shards.iter().enumerate().map(row))
    );
    Ok(())
}

/// How many files it has mapped, and how many maps the system allows it.
fn mapped(status: &StatusView) -> String {
    let of = status
        .map_limit
        .map_or_else(String::new, |limit| format!(" (vm.max_map_count is {limit})"));
    format!("{}{of}", status.mapped_files)
}

/// How much of its budget the node holds, the most of it that was held, and how much it has.
fn under_way(status: &StatusView) -> String {
    let sum = |figure: fn(&PoolView) -> usize| -> String {
        let all: usize = status.budget.iter().map(figure).sum();
        output::bytes(all as u64)
    };
    format!(
        "{} (up to {} of {})",
        sum(|pool| pool.held),
        sum(|pool| pool.peak),
        sum(|pool| pool.limit)
    )
}

fn row((n, shard): (usize, &ShardView)) -> Vec<String> {
    vec![
        n.to_string(),
        shard.queued.to_string(),
        output::bytes(shard.memtable_bytes as u64),
        shard.tables.to_string(),
        output::bytes(shard.table_bytes),
        output::bytes(shard.log_bytes),
        shard.writes.to_string(),
        shard.reads.to_string(),
        shard.flushes.to_string(),
        shard.compactions.to_string(),
    ]
}

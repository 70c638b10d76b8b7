//! `starling sstable`: looking into table files. The node need not run; nothing is changed.

use std::{
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use starling_model::{CellValue, Deletion, Expiry, Row};
use starling_sstable::{
    Error,
    fs::RealFs,
    table::{
        Properties, Table, Verified,
        dump::{Shown, each},
        reader::file_number,
        verify,
    },
};

use super::output;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum SstableCommand {
    /// Show what is in table files, entry by entry
    Dump {
        #[command(flatten)]
        files: Files,
        /// Stop after so many entries of each file
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// One JSON object a line; bytes in hexadecimal
        #[arg(long)]
        json: bool,
    },
    /// Read table files to the last byte: checksums, order, index, filter, statistics
    Verify {
        #[command(flatten)]
        files: Files,
    },
    /// Show what is known of table files
    Stats {
        #[command(flatten)]
        files: Files,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Files {
    /// Table files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Carries out the command on each file; those that are damaged don't keep the others from their turn.
pub(super) fn run(command: SstableCommand) -> Result<(), Failure> {
    match command {
        SstableCommand::Dump { files, limit, json } => on_each(&files, |path| {
            dump(
                path,
                limit.unwrap_or(u64::MAX),
                json,
                &mut std::io::stdout().lock(),
            )
        }),
        SstableCommand::Verify { files } => on_each(&files, |path| {
            let Verified { entries, blocks, .. } = check(path)?;
            println!("{}: whole, {entries} entries in {blocks} blocks", path.display());
            Ok(())
        }),
        SstableCommand::Stats { files, json } => on_each(&files, |path| {
            let table = open(path)?;
            if json {
                return output::json(&stats_json(&table));
            }
            println!("{}", stats_text(&table));
            Ok(())
        }),
    }
}

fn on_each(files: &Files, mut work: impl FnMut(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    let failures: Vec<String> = files
        .files
        .iter()
        .filter_map(|path| work(path).err())
        .map(|failure| failure.to_string())
        .collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(Failure::work(failures.join("\n          ")))
    }
}

fn open(path: &Path) -> Result<Arc<Table>, Failure> {
    let number = file_number(path).unwrap_or_default();
    let table = Table::open_file(&RealFs, path.to_path_buf(), number);
    table.map(Arc::new).map_err(|error| damaged(None, &error))
}

/// The sentence for a file that can't be read, with the tokens of what is damaged.
fn damaged(table: Option<&Table>, error: &Error) -> Failure {
    let (Some(table), Error::Corrupt { offset, .. }) = (table, error) else {
        return Failure::work(error);
    };
    let (from, to) = table.tokens_at(*offset);
    Failure::work(format!(
        "{error}; partitions with tokens {from} to {to} are concerned"
    ))
}

fn check(path: &Path) -> Result<Verified, Failure> {
    let table = open(path)?;
    verify(&table).map_err(|error| damaged(Some(&table), &error))
}

fn dump(path: &Path, limit: u64, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let table = open(path)?;
    let mut left = limit;
    let mut failed = None;
    let read = each(&table, &mut |entry| {
        if !matches!(entry, Shown::Partition(_)) {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
        }
        let written = if json {
            writeln!(out, "{}", entry_json(&entry))
        } else {
            writeln!(out, "{entry}")
        };
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    read.map_err(|error| damaged(Some(&table), &error))?;
    match failed {
        // Who reads has seen enough.
        Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Some(error) => Err(Failure::work(error)),
        None => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}

fn entry_json(entry: &Shown) -> Value {
    match entry {
        Shown::Partition(key) => json!({"kind": "partition", "key": hex(&key.key), "token": key.token.0}),
        Shown::Head(head) => {
            json!({"kind": "head", "ranges": head.ranges, "deletion": head.deletion.map(deletion)})
        }
        Shown::Static(content) => json!({"kind": "static", "row": row(content)}),
        Shown::Range(tombstone) => json!({
            "kind": "range",
            "start": hex(&tombstone.range.start),
            "end": tombstone.range.end.as_deref().map(hex),
            "deletion": deletion(tombstone.deletion),
        }),
        Shown::Row(clustering, content) => {
            json!({"kind": "row", "clustering": hex(&clustering.0), "row": row(content)})
        }
    }
}

fn deletion(deletion: Deletion) -> Value {
    json!({"timestamp": deletion.timestamp.0, "at": deletion.at.0})
}

fn expiry(expiry: Option<Expiry>) -> Value {
    expiry.map_or(
        Value::Null,
        |expiry| json!({"at": expiry.at.0, "ttl": expiry.ttl}),
    )
}

fn row(row: &Row) -> Value {
    let cells = row.cells.iter().map(|cell| {
        let (value, expires, deleted) = match &cell.value {
            CellValue::Live { value, expiry: end } => (Some(hex(value)), expiry(*end), None),
            CellValue::Tombstone(at) => (None, Value::Null, Some(at.0)),
        };
        json!({
            "column": cell.column.0,
            "path": cell.path.as_deref().map(hex),
            "timestamp": cell.timestamp.0,
            "value": value,
            "expiry": expires,
            "deleted_at": deleted,
        })
    });
    let inserted = row
        .marker
        .map(|marker| json!({"timestamp": marker.timestamp.0, "expiry": expiry(marker.expiry)}));
    json!({
        "inserted": inserted,
        "deletion": row.deletion.map(deletion),
        "cells": cells.collect::<Vec<_>>(),
    })
}

/// The file's bytes over those of its content.
fn ratio(table: &Table) -> f64 {
    table.bytes() as f64 / table.properties().raw_bytes.max(1) as f64
}

fn stats_json(table: &Table) -> Value {
    let known = table.properties();
    let due = known.due.bins();
    let due = due.map(|(from, seconds, count)| json!({"from": from.0, "seconds": seconds, "count": count}));
    json!({
        "file": table.path().display().to_string(),
        "bytes": table.bytes(),
        "index_and_filter_bytes": table.index_bytes(),
        "content_bytes": known.raw_bytes,
        "ratio": ratio(table),
        "partitions": known.partitions,
        "rows": known.rows,
        "static_rows": known.static_rows,
        "large_rows": known.large_rows.count,
        "largest_row_bytes": known.large_rows.largest,
        "cells": known.cells,
        "partition_deletions": known.partition_deletions,
        "range_tombstones": known.range_tombstones,
        "row_deletions": known.row_deletions,
        "cell_tombstones": known.cell_tombstones,
        "expiring": known.expiring,
        "timestamps": known.timestamps.map(|(first, last)| [first.0, last.0]),
        "first": {"key": hex(&known.first_key.key), "token": known.first_key.token.0},
        "last": {"key": hex(&known.last_key.key), "token": known.last_key.token.0},
        "newest_write": known.last.0,
        "due": due.collect::<Vec<_>>(),
    })
}

fn stats_text(table: &Table) -> String {
    let known: &Properties = table.properties();
    let timestamps = known.timestamps.map_or("none".to_owned(), |(first, last)| {
        format!("{} to {} microseconds", first.0, last.0)
    });
    let mut facts = vec![
        ("file", table.path().display().to_string()),
        ("size", output::bytes(table.bytes())),
        (
            "content",
            format!(
                "{}, {:.2} of it on disk",
                output::bytes(known.raw_bytes),
                ratio(table)
            ),
        ),
        ("partitions", known.partitions.to_string()),
        ("rows", format!("{} and {} static", known.rows, known.static_rows)),
        (
            "large rows",
            match known.large_rows.largest {
                0 => "none".to_owned(),
                largest => format!(
                    "{} of 16 MiB and more, the largest {}",
                    known.large_rows.count,
                    output::bytes(largest)
                ),
            },
        ),
        ("cells", format!("{}, {} expire", known.cells, known.expiring)),
        (
            "deleted",
            format!(
                "{} partitions, {} ranges, {} rows, {} cells",
                known.partition_deletions, known.range_tombstones, known.row_deletions, known.cell_tombstones
            ),
        ),
        ("timestamps", timestamps),
        (
            "tokens",
            format!("{} to {}", known.first_key.token, known.last_key.token),
        ),
        (
            "index",
            format!(
                "{} with filters, {:.1} bits a partition",
                output::bytes(table.index_bytes()),
                8.0 * table.index_bytes() as f64 / known.partitions.max(1) as f64
            ),
        ),
        ("newest write", known.last.0.to_string()),
    ];
    for (from, seconds, count) in known.due.bins() {
        facts.push((
            "droppable",
            format!("{count} from second {} on, within {seconds}", from.0),
        ));
    }
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> = facts
        .iter()
        .map(|(name, value)| format!("{name:width$}  {value}"))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;

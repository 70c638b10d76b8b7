//! `starling-bench study`.

use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};

use super::{compression, filters, latency, tombstones, wide};
use crate::{engine::error::Error, scratch::Scratch};

/// Answers single questions about the storage engine with measurements.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What is measured
    #[arg(
        value_delimiter = ',',
        default_value = "filters,compression,latency,wide,tombstones",
        value_enum
    )]
    topics: Vec<Topic>,
    /// Rows of the wide partition and of the small ones that it is compared with, and puts of the long load
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    rows: u64,
    /// Tombstones that are gone through
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    tombstones: u64,
    /// Keys in all filters of a kind
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(100_000..))]
    keys: u64,
    /// Where the files go while it runs [default: a temporary directory]
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Topic {
    /// Blocked Bloom, ribbon and binary fuse filters
    Filters,
    /// LZ4 and Zstandard, with and without a dictionary
    Compression,
    /// What a writer waits for over a long load
    Latency,
    /// Slices of one wide partition beside those of small ones
    Wide,
    /// A scan through tombstones
    Tombstones,
}

/// Measures and prints, one table after the other.
///
/// # Errors
///
/// What could not be measured; tables printed before are right.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let temporary = Scratch::new(arguments.dir.as_deref())?;
    for topic in &arguments.topics {
        let dir = temporary.path().join(format!("{topic:?}"));
        match topic {
            Topic::Filters => print("Filters", &filters::study(arguments.keys)?),
            Topic::Compression => print("Blocks", &compression::study()?),
            Topic::Latency => print("Puts over a load", &latency::study(&dir, arguments.rows)?),
            Topic::Wide => print("Slices of 100 rows", &wide::study(&dir, arguments.rows)?),
            Topic::Tombstones => print(
                "A scan through tombstones",
                &tombstones::study(&dir, arguments.tombstones)?,
            ),
        }
    }
    Ok(())
}

/// What a study found: the names of its columns, and its rows, whose first column is a name.
#[derive(Debug)]
pub struct Findings {
    /// The names of the columns.
    pub header: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

fn print(title: &str, findings: &Findings) {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_header(&findings.header)
        .add_rows(&findings.rows);
    for column in 1..findings.header.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{title}:\n\n{table}\n");
}

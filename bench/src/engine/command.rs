//! `starling-bench engine`.

use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};

use super::{
    chart::{self, quantity},
    compare::{Aim, Comparison, compare},
    error::Error,
    rows::WIDE_COLUMNS,
    run::Plan,
    session::{Durability, Store},
};
use crate::scratch::Scratch;

/// Compares the storage engine with others: the same rows, budgets and durability, runs interleaved, each run in a
/// process of its own.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The stores
    #[arg(long, value_delimiter = ',', default_values_t = default_stores(), value_enum)]
    stores: Vec<Store>,
    /// What is compared
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "lz4,plain,two-threads,wide,durable,writers",
        value_enum
    )]
    settings: Vec<Setting>,
    /// Rows that are loaded, at least 50,000
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(50_000..=1 << 32))]
    rows: u64,
    /// How often each store runs; medians are reported
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// When the log is synced, but in the durable setting
    #[arg(long, default_value = "periodic", value_enum)]
    durability: Durability,
    /// The budget of all threads' active memtables, in MiB; all memtables get four times as much
    #[arg(long, default_value_t = 64)]
    memtable_mib: usize,
    /// The cache of blocks of the stores that have one, in MiB
    #[arg(long, default_value_t = 64)]
    cache_mib: usize,
    /// Where the files go while it runs [default: a temporary directory]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Measure nothing, but print and draw what was written with `--json` before
    #[arg(long, value_delimiter = ',', conflicts_with = "json")]
    from: Vec<PathBuf>,
    /// Also write everything that was measured to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also draw a chart of it into this file, as SVG
    #[arg(long)]
    chart: Option<PathBuf>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Setting {
    /// One thread, one column, LZ4
    Lz4,
    /// One thread, one column, no compression
    Plain,
    /// Two threads, one column, LZ4
    TwoThreads,
    /// One thread, ten columns, LZ4
    Wide,
    /// Two threads, each of which commits for 32 writers; a put is over when it is on the disk
    Durable,
    /// The same with 64 threads, each of which waits for its own puts
    Writers,
}

fn default_stores() -> Vec<Store> {
    if cfg!(feature = "peers") {
        vec![Store::Starling, Store::Rocksdb, Store::Fjall]
    } else {
        vec![Store::Starling]
    }
}

impl Setting {
    fn title(self) -> &'static str {
        match self {
            Self::Lz4 => "one thread, LZ4",
            Self::Plain => "one thread, no compression",
            Self::TwoThreads => "two threads, LZ4",
            Self::Wide => "one thread, ten columns, LZ4",
            Self::Durable => "durable, two threads for 64 writers",
            Self::Writers => "durable, 64 threads",
        }
    }

    fn plan(self, arguments: &Arguments, dir: PathBuf) -> Plan {
        let durable = matches!(self, Self::Durable | Self::Writers);
        Plan {
            store: Store::Starling,
            // Fewer are enough where puts wait for the disk.
            rows: match self {
                Self::Lz4 | Self::Plain | Self::TwoThreads | Self::Wide => arguments.rows,
                Self::Durable => arguments.rows / 10,
                Self::Writers => arguments.rows / 100,
            },
            threads: match self {
                Self::Lz4 | Self::Plain | Self::Wide => 1,
                Self::TwoThreads | Self::Durable => 2,
                Self::Writers => 64,
            },
            lz4: self != Self::Plain,
            columns: if self == Self::Wide { WIDE_COLUMNS } else { 1 },
            durability: if durable {
                Durability::Synced
            } else {
                arguments.durability
            },
            writers: match self {
                Self::Durable => 32,
                Self::Writers => 1,
                _ => 0,
            },
            memtable_bytes: arguments.memtable_mib << 20,
            memory_bytes: arguments.memtable_mib << 22,
            cache_bytes: arguments.cache_mib << 20,
            dir,
        }
    }
}

/// Runs the comparison, or reads earlier ones; prints tables and writes files.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    if !arguments.from.is_empty() {
        let mut comparisons: Vec<Comparison> = Vec::new();
        for path in &arguments.from {
            comparisons.append(&mut serde_json::from_slice(&std::fs::read(path)?)?);
        }
        for comparison in &comparisons {
            println!("{}", to_markdown(comparison));
        }
        return write(arguments, &comparisons);
    }
    let temporary = Scratch::new(None)?;
    let base = arguments
        .dir
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    let mut comparisons = Vec::new();
    for setting in &arguments.settings {
        let plan = setting.plan(arguments, base.join("engine-run"));
        let comparison = compare(setting.title(), &plan, &arguments.stores, arguments.runs.max(1))?;
        println!("{}", to_markdown(&comparison));
        comparisons.push(comparison);
        // What is measured is kept even if a later setting fails.
        write(arguments, &comparisons)?;
    }
    Ok(())
}

fn write(arguments: &Arguments, comparisons: &[Comparison]) -> Result<(), Error> {
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_vec(comparisons)?)?;
    }
    if let Some(path) = &arguments.chart {
        std::fs::write(path, chart::draw(comparisons))?;
    }
    Ok(())
}

/// One run of one store, as the comparison starts it; the outcome goes to standard output.
pub fn run_one(plan: &str) -> Result<(), Error> {
    let plan: Plan = serde_json::from_str(plan)?;
    let outcome = super::run::run(&plan)?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

fn to_markdown(comparison: &Comparison) -> String {
    let mut table = Table::new();
    let rows = comparison.rows();
    let stores: Vec<Store> = rows
        .first()
        .map_or_else(Vec::new, |row| row.stores.keys().copied().collect());
    let mut header = vec![comparison.title.clone()];
    header.extend(stores.iter().map(|store| store.name().to_owned()));
    header.extend(["ours / better".to_owned(), "aim".to_owned(), String::new()]);
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    for row in &rows {
        let mut cells = vec![row.name.clone()];
        let medians = stores.iter().map(|store| row.stores.get(store));
        cells.extend(medians.map(|measured| measured.map_or_else(String::new, |it| quantity(it.median))));
        // One of nothing says nothing.
        let ratio = row.ratio().filter(|ratio| ratio.is_finite());
        cells.push(ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")));
        cells.push(match row.aim {
            Some(Aim::Times(aim)) if row.more_is_better => format!(">= {aim}"),
            Some(Aim::Times(aim)) => format!("<= {aim}"),
            Some(Aim::Most(most)) => format!("at most {most}"),
            None => String::new(),
        });
        cells.push(match row.met() {
            Some(true) => "met".to_owned(),
            Some(false) => "missed".to_owned(),
            None => String::new(),
        });
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

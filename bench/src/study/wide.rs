//! A slice in the middle of a very wide partition beside one in the middle of a small one.

use std::path::Path;

use starling_model::Limits;
use starling_sstable::read::Never;

use super::{
    Numbers,
    command::Findings,
    rows::{self, insert, slice},
    timed,
};
use crate::engine::{
    error::Error,
    rows::Values,
    starling::{Shard, failed},
    usage::{self, Watch},
};

/// Rows of a small partition.
const SMALL: u64 = 1_000;

/// Rows of a slice.
const SLICE: u32 = 100;

/// Slices that are read.
const READS: u64 = 20_000;

/// Measures slices and memory of one partition with so many rows, and of many with as many rows together.
///
/// # Errors
///
/// The engine's.
pub fn study(dir: &Path, rows: u64) -> Result<Findings, Error> {
    let mut findings = Findings {
        header: vec![
            "",
            "load, 1/s",
            "peak while loaded, MiB",
            "slice, us",
            "99 %, us",
            "compaction, s",
            "peak while compacted, MiB",
            "slice then, us",
            "99 %, us",
            "peak while read, MiB",
        ],
        rows: Vec::new(),
    };
    for (name, width) in [("one partition", rows), ("partitions of 1,000 rows", SMALL)] {
        let dir = dir.join(width.to_string());
        let mut figures = vec![format!("{rows} rows, {name}")];
        figures.extend(measure(&dir, rows, width)?);
        findings.rows.push(figures);
        std::fs::remove_dir_all(dir)?;
    }
    Ok(findings)
}

fn measure(dir: &Path, rows: u64, width: u64) -> Result<Vec<String>, Error> {
    let values = Values::new();
    let mut shard = rows::shard(dir)?;
    let watch = Watch::start()?;
    let mib = |bytes: u64| format!("{:.0}", bytes as f64 / f64::from(1 << 20));
    let mut numbers = Numbers(1);
    let (loaded, took) = timed(|| {
        for _ in 0..rows {
            // In random order, so that each memtable spans all of it. Some rows are written twice.
            let number = numbers.below(rows);
            shard.apply(&insert(&values, number / width, number % width))?;
        }
        shard.settle()
    });
    loaded?;
    let mut figures = vec![
        format!("{:.0} k", rows as f64 / took.as_secs_f64() / 1e3),
        mib(watch.take()),
    ];
    figures.extend(slices(&shard, rows, width)?);
    watch.take();
    let (compacted, took) = timed(|| shard.compact());
    compacted?;
    figures.push(format!("{:.1}", took.as_secs_f64()));
    figures.push(mib(watch.take()));
    figures.extend(slices(&shard, rows, width)?);
    figures.push(mib(watch.take().max(usage::memory()?.anonymous)));
    Ok(figures)
}

/// The median and the 99th percentile of slices in the middle of partitions, in microseconds.
fn slices(shard: &Shard, rows: u64, width: u64) -> Result<[String; 2], Error> {
    let mut numbers = Numbers(2);
    let mut times = Vec::new();
    for read in 0..2 * READS {
        let partition = numbers.below(rows / width);
        // Far enough from the end that the slice is whole.
        let from = width / 4 + numbers.below(width / 2);
        let limits = Limits {
            rows: SLICE,
            ..Limits::NONE
        };
        let command = slice(partition, from, limits);
        let (answer, took) = timed(|| shard.engine.read_encoded(&command, &mut Never));
        let live = answer.map_err(failed)?.live;
        if live != u64::from(SLICE) {
            return Err(failed(format!("a slice of {SLICE} rows has {live}")));
        }
        // The first half warms what there is to warm.
        if read >= READS {
            times.push(took);
        }
    }
    times.sort_unstable();
    let at = |part: usize| format!("{:.1}", times[times.len() * part / 100].as_nanos() as f64 / 1e3);
    Ok([at(50), at(99)])
}

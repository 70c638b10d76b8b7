//! A read that goes through very many tombstones: bounded in memory, by its deadline, and seen in the figures.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use starling_model::Limits;
use starling_sstable::read::{Deadline, Never};

use super::{
    command::Findings,
    rows::{self, delete, insert, slice},
    timed,
};
use crate::engine::{
    error::Error,
    rows::Values,
    starling::{Shard, failed},
    usage::{self, Watch},
};

/// The partition.
const PARTITION: u64 = 1;

/// One row in so many lives.
const LIVING: u64 = 100_000;

/// How long a read with a deadline may take.
const TIME: Duration = Duration::from_millis(5);

/// Measures reads of the live rows of a partition with so many tombstones between them.
///
/// # Errors
///
/// The engine's.
pub fn study(dir: &Path, tombstones: u64) -> Result<Findings, Error> {
    let values = Values::new();
    let mut shard = rows::shard(dir)?;
    for row in 0..tombstones {
        let record = if row % LIVING == LIVING - 1 {
            insert(&values, PARTITION, row)
        } else {
            delete(PARTITION, row)
        };
        shard.apply(&record)?;
    }
    shard.settle()?;
    let mut findings = Findings {
        header: vec![
            "",
            "pages",
            "live rows",
            "visited",
            "all of it, ms",
            "longest page, ms",
            "more memory, MiB",
        ],
        rows: Vec::new(),
    };
    let bounded = Limits {
        visited: 10_000,
        ..Limits::NONE
    };
    let mut read = |name: &str, limits: Limits, time: Option<Duration>| {
        findings.rows.push(walk(&shard, name, limits, time)?);
        Ok::<_, Error>(())
    };
    read("without a limit", Limits::NONE, None)?;
    read("10,000 visits a page", bounded, None)?;
    read("5 ms a page", Limits::NONE, Some(TIME))?;
    Ok(findings)
}

/// Reads everything, page by page.
fn walk(shard: &Shard, name: &str, limits: Limits, time: Option<Duration>) -> Result<Vec<String>, Error> {
    let before = usage::memory()?.anonymous;
    let watch = Watch::start()?;
    let (visited, live) = (shard.engine.stats().visited, shard.engine.stats().live);
    let mut command = slice(PARTITION, 0, limits);
    let (mut pages, mut longest) = (0_u64, Duration::ZERO);
    let start = Instant::now();
    loop {
        let end = time.map(|time| Instant::now() + time);
        let mut late = || end.is_some_and(|end| Instant::now() >= end);
        let deadline: &mut dyn Deadline = if end.is_some() { &mut late } else { &mut Never };
        let (answer, took) = timed(|| shard.engine.read_encoded(&command, deadline));
        let answer = answer.map_err(failed)?;
        pages += 1;
        longest = longest.max(took);
        match answer.page.next {
            Some(next) => command.after = Some(next),
            None => break,
        }
    }
    let took = start.elapsed();
    let stats = shard.engine.stats();
    let millis = |took: Duration| format!("{:.2}", took.as_secs_f64() * 1e3);
    Ok(vec![
        name.to_owned(),
        pages.to_string(),
        (stats.live - live).to_string(),
        (stats.visited - visited).to_string(),
        millis(took),
        millis(longest),
        format!(
            "{:.1}",
            watch.take().saturating_sub(before) as f64 / f64::from(1 << 20)
        ),
    ])
}

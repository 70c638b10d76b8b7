//! All runs of all stores of one setting, interleaved, and their medians.

use std::{collections::BTreeMap, io::Write, process::Command};

use serde::{Deserialize, Serialize};

use super::{
    error::Error,
    run::{Figure, Outcome, Phase, Plan},
    session::Store,
};

/// One measured quantity of one store: all runs and their median.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// What the runs gave, in their order.
    pub runs: Vec<f64>,
    /// The middle one; of an even number the lower.
    pub median: f64,
}

/// What is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Aim {
    /// At least (or at most) so many times the better of the others.
    Times(f64),
    /// At most so much, whatever the others have.
    Most(f64),
}

/// A quantity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// What was measured, with its unit.
    pub name: String,
    /// Whether more is better.
    pub more_is_better: bool,
    /// What is aimed at.
    pub aim: Option<Aim>,
    /// Of each store.
    pub stores: BTreeMap<Store, Measured>,
}

impl Row {
    /// Ours over the better of the others; `None` where one of them is missing.
    pub fn ratio(&self) -> Option<f64> {
        let ours = self.stores.get(&Store::Starling)?.median;
        let others = self
            .stores
            .iter()
            .filter(|(store, _)| **store != Store::Starling)
            .map(|(_, measured)| measured.median);
        let best = if self.more_is_better {
            others.fold(None, |best: Option<f64>, one| {
                Some(best.map_or(one, |best| best.max(one)))
            })
        } else {
            others.fold(None, |best: Option<f64>, one| {
                Some(best.map_or(one, |best| best.min(one)))
            })
        };
        Some(ours / best?)
    }

    /// Whether the aim is met, where there is one and something to compare with.
    pub fn met(&self) -> Option<bool> {
        match self.aim? {
            Aim::Most(most) => Some(self.stores.get(&Store::Starling)?.median <= most),
            Aim::Times(aim) if self.more_is_better => Some(self.ratio()? >= aim),
            Aim::Times(aim) => Some(self.ratio()? <= aim),
        }
    }
}

/// One setting, compared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    /// The setting, in words.
    pub title: String,
    /// The setting; `store` is whichever came first.
    pub plan: Plan,
    /// All outcomes, in the order in which they were measured.
    pub outcomes: Vec<Outcome>,
}

/// Runs a plan for each store, `runs` times, each store first in turn.
pub fn compare(title: &str, plan: &Plan, stores: &[Store], runs: usize) -> Result<Comparison, Error> {
    let mut outcomes = Vec::new();
    for run in 0..runs {
        for place in 0..stores.len() {
            let store = stores[(run + place) % stores.len()];
            eprint!("{title}: run {} of {runs}, {} ...", run + 1, store.name());
            std::io::stderr().flush()?;
            let outcome = in_own_process(&Plan {
                store,
                ..plan.clone()
            })?;
            eprintln!("{}", brief(&outcome));
            outcomes.push(outcome);
        }
    }
    Ok(Comparison {
        title: title.to_owned(),
        plan: plan.clone(),
        outcomes,
    })
}

fn in_own_process(plan: &Plan) -> Result<Outcome, Error> {
    let output = Command::new(std::env::current_exe()?)
        .arg("engine-run")
        .arg(serde_json::to_string(plan)?)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(Error::Run(format!(
            "{} ended with {}",
            plan.store.name(),
            output.status
        )));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A line on what a run gave, for whoever waits.
fn brief(outcome: &Outcome) -> String {
    let phases: Vec<String> = outcome
        .figures
        .iter()
        .filter(|figure| figure.operations > 0)
        .map(|figure| {
            let rate = figure.operations as f64 / figure.seconds / 1e3;
            let cpu = figure.cpu_seconds * 1e6 / figure.operations as f64;
            format!("{:?} {rate:.0}k/s {cpu:.2}us", figure.phase)
        })
        .collect();
    format!(" {}", phases.join(", "))
}

impl Comparison {
    /// The quantities of the table.
    pub fn rows(&self) -> Vec<Row> {
        let durable = self.plan.writers > 0;
        let mut rows = Vec::new();
        let read = self.read_aim();
        for (phase, name, aim) in [
            (Phase::Load, "load", if durable { 2.0 } else { 1.3 }),
            (Phase::GetBefore, "point read", read),
            (Phase::GetAfter, "point read, compacted", read),
            (Phase::MissBefore, "missing key", 1.2),
            (Phase::MissAfter, "missing key, compacted", 1.2),
            (Phase::ScanBefore, "scan of 100 rows", 1.5),
            (Phase::ScanAfter, "scan of 100 rows, compacted", 1.5),
            (Phase::Mixed, "mixed 50/50", 1.3),
        ] {
            let rate = |figure: &Figure| figure.operations as f64 / figure.seconds;
            let cpu = |figure: &Figure| figure.cpu_seconds * 1e6 / figure.operations as f64;
            let cpu_aim = (phase == Phase::Load && !durable).then_some(Aim::Times(0.8));
            let aim = Some(Aim::Times(aim));
            rows.extend(self.row(&format!("{name}, 1/s"), true, aim, |outcome| {
                outcome.figure(phase).map(rate)
            }));
            rows.extend(self.row(&format!("{name}, CPU us"), false, cpu_aim, |outcome| {
                outcome.figure(phase).map(cpu)
            }));
        }
        if durable {
            return rows;
        }
        rows.extend(self.resources());
        rows
    }

    /// What was spent beside the time.
    fn resources(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        rows.extend(self.row("CPU of the full compaction, s", false, None, |outcome| {
            let compact = outcome
                .figures
                .iter()
                .find(|figure| figure.phase == Phase::Compact)?;
            Some(compact.cpu_seconds)
        }));
        rows.extend(self.row("recovery of the log, 1/s", true, None, |outcome| {
            let recovery = outcome.recovery?;
            Some(recovery.writes as f64 / recovery.seconds)
        }));
        rows.extend(self.row("recovery of the log, MiB/s", true, None, |outcome| {
            let recovery = outcome.recovery?;
            Some(recovery.bytes as f64 / f64::from(1 << 20) / recovery.seconds)
        }));
        rows.extend(self.row("worst put, ms", false, None, |outcome| {
            Some(outcome.figure(Phase::Load)?.latency_ns[3] as f64 / 1e6)
        }));
        rows.extend(self.row("put at 99.9 %, us", false, None, |outcome| {
            Some(outcome.figure(Phase::Load)?.latency_ns[2] as f64 / 1e3)
        }));
        rows.extend(
            self.row("worst small sync beside the load, ms", false, None, |outcome| {
                Some(outcome.worst_sync_ns as f64 / 1e6)
            }),
        );
        // How long the disk itself may take is not the store's; it was probed all the while.
        rows.extend(self.row(
            "worst put beyond that, ms",
            false,
            Some(Aim::Most(5.0)),
            |outcome| {
                let worst = outcome.figure(Phase::Load)?.latency_ns[3];
                Some(worst.saturating_sub(outcome.worst_sync_ns) as f64 / 1e6)
            },
        ));
        let no_more = Some(Aim::Times(1.0));
        let times = |bytes: u64, outcome: &Outcome| Some(bytes as f64 / outcome.raw_bytes as f64);
        rows.extend(
            self.row("disk after the load, of raw", false, no_more, |outcome| {
                times(outcome.disk_bytes, outcome)
            }),
        );
        rows.extend(self.row("disk, compacted, of raw", false, no_more, |outcome| {
            times(outcome.compacted_bytes, outcome)
        }));
        rows.extend(self.row("write amplification", false, no_more, |outcome| {
            times(outcome.written_bytes, outcome)
        }));
        let mib = |bytes: u64| Some(bytes as f64 / f64::from(1 << 20));
        rows.extend(
            self.row("own memory, peak of the load, MiB", false, no_more, |outcome| {
                mib(outcome.load_peak_bytes)
            }),
        );
        rows.extend(
            self.row("own memory, peak of the reads, MiB", false, no_more, |outcome| {
                mib(outcome.read_peak_bytes)
            }),
        );
        rows.extend(self.row("mapped files resident, MiB", false, None, |outcome| {
            mib(outcome.memory.file)
        }));
        rows
    }

    fn read_aim(&self) -> f64 {
        if self.plan.lz4 { 2.0 } else { 4.0 }
    }

    fn row(
        &self,
        name: &str,
        more_is_better: bool,
        aim: Option<Aim>,
        quantity: impl Fn(&Outcome) -> Option<f64>,
    ) -> Option<Row> {
        let mut stores: BTreeMap<Store, Vec<f64>> = BTreeMap::new();
        for outcome in &self.outcomes {
            if let Some(quantity) = quantity(outcome) {
                stores.entry(outcome.store).or_default().push(quantity);
            }
        }
        if stores.is_empty() {
            return None;
        }
        let stores = stores
            .into_iter()
            .map(|(store, runs)| {
                let mut sorted = runs.clone();
                sorted.sort_by(f64::total_cmp);
                let median = sorted[(sorted.len() - 1) / 2];
                (store, Measured { runs, median })
            })
            .collect();
        Some(Row {
            name: name.to_owned(),
            more_is_better,
            aim,
            stores,
        })
    }
}

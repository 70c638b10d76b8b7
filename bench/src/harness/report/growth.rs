//! Latency over the number of records.

use std::fmt;

use super::{
    super::evidence::result::{OperationResult, RunResult},
    plot::{Plot, Series, short},
    ratio::median,
};

/// Results that differ in their records alone, fewest first: the repetitions of each number.
#[derive(Debug)]
pub struct Sizes<'a> {
    /// Whose.
    pub label: &'a str,
    /// Their colour.
    pub colour: &'static str,
    /// The runs with each number of records.
    pub runs: Vec<(u64, &'a [&'a RunResult])>,
}

type Latency = fn(&OperationResult) -> u64;

/// With ten times the records an operation is to take less than so many times as long (docs/performance.md).
const AIM: f64 = 1.3;

/// What is shown.
const LATENCIES: [(&str, Latency); 2] = [("p50", |all| all.p50_us), ("p99", |all| all.p99_us)];

impl Sizes<'_> {
    /// Medians of the runs' latencies, in microseconds, by records.
    fn points(&self, latency: Latency) -> Vec<(u64, f64)> {
        let of = |(records, runs): &(u64, &[&RunResult])| {
            let some = runs.iter().filter(|run| run.total.count > 0);
            let figures: Vec<f64> = some.map(|run| latency(&run.total) as f64).collect();
            (!figures.is_empty() && *records > 0).then(|| (*records, median(&figures)))
        };
        self.runs.iter().filter_map(of).collect()
    }

    /// How many times as long an operation takes with ten times the records: from each number on, and up to each, that lies ten
    /// times from others. Between two numbers both axes are logarithmic. Of less than ten times the records it is what the
    /// whole of them would come to.
    fn decades(&self, latency: Latency) -> Vec<Decade> {
        let points = self.points(latency);
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Vec::new();
        };
        let known = first.0..=last.0;
        let from_each = points.iter().map(|(records, _)| *records);
        let up_to_each = points.iter().map(|(records, _)| records / 10);
        let mut starts: Vec<u64> = from_each
            .chain(up_to_each)
            .filter(|from| known.contains(from) && ten_times(*from).is_some_and(|to| known.contains(&to)))
            .collect();
        starts.sort_unstable();
        starts.dedup();
        let decade = |from: u64| Decade {
            from,
            to: from * 10,
            times: between(&points, from * 10) / between(&points, from),
        };
        if starts.is_empty() && last.0 > first.0 {
            let tens = (last.0 as f64 / first.0 as f64).log10();
            return vec![Decade {
                from: first.0,
                to: last.0,
                times: (last.1 / first.1).powf(1.0 / tens),
            }];
        }
        starts.into_iter().map(decade).collect()
    }

    /// The same in words.
    pub fn told(&self) -> Option<String> {
        self.told_of_each()
            .map(|all| format!("{}: for ten times the records {}", self.label, all.join(", ")))
    }

    /// The same, a line for each latency.
    pub fn lines(&self) -> Vec<String> {
        let line = |told| format!("{}: for ten times the records {told}", self.label);
        self.told_of_each().into_iter().flatten().map(line).collect()
    }

    /// Of each latency. The worst is held against the aim: one ten times may hide in the mean of several.
    fn told_of_each(&self) -> Option<Vec<String>> {
        let told = |(name, latency): (&str, Latency)| {
            let decades = self.decades(latency);
            let worst = decades.iter().map(|decade| decade.times).max_by(f64::total_cmp)?;
            let each: Vec<String> = decades.iter().map(ToString::to_string).collect();
            let met = if worst < AIM { "met" } else { "missed" };
            Some(format!(
                "{name} {worst:.2} times at worst ({}; less than {AIM} is aimed at: {met})",
                each.join(", ")
            ))
        };
        LATENCIES.into_iter().map(told).collect()
    }
}

/// From a number of records to ten times as many, or less where there is no more.
#[derive(Debug, Clone, Copy)]
struct Decade {
    from: u64,
    to: u64,
    /// How many times as long an operation takes.
    times: f64,
}

impl fmt::Display for Decade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (short(self.from as f64), short(self.to as f64));
        let whole = ten_times(self.from) == Some(self.to);
        let carried_on = if whole { "" } else { "carried on " };
        write!(f, "{from} to {to} {carried_on}{:.2}", self.times)
    }
}

/// `None` if nobody has as many records: results may be anybody's.
fn ten_times(records: u64) -> Option<u64> {
    records.checked_mul(10)
}

/// The latency at a number of records that lies between those of two points, or at one of them. There is a point at least.
fn between(points: &[(u64, f64)], records: u64) -> f64 {
    let after = points.partition_point(|(known, _)| *known < records);
    let upper = points[after.min(points.len() - 1)];
    let lower = points[after.saturating_sub(1)];
    let span = (upper.0 as f64 / lower.0 as f64).ln();
    if upper.0 == records || span <= 0.0 {
        return upper.1;
    }
    let share = (records as f64 / lower.0 as f64).ln() / span;
    lower.1 * (upper.1 / lower.1).powf(share)
}

/// A plot for each latency; the records' axis is logarithmic.
pub fn plots(all: &[Sizes<'_>]) -> Vec<Plot> {
    let mut records: Vec<u64> = all
        .iter()
        .flat_map(|sizes| sizes.runs.iter().map(|(records, _)| *records))
        .filter(|records| *records > 0)
        .collect();
    records.sort_unstable();
    records.dedup();
    let x_of = |records: u64| (records as f64).log10();
    let ticks: Vec<(f64, String)> = records
        .into_iter()
        .map(|records| (x_of(records), short(records as f64)))
        .collect();
    LATENCIES
        .into_iter()
        .map(|(name, latency)| Plot {
            title: format!("{name} of all operations over the number of records, µs"),
            x: "records".into(),
            ticks: ticks.clone(),
            logarithmic: false,
            series: all
                .iter()
                .map(|sizes| Series {
                    colour: sizes.colour,
                    points: sizes
                        .points(latency)
                        .into_iter()
                        .map(|(records, us)| (x_of(records), us))
                        .collect(),
                })
                .collect(),
            marks: Vec::new(),
        })
        .collect()
}

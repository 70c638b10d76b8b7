//! Latency over the number of records.

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

    /// How many times as long an operation takes with ten times the records, from the fewest to the most.
    fn for_ten_times(&self, latency: Latency) -> Option<f64> {
        let points = self.points(latency);
        let (first, last) = (points.first()?, points.last()?);
        let tens = (last.0 as f64 / first.0 as f64).log10();
        (tens > 0.0).then(|| (last.1 / first.1).powf(1.0 / tens))
    }

    /// The same in words.
    pub fn told(&self) -> Option<String> {
        let told = |(name, latency): (&str, Latency)| {
            Some(format!("{name} {:.2} times", self.for_ten_times(latency)?))
        };
        let all: Option<Vec<String>> = LATENCIES.into_iter().map(told).collect();
        all.map(|all| format!("{}: for ten times the records {}", self.label, all.join(", ")))
    }
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

//! Ratios of repeated runs, and how sure they are.

/// Two-sided 95 % points of Student's t distribution for 1 to 30 degrees of freedom; beyond, that of the normal one is
/// near enough.
const T_95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// Two-sided 99.5 % points of the same.
const T_99_5: [f64; 30] = [
    127.321, 14.089, 7.453, 5.598, 4.773, 4.317, 4.029, 3.833, 3.690, 3.581, 3.497, 3.428, 3.372, 3.326,
    3.286, 3.252, 3.222, 3.197, 3.174, 3.153, 3.135, 3.119, 3.104, 3.091, 3.078, 3.067, 3.057, 3.047, 3.038,
    3.030,
];

/// A figure of a run, if it has one, and when the run began, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// When.
    pub started: u64,
    /// What.
    pub figure: Option<f64>,
}

/// A ratio of two targets' figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The geometric mean of the ratios of pairs.
    pub value: f64,
    /// Of how many pairs.
    pub pairs: usize,
    /// Where the true one lies in 95 of 100 cases; absent with fewer than two pairs, and of runs that did not take turns.
    pub interval: Option<(f64, f64)>,
    /// The same in 995 of 1000 cases.
    pub wide_interval: Option<(f64, f64)>,
}

impl Ratio {
    /// Of figures to those of the base, run by run in the order of time: runs that took turns are pairs that saw the same
    /// machine. A run without a partner is left out at the end; so is a pair in which one has no figure. `None` if no pair is
    /// left, or one has a figure that is not above 0, which has no ratio.
    ///
    /// The logarithms of the ratios are taken to be normal, and the interval is Student's. It is given only where the runs
    /// took turns: of two blocks of runs, one after the other, nobody knows what the machine did meanwhile.
    pub fn of(runs: &[Observed], base: &[Observed]) -> Option<Self> {
        let by_time = |runs: &[Observed]| {
            let mut runs = runs.to_vec();
            runs.sort_by_key(|run| run.started);
            runs
        };
        let pairs: Vec<(Observed, Observed)> = by_time(runs).into_iter().zip(by_time(base)).collect();
        let figures = pairs.iter().filter_map(|(run, base)| run.figure.zip(base.figure));
        let figures: Vec<(f64, f64)> = figures.collect();
        if figures.is_empty()
            || figures
                .iter()
                .any(|(figure, base)| *figure <= 0.0 || *base <= 0.0)
        {
            return None;
        }
        let logs: Vec<f64> = figures
            .iter()
            .map(|(figure, base)| (figure / base).ln())
            .collect();
        let count = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / count;
        let interval = |points: [f64; 30], normal: f64| {
            (logs.len() > 1 && take_turns(&pairs)).then(|| {
                let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
                let t = points.get(logs.len() - 2).copied().unwrap_or(normal);
                let half = t * (variance / count).sqrt();
                ((mean - half).exp(), (mean + half).exp())
            })
        };
        Some(Self {
            value: mean.exp(),
            pairs: logs.len(),
            interval: interval(T_95, 1.96),
            wide_interval: interval(T_99_5, 2.807),
        })
    }

    /// Whether 1 lies outside of the wide interval: the difference is no chance. A page has about ten ratios, one of which lies
    /// outside of its 95 % interval by chance on two pages of five; outside of the wide one on one of twenty.
    pub fn is_sure(&self) -> bool {
        self.wide_interval
            .is_some_and(|(low, high)| low > 1.0 || high < 1.0)
    }
}

/// Whether both runs of each pair began before those of the next.
fn take_turns(pairs: &[(Observed, Observed)]) -> bool {
    pairs.windows(2).all(|two| {
        let [(a, b), (next_a, next_b)] = two else {
            return true;
        };
        a.started.max(b.started) <= next_a.started.min(next_b.started)
    })
}

/// The figure in the middle; 0 of none.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

//! Ratios of repeated runs, and how sure they are.

/// Two-sided 95 % points of Student's t distribution for 1 to 30 degrees of freedom; beyond, that of the normal one is
/// near enough.
const T_95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// A ratio of two targets' figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The geometric mean of the runs' ratios.
    pub value: f64,
    /// Where the true one lies in 95 of 100 cases; absent with fewer than two pairs of runs.
    pub interval: Option<(f64, f64)>,
}

impl Ratio {
    /// Of figures to those of the base, run by run: interleaved runs are pairs that saw the same machine. A run without a
    /// partner is left out, and so is a pair with a figure that is not above 0. `None` if no pair is left.
    ///
    /// The logarithms of the ratios are taken to be normal, and the interval is Student's.
    pub fn of(figures: &[f64], base: &[f64]) -> Option<Self> {
        let pairs = figures
            .iter()
            .zip(base)
            .filter(|(figure, base)| **figure > 0.0 && **base > 0.0);
        let logs: Vec<f64> = pairs.map(|(figure, base)| (figure / base).ln()).collect();
        if logs.is_empty() {
            return None;
        }
        let count = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / count;
        let interval = (logs.len() > 1).then(|| {
            let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
            let t = T_95.get(logs.len() - 2).copied().unwrap_or(1.96);
            let half = t * (variance / count).sqrt();
            ((mean - half).exp(), (mean + half).exp())
        });
        Some(Self {
            value: mean.exp(),
            interval,
        })
    }

    /// Whether 1 lies outside of the interval: the difference is no chance.
    pub fn is_sure(&self) -> bool {
        self.interval.is_some_and(|(low, high)| low > 1.0 || high < 1.0)
    }
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

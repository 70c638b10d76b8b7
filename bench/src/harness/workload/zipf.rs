//! The Zipf distribution: rank k is drawn in proportion to 1 / k^exponent.

use super::random::Random;

/// Draws ranks by rejection-inversion (Hörmann and Derflinger, "Rejection-inversion to generate variates from monotone
/// discrete distributions", 1996): exact, and without a table or a sum over all ranks, so that the number of ranks may
/// grow at no cost.
#[derive(Debug, Clone, Copy)]
pub struct Zipf {
    ranks: u64,
    exponent: f64,
    first: f64,
    last: f64,
    squeeze: f64,
}

impl Zipf {
    /// Of `ranks` ranks (at least one). The exponent is above 0.
    pub fn new(ranks: u64, exponent: f64) -> Self {
        let ranks = ranks.max(1);
        let mut zipf = Self {
            ranks,
            exponent,
            first: 0.0,
            last: 0.0,
            squeeze: 0.0,
        };
        zipf.first = zipf.integral(1.5) - 1.0;
        zipf.last = zipf.integral(ranks as f64 + 0.5);
        zipf.squeeze = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    /// A rank from 0, the most frequent, below the number of ranks.
    pub fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.last + random.fraction() * (self.first - self.last);
            let place = self.inverse(area);
            let rank = ((place + 0.5) as u64).clamp(1, self.ranks);
            let near = rank as f64 - place <= self.squeeze;
            if near || area >= self.integral(rank as f64 + 0.5) - self.density(rank as f64) {
                return rank - 1;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        x.powf(-self.exponent)
    }

    /// The integral of the density from 1 to x. Near an exponent of 1 it is the logarithm.
    fn integral(&self, x: f64) -> f64 {
        let power = 1.0 - self.exponent;
        if power.abs() < 1e-9 {
            x.ln()
        } else {
            (x.powf(power) - 1.0) / power
        }
    }

    fn inverse(&self, area: f64) -> f64 {
        let power = 1.0 - self.exponent;
        if power.abs() < 1e-9 {
            area.exp()
        } else {
            (1.0 + area * power).max(f64::MIN_POSITIVE).powf(1.0 / power)
        }
    }
}

//! Which record an operation is about.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde::Deserialize;

use super::{
    growth::Growth,
    random::{Random, mix},
    zipf::Zipf,
};

/// The names of the distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// Every record alike.
    #[default]
    Uniform,
    /// A few records most of the time (Zipf).
    Zipfian,
    /// Zipf, with the newest record first.
    Latest,
    /// One after the other, and then from the beginning.
    Sequential,
    /// A share of the records gets most operations, each of them alike; the others get the rest.
    Hot,
    /// A record that does not exist yet: each operation makes one.
    New,
}

/// `keys` in a workload file.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Which distribution.
    pub distribution: Distribution,
    /// Of `zipfian` and `latest`: how steep, above 0; 0.99 unless given, as in YCSB.
    pub exponent: Option<f64>,
    /// Of `zipfian`: whether frequent records are spread over all records (true unless given), or are the first ones.
    pub scrambled: Option<bool>,
    /// Of `hot`: the share of the records that is hot, above 0 and below 1; 0.2 unless given.
    pub hot_records: Option<f64>,
    /// Of `hot`: the share of the operations that go to hot records, from 0 to 1; 0.8 unless given.
    pub hot_operations: Option<f64>,
}

impl Keys {
    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<String> {
        let zipf = matches!(self.distribution, Distribution::Zipfian | Distribution::Latest);
        let hot = self.distribution == Distribution::Hot;
        if self.exponent.is_some() && !zipf {
            return Some("'exponent' belongs to the distributions 'zipfian' and 'latest'".into());
        }
        if self.scrambled.is_some() && self.distribution != Distribution::Zipfian {
            return Some("'scrambled' belongs to the distribution 'zipfian'".into());
        }
        if (self.hot_records.is_some() || self.hot_operations.is_some()) && !hot {
            return Some("'hot_records' and 'hot_operations' belong to the distribution 'hot'".into());
        }
        if self.exponent.is_some_and(|e| !(e > 0.0 && e <= 10.0)) {
            return Some("'exponent' must be above 0 and at most 10".into());
        }
        if self
            .hot_records
            .is_some_and(|share| !(share > 0.0 && share < 1.0))
        {
            return Some("'hot_records' must be above 0 and below 1".into());
        }
        if self
            .hot_operations
            .is_some_and(|share| !(0.0..=1.0).contains(&share))
        {
            return Some("'hot_operations' must be from 0 to 1".into());
        }
        None
    }
}

/// Draws records.
#[derive(Debug)]
pub struct KeyChooser {
    keys: Keys,
    growth: Arc<Growth>,
    /// Where `sequential` stands, for all lanes of this process together; it begins at the process's number.
    turn: Arc<AtomicU64>,
    zipf: Zipf,
    ranks: u64,
    stride: u64,
}

impl KeyChooser {
    /// Among the records that `growth` counts. Lanes that share `turn` go through the records together.
    pub fn new(keys: Keys, growth: Arc<Growth>, turn: Arc<AtomicU64>) -> Self {
        let ranks = growth.loaded().max(1);
        Self {
            zipf: Zipf::new(ranks, keys.exponent.unwrap_or(0.99)),
            keys,
            growth,
            turn,
            ranks,
            stride: scattering(ranks),
        }
    }

    /// A record's number. `New` never gives a number twice.
    pub fn draw(&mut self, random: &mut Random) -> u64 {
        let loaded = self.growth.loaded().max(1);
        match self.keys.distribution {
            Distribution::Uniform => random.below(loaded),
            Distribution::Zipfian => {
                let rank = self.zipf.draw(random);
                if self.keys.scrambled.unwrap_or(true) {
                    scatter(rank, self.stride, loaded)
                } else {
                    rank
                }
            }
            Distribution::Latest => self.latest(random),
            // Of several processes each takes its own: together they go through all.
            Distribution::Sequential => {
                self.turn.fetch_add(self.growth.processes(), Ordering::Relaxed) % loaded
            }
            Distribution::Hot => self.hot(loaded, random),
            Distribution::New => self.growth.next(),
        }
    }

    fn latest(&mut self, random: &mut Random) -> u64 {
        let known = self.growth.known().max(1);
        // The shape hardly changes while the number grows a little.
        if known > self.ranks + self.ranks / 64 {
            self.ranks = known;
            self.zipf = Zipf::new(known, self.keys.exponent.unwrap_or(0.99));
        }
        let rank = self.zipf.draw(random).min(known - 1);
        self.growth.record_at(known - 1 - rank)
    }

    fn hot(&self, loaded: u64, random: &mut Random) -> u64 {
        let share = self.keys.hot_records.unwrap_or(0.2);
        let hot = ((loaded as f64 * share) as u64).clamp(1, loaded);
        let rank = if random.fraction() < self.keys.hot_operations.unwrap_or(0.8) || hot == loaded {
            random.below(hot)
        } else {
            hot + random.below(loaded - hot)
        };
        scatter(rank, self.stride, loaded)
    }
}

/// A factor without a common divisor with `records`, near to their golden section: its multiples lie far apart.
fn scattering(records: u64) -> u64 {
    let mut factor = ((records as f64 * 0.618_033_988_749_895) as u64).max(1);
    while common_divisor(factor, records) != 1 {
        factor += 1;
    }
    factor
}

/// A bijection of the numbers below `records`.
fn scatter(rank: u64, stride: u64, records: u64) -> u64 {
    let offset = mix(records) % records;
    let product = (u128::from(rank) * u128::from(stride) + u128::from(offset)) % u128::from(records);
    product as u64
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

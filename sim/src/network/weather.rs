//! How well the network works.

use std::time::Duration;

use crate::random::Random;

/// What happens to messages, by chance. Chances are per mille of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// The least time under way.
    pub fastest: Duration,
    /// The most time under way of an ordinary message. Messages overtake one another within this.
    pub slowest: Duration,
    /// How many take up to [`tail`](Self::tail) instead.
    pub late: u32,
    /// The most time under way of a late message.
    pub tail: Duration,
    /// How many are lost.
    pub drop: u32,
    /// How many arrive twice.
    pub duplicate: u32,
    /// How many calls are refused because too much is in flight.
    pub refuse: u32,
}

impl Default for Weather {
    /// A quiet local network: up to a millisecond, nothing lost.
    fn default() -> Self {
        Self {
            fastest: Duration::from_micros(50),
            slowest: Duration::from_millis(1),
            late: 0,
            tail: Duration::ZERO,
            drop: 0,
            duplicate: 0,
            refuse: 0,
        }
    }
}

impl Weather {
    /// Any weather, from fair to foul.
    pub fn random(random: &mut Random) -> Self {
        let foul = |random: &mut Random, worst: u64| match random.below(3) {
            0 => 0,
            _ => random.below(worst) as u32,
        };
        Self {
            fastest: Duration::from_micros(20 + random.below(300)),
            slowest: Duration::from_micros(500 + random.below(20_000)),
            late: foul(random, 60),
            tail: Duration::from_millis(20 + random.below(3_000)),
            drop: foul(random, 80),
            duplicate: foul(random, 150),
            refuse: foul(random, 20),
        }
    }
}

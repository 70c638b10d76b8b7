//! What a level is worth: how many replicas have answered, and in which datacenter.

use std::collections::BTreeMap;

use starling_model::Consistency;
use starling_ring::Strategy;

/// The most datacenters of a run.
pub const DATACENTERS: usize = 2;

/// How many replicas each partition has, by datacenter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factors {
    by_datacenter: [usize; DATACENTERS],
    /// The strategy names datacenters, and looks at racks; otherwise it is SimpleStrategy.
    named: bool,
}

/// How many replicas had, or showed, something when a request was answered: at least so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    anywhere: usize,
    /// Those that are known to stand there.
    there: [usize; DATACENTERS],
}

impl Reach {
    /// None for sure.
    pub const NOBODY: Self = Self::anywhere(0);

    /// So many, wherever they stand.
    pub const fn anywhere(count: usize) -> Self {
        Self {
            anywhere: count,
            there: [0; DATACENTERS],
        }
    }

    /// So many in each datacenter.
    pub fn there(there: [usize; DATACENTERS]) -> Self {
        Self {
            anywhere: there.iter().sum(),
            there,
        }
    }

    fn in_one(datacenter: usize, count: usize) -> Self {
        let mut there = [0; DATACENTERS];
        there[datacenter] = count;
        Self::there(there)
    }
}

impl Default for Factors {
    fn default() -> Self {
        Self::simple(1)
    }
}

impl Factors {
    /// So many replicas, whatever their datacenter and rack.
    pub const fn simple(factor: usize) -> Self {
        Self {
            by_datacenter: [factor, 0],
            named: false,
        }
    }

    /// So many in each datacenter, in different racks as far as there are enough.
    pub const fn by_datacenter(factors: [usize; DATACENTERS]) -> Self {
        Self {
            by_datacenter: factors,
            named: true,
        }
    }

    /// How many replicas there are in all.
    pub fn total(&self) -> usize {
        self.by_datacenter.iter().sum()
    }

    /// How many there are in a datacenter.
    pub fn there(&self, datacenter: usize) -> usize {
        self.by_datacenter[datacenter]
    }

    /// How many there are where there are fewest, of the datacenters that have any.
    pub fn least(&self) -> usize {
        let some = self.by_datacenter.iter().filter(|factor| **factor > 0);
        some.min().copied().unwrap_or(0)
    }

    /// Whether one node may rot while another is dead for good. With three replicas these two may be all that
    /// acknowledged a write; with five a third has it, and what rotted is mended from the three that are left.
    pub fn bear_rot_and_death(&self) -> bool {
        self.least() >= 5
    }

    /// How many datacenters have any.
    pub fn datacenters(&self) -> usize {
        self.by_datacenter.iter().filter(|factor| **factor > 0).count()
    }

    /// What nodes call their datacenter; `None` if nobody asks.
    pub fn name(&self, datacenter: usize) -> Option<String> {
        self.named.then(|| format!("dc{}", datacenter + 1))
    }

    /// As the ring places data by it.
    pub fn strategy(&self) -> Strategy {
        if !self.named {
            let factor = self.total() as u32;
            return Strategy::Simple { factor };
        }
        let factors = self.by_datacenter.iter().enumerate();
        let factors = factors.filter(|(_, factor)| **factor > 0);
        let factors: BTreeMap<String, u32> = factors
            .filter_map(|(at, factor)| Some((self.name(at)?, *factor as u32)))
            .collect();
        Strategy::NetworkTopology {
            factors,
            others: None,
        }
    }

    /// As CREATE KEYSPACE has it.
    pub fn cql(&self) -> String {
        let strategy = self.strategy();
        let class = strategy.class().rsplit('.').next().unwrap_or_default();
        let options: Vec<String> = strategy
            .options()
            .iter()
            .map(|(name, factor)| format!("'{name}': {factor}"))
            .collect();
        format!("{{'class': '{class}', {}}}", options.join(", "))
    }

    /// What a level promises that was met by a coordinator in this datacenter.
    pub fn reach(&self, level: Consistency, datacenter: usize) -> Reach {
        let quorum = |factor: usize| factor / 2 + 1;
        let here = self.by_datacenter[datacenter];
        match level {
            Consistency::Any => Reach::NOBODY,
            Consistency::One => Reach::anywhere(1),
            Consistency::Two => Reach::anywhere(2),
            Consistency::Three => Reach::anywhere(3),
            Consistency::Quorum | Consistency::Serial => Reach::anywhere(quorum(self.total())),
            Consistency::All => self.everybody(),
            Consistency::LocalOne => Reach::in_one(datacenter, 1),
            Consistency::LocalQuorum | Consistency::LocalSerial => Reach::in_one(datacenter, quorum(here)),
            Consistency::EachQuorum => {
                let each = self
                    .by_datacenter
                    .map(|factor| if factor == 0 { 0 } else { quorum(factor) });
                Reach::there(each)
            }
        }
    }

    /// Whether a level can be met through a coordinator in this datacenter while so many nodes are down, whichever they are.
    pub fn bear(&self, level: Consistency, datacenter: usize, down: usize) -> bool {
        let quorum = |factor: usize| factor / 2 + 1;
        let left = |factor: usize| factor.saturating_sub(down);
        let (all, here) = (self.total(), self.by_datacenter[datacenter]);
        match level {
            Consistency::Any => true,
            Consistency::One => left(all) >= 1,
            Consistency::Two => left(all) >= 2,
            Consistency::Three => left(all) >= 3,
            Consistency::Quorum | Consistency::Serial => left(all) >= quorum(all),
            Consistency::All => down == 0,
            Consistency::LocalOne => left(here) >= 1,
            Consistency::LocalQuorum | Consistency::LocalSerial => left(here) >= quorum(here),
            Consistency::EachQuorum => {
                let mut some = self.by_datacenter.iter().filter(|factor| **factor > 0);
                some.all(|factor| left(*factor) >= quorum(*factor))
            }
        }
    }

    /// All replicas.
    pub fn everybody(&self) -> Reach {
        Reach::there(self.by_datacenter)
    }

    /// Whether whoever answered has all replicas.
    pub fn is_everybody(&self, reach: Reach) -> bool {
        reach.anywhere >= self.total()
    }

    /// Whether some replica is among both for sure.
    pub fn overlap(&self, one: Reach, other: Reach) -> bool {
        let within = |reach: Reach, at: usize| {
            let elsewhere = self.total() - self.by_datacenter[at];
            reach.there[at].max(reach.anywhere.saturating_sub(elsewhere))
        };
        let meets = |at| within(one, at) + within(other, at) > self.by_datacenter[at];
        one.anywhere + other.anywhere > self.total() || (0..DATACENTERS).any(meets)
    }

    /// Of those that had something, how many have it for good when so many nodes are lost with what they had. Who takes
    /// their place, or their ranges, fetches what a quorum of the others has, of all and of its own datacenter: what a
    /// quorum had a quorum has again.
    pub fn lasting(&self, reach: Reach, losses: usize) -> Reach {
        let left = |count: usize, factor: usize| {
            if count > factor / 2 {
                count
            } else {
                count.saturating_sub(losses)
            }
        };
        let mut there = reach.there;
        for (at, count) in there.iter_mut().enumerate() {
            *count = left(*count, self.by_datacenter[at]);
        }
        Reach {
            anywhere: left(reach.anywhere, self.total()).max(there.iter().sum()),
            there,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: Factors = Factors::by_datacenter([3, 2]);

    #[test]
    fn local_quorums_meet_in_their_datacenter_only() {
        let near = TWO.reach(Consistency::LocalQuorum, 0);
        let far = TWO.reach(Consistency::LocalQuorum, 1);
        assert!(TWO.overlap(near, near) && TWO.overlap(far, far));
        assert!(!TWO.overlap(near, far));
        assert!(!TWO.overlap(near, TWO.reach(Consistency::LocalOne, 0)));
        assert!(
            TWO.overlap(far, TWO.reach(Consistency::LocalOne, 1)),
            "all two have it"
        );
    }

    #[test]
    fn each_quorum_meets_every_local_one() {
        let each = TWO.reach(Consistency::EachQuorum, 0);
        for datacenter in 0..DATACENTERS {
            assert!(TWO.overlap(each, TWO.reach(Consistency::LocalQuorum, datacenter)));
        }
        assert!(!TWO.overlap(each, TWO.reach(Consistency::One, 0)));
    }

    #[test]
    fn quorums_meet_quorums_and_what_they_must() {
        let quorum = TWO.reach(Consistency::Quorum, 0);
        assert!(TWO.overlap(quorum, quorum));
        // Of any three of five one is among the three: but two of those may be the others.
        assert!(!TWO.overlap(quorum, TWO.reach(Consistency::LocalQuorum, 0)));
        let all = TWO.reach(Consistency::All, 1);
        assert!(TWO.overlap(all, TWO.reach(Consistency::LocalOne, 0)) && TWO.is_everybody(all));
        assert!(!TWO.overlap(Reach::NOBODY, quorum));
        // Four of five have one in each datacenter, and two in the larger.
        let four = Reach::anywhere(4);
        assert!(TWO.overlap(four, TWO.reach(Consistency::LocalQuorum, 0)));
    }

    #[test]
    fn a_quorum_of_a_datacenter_outlasts_a_loss() {
        let near = TWO.reach(Consistency::LocalQuorum, 0);
        assert!(TWO.overlap(TWO.lasting(near, 3), near));
        let one = TWO.reach(Consistency::LocalOne, 0);
        assert_eq!(TWO.lasting(one, 1), Reach::NOBODY);
        let simple = Factors::simple(3);
        assert_eq!(simple.lasting(Reach::anywhere(2), 1), Reach::anywhere(2));
        assert_eq!(simple.lasting(Reach::anywhere(1), 1), Reach::NOBODY);
    }

    #[test]
    fn a_level_bears_as_many_as_it_can_do_without() {
        let bear = |level, down| TWO.bear(level, 1, down);
        assert!(bear(Consistency::All, 0) && !bear(Consistency::All, 1));
        assert!(bear(Consistency::Quorum, 2) && !bear(Consistency::Quorum, 3));
        // Of the two there both are needed.
        assert!(bear(Consistency::LocalQuorum, 0) && !bear(Consistency::LocalQuorum, 1));
        assert!(TWO.bear(Consistency::LocalQuorum, 0, 1) && !bear(Consistency::EachQuorum, 1));
        assert!(bear(Consistency::LocalOne, 1) && !bear(Consistency::LocalOne, 2));
        assert!(bear(Consistency::Any, 5));
        let one = Factors::simple(1);
        assert!(one.bear(Consistency::Quorum, 0, 0) && !one.bear(Consistency::Two, 0, 0));
    }

    #[test]
    fn the_strategy_is_the_one_of_the_statement() {
        assert_eq!(
            Factors::simple(3).cql(),
            "{'class': 'SimpleStrategy', 'replication_factor': 3}"
        );
        assert_eq!(
            TWO.cql(),
            "{'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 2}"
        );
        assert_eq!(
            Factors::by_datacenter([3, 0]).cql(),
            "{'class': 'NetworkTopologyStrategy', 'dc1': 3}"
        );
    }
}

//! How many replicas a consistency level needs, and where.
//!
//! The numbers are Cassandra's (`ConsistencyLevel.blockFor`, `ReplicaPlans.assureSufficientLiveReplicas`),
//! because drivers show them to people and act on them: they follow from the replication factor alone, also
//! when the cluster has fewer nodes than that.

use std::collections::BTreeMap;

use starling_model::Consistency;

use crate::placement::Replication;

/// Who has to answer before a request is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    scope: Scope,
    block_for: u32,
    any_node: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    /// Replicas anywhere.
    Cluster,
    /// Replicas in this datacenter only.
    Local(String),
    /// In each of these datacenters so many.
    Each(BTreeMap<String, u32>),
}

/// There are fewer replicas than the level needs: the numbers of the protocol's errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    /// How many are needed (EACH_QUORUM: in the first datacenter that has too few).
    pub required: u32,
    /// How many there are.
    pub alive: u32,
}

impl Requirement {
    /// What a level means for a keyspace, seen from a coordinator in `local` datacenter.
    ///
    /// ```
    /// # use std::collections::{BTreeMap, BTreeSet};
    /// # use starling_model::Consistency;
    /// # use starling_ring::{Replication, Requirement, Strategy};
    /// let strategy = Strategy::parse("NetworkTopologyStrategy", [("east", "3"), ("west", "2")])?;
    /// let replication = Replication::new(&strategy, &BTreeSet::from(["east", "west"]));
    /// let needs = |level| Requirement::new(level, &replication, "east").block_for();
    /// assert_eq!(needs(Consistency::Quorum), 3);
    /// assert_eq!(needs(Consistency::LocalQuorum), 2);
    /// assert_eq!(needs(Consistency::EachQuorum), 2 + 2);
    /// # Ok::<(), starling_ring::StrategyError>(())
    /// ```
    pub fn new(level: Consistency, replication: &Replication, local: &str) -> Self {
        let total = replication.total();
        let local_quorum = replication.by_datacenter().map_or(quorum(total), |factors| {
            quorum(factors.get(local).copied().unwrap_or(0))
        });
        let cluster = |block_for| (Scope::Cluster, block_for);
        let in_local = |block_for| (Scope::Local(local.to_owned()), block_for);
        let (scope, block_for) = match level {
            Consistency::Any | Consistency::One => cluster(1),
            Consistency::Two => cluster(2),
            Consistency::Three => cluster(3),
            Consistency::Quorum | Consistency::Serial => cluster(quorum(total)),
            Consistency::All => cluster(total),
            Consistency::LocalOne => in_local(1),
            Consistency::LocalQuorum | Consistency::LocalSerial => in_local(local_quorum),
            Consistency::EachQuorum => match replication.by_datacenter() {
                None => cluster(quorum(total)),
                Some(factors) => {
                    let each: BTreeMap<String, u32> = factors
                        .iter()
                        .map(|(name, factor)| (name.clone(), quorum(*factor)))
                        .collect();
                    let sum = each.values().sum();
                    (Scope::Each(each), sum)
                }
            },
        };
        Self {
            scope,
            block_for,
            any_node: level == Consistency::Any,
        }
    }

    /// How many answers are needed in all; what errors report as `required`.
    pub fn block_for(&self) -> u32 {
        self.block_for
    }

    /// Whether a hint on any node is as good as a replica's acknowledgement (level ANY).
    pub fn hint_suffices(&self) -> bool {
        self.any_node
    }

    /// Whether an answer from a replica in this datacenter counts.
    pub fn counts(&self, datacenter: &str) -> bool {
        match &self.scope {
            Scope::Cluster => true,
            Scope::Local(local) => local == datacenter,
            Scope::Each(each) => each.contains_key(datacenter),
        }
    }

    /// For EACH_QUORUM under NetworkTopologyStrategy: how many in each datacenter.
    pub fn by_datacenter(&self) -> Option<&BTreeMap<String, u32>> {
        match &self.scope {
            Scope::Each(each) => Some(each),
            Scope::Cluster | Scope::Local(_) => None,
        }
    }

    /// Whether replicas in these datacenters (one item for each replica) are enough.
    pub fn check<'a>(&self, replicas: impl IntoIterator<Item = &'a str>) -> Result<(), Shortfall> {
        if self.any_node {
            return Ok(());
        }
        let mut tally = self.tally();
        for datacenter in replicas {
            tally.add(datacenter);
        }
        tally.shortfall().map_or(Ok(()), Err)
    }

    /// Counts answers as they come.
    pub fn tally(&self) -> Tally {
        Tally {
            requirement: self.clone(),
            received: 0,
            each: BTreeMap::new(),
        }
    }
}

/// The answers that a request has so far.
#[derive(Debug, Clone)]
pub struct Tally {
    requirement: Requirement,
    /// Those that count.
    received: u32,
    each: BTreeMap<String, u32>,
}

impl Tally {
    /// Counts one replica of this datacenter; says whether the level is met now.
    pub fn add(&mut self, datacenter: &str) -> bool {
        if self.requirement.counts(datacenter) {
            self.received += 1;
            if self.requirement.by_datacenter().is_some() {
                *self.each.entry(datacenter.to_owned()).or_default() += 1;
            }
        }
        self.is_met()
    }

    /// Whether the level is met.
    pub fn is_met(&self) -> bool {
        self.shortfall().is_none()
    }

    /// How many answers counted; what errors report as `received`.
    ///
    /// Where a datacenter answered more than EACH_QUORUM needs of it the surplus is left out, so that a
    /// request that is not met never shows as many received as required.
    pub fn received(&self) -> u32 {
        match self.requirement.by_datacenter() {
            None => self.received,
            Some(each) => each.iter().map(|(name, needed)| self.of(name).min(*needed)).sum(),
        }
    }

    /// What is missing for the level; `None` once it is met.
    pub fn shortfall(&self) -> Option<Shortfall> {
        let short = |required, alive| (alive < required).then_some(Shortfall { required, alive });
        match self.requirement.by_datacenter() {
            None => short(self.requirement.block_for, self.received),
            Some(each) => each
                .iter()
                .find_map(|(name, needed)| short(*needed, self.of(name))),
        }
    }

    fn of(&self, datacenter: &str) -> u32 {
        self.each.get(datacenter).copied().unwrap_or(0)
    }
}

/// A majority.
fn quorum(factor: u32) -> u32 {
    factor / 2 + 1
}

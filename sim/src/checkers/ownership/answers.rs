//! Two nodes that mean different owners.

use std::collections::BTreeSet;

use starling_model::{NodeId, Token};
use starling_replication::{Owners, topology::Phase};
use starling_ring::Placement;

use super::belief::Belief;

/// Two nodes with one epoch that have different rings, or owners.
pub(super) fn differ(a: &Belief, b: &Belief) -> Option<String> {
    if a.stamp.epoch != b.stamp.epoch || a.stamp.digest == 0 || b.stamp.digest == 0 {
        return None;
    }
    let names = format!("n{} and n{}, epoch {}", a.number, b.number, a.stamp.epoch);
    if a.stamp.digest != b.stamp.digest {
        let contested = match (a.state.change(), b.state.change()) {
            (Some(one), Some(other)) => {
                one.id != other.id && one.phase == Phase::Pending && other.phase == Phase::Pending
            }
            _ => false,
        };
        let same = contested && a.state.members() == b.state.members();
        return (!same).then(|| format!("{names}: they have different rings"));
    }
    let different = a.owners.iter().find(|(keyspace, one)| {
        let other = b.owners.get(*keyspace);
        // A keyspace may be replicated in another way at one of them, until they agree on the schema.
        other.is_some_and(|other| {
            one.current.replication() == other.current.replication()
                && (&one.current, &one.next) != (&other.current, &other.next)
        })
    });
    different.map(|(keyspace, _)| format!("{names}: keyspace {keyspace} has different owners"))
}

/// Two nodes on whose rings there are quorums that have no node in common.
pub(super) fn pass_by(a: &Belief, b: &Belief, living: &[&Belief]) -> Option<String> {
    if a.stamp.digest == b.stamp.digest || !a.plans() || !b.plans() {
        return None;
    }
    let able = |planner: &Belief| -> BTreeSet<NodeId> {
        let able = living.iter().filter(|node| node.would_let_in(planner.stamp));
        able.map(|node| node.id).collect()
    };
    a.owners.iter().find_map(|(keyspace, one)| {
        let other = b.owners.get(keyspace)?;
        let (one, other) = (Side::of(one, able(a), a), Side::of(other, able(b), b));
        let (token, left, right) = one.passes_by(&other)?;
        Some(format!(
            "n{} plans on epoch {} and n{} on epoch {}: of token {token} of {keyspace} {left:?} suffice to the one and \
             {right:?} to the other",
            a.number, a.stamp.epoch, b.number, b.stamp.epoch
        ))
    })
}

/// In the end: whose ring is another one, or goes on changing, or has owners that are down.
pub(super) fn unsettled(living: &[&Belief]) -> Option<String> {
    let serving: Vec<&Belief> = living.iter().copied().filter(|belief| belief.plans()).collect();
    let first = serving.first()?;
    let up: BTreeSet<NodeId> = serving.iter().map(|belief| belief.id).collect();
    for belief in &serving {
        if belief.stamp != first.stamp || belief.state.change().is_some() {
            return Some(format!(
                "n{} and n{} do not end with one ring: {:?} and {:?}, change {:?}",
                first.number,
                belief.number,
                first.stamp,
                belief.stamp,
                belief.state.change()
            ));
        }
        for (keyspace, owners) in &belief.owners {
            let mut ranges = owners.current.ranges();
            let down = ranges.find(|(_, replicas)| replicas.iter().any(|owner| !up.contains(owner)));
            if let Some((range, replicas)) = down {
                return Some(format!(
                    "n{}: of the owners {replicas:?} of {range} of {keyspace} some are down in the end",
                    belief.number
                ));
            }
        }
    }
    None
}

/// The placements that a request of one planner has to meet its level in, and who would let it in.
struct Side<'a> {
    placements: Vec<&'a Placement>,
    able: BTreeSet<NodeId>,
    planner: &'a Belief,
}

impl<'a> Side<'a> {
    fn of(owners: &'a Owners, able: BTreeSet<NodeId>, planner: &'a Belief) -> Self {
        let next = owners.next.as_deref();
        Self {
            placements: [Some(&*owners.current), next].into_iter().flatten().collect(),
            able,
            planner,
        }
    }

    /// A token, and a quorum of each side that have no node in common.
    fn passes_by(&self, other: &Self) -> Option<(Token, Vec<NodeId>, Vec<NodeId>)> {
        // Two quorums of one placement always meet.
        let is_shared = |one: &&Placement| other.placements.contains(one);
        if self.placements.iter().any(is_shared) {
            return None;
        }
        let all = || self.placements.iter().chain(&other.placements);
        let ends: BTreeSet<Token> = all()
            .flat_map(|placement| placement.ranges())
            .map(|(range, _)| range.end)
            .collect();
        let mut datacenters: BTreeSet<Option<&str>> = BTreeSet::from([None]);
        if all().all(|placement| placement.replication().by_datacenter().is_some()) {
            let factors = all().filter_map(|placement| placement.replication().by_datacenter());
            datacenters.extend(factors.flat_map(|factors| factors.keys().map(|name| Some(name.as_str()))));
        }
        ends.into_iter().find_map(|token| {
            let mut scopes = datacenters.iter();
            scopes.find_map(|datacenter| {
                let (left, right) =
                    disjoint(&self.needs(token, *datacenter), &other.needs(token, *datacenter))?;
                Some((token, left, right))
            })
        })
    }

    fn needs(&self, token: Token, datacenter: Option<&str>) -> Needs {
        let members: Vec<_> = self.planner.state.members();
        let next: Vec<_> = self.planner.state.next_members().unwrap_or_default();
        let stands = |id: &NodeId| {
            let mut all = members.iter().chain(&next);
            datacenter.is_none_or(|name| all.any(|member| member.id == *id && member.datacenter == name))
        };
        let sets: Vec<(Vec<NodeId>, usize)> = self
            .placements
            .iter()
            .map(|placement| {
                let replication = placement.replication();
                let factor = match (datacenter, replication.by_datacenter()) {
                    (Some(name), Some(factors)) => factors.get(name).copied().unwrap_or(0),
                    _ => replication.total(),
                };
                let replicas = placement.replicas(token).iter().copied().filter(stands);
                (replicas.collect(), factor as usize / 2 + 1)
            })
            .collect();
        let owners: BTreeSet<NodeId> = sets.iter().flat_map(|(set, _)| set.iter().copied()).collect();
        Needs {
            able: owners.intersection(&self.able).copied().collect(),
            sets,
        }
    }
}

/// Sets of owners, with how many of each are needed, and those of them all who would let a request in.
pub(super) struct Needs {
    pub(super) sets: Vec<(Vec<NodeId>, usize)>,
    pub(super) able: Vec<NodeId>,
}

impl Needs {
    fn are_met(&self, nodes: &[NodeId]) -> bool {
        let answering = |set: &[NodeId]| set.iter().filter(|owner| nodes.contains(owner)).count();
        self.sets.iter().all(|(set, needed)| answering(set) >= *needed)
    }
}

/// A quorum of each that have no node in common. All choices are tried: there are few owners.
pub(super) fn disjoint(one: &Needs, other: &Needs) -> Option<(Vec<NodeId>, Vec<NodeId>)> {
    // Nothing can be met that all together do not meet.
    if !one.are_met(&one.able) || !other.are_met(&other.able) {
        return None;
    }
    let count = one.able.len().min(20);
    (0_u32..1 << count).find_map(|choice| {
        let chosen = one
            .able
            .iter()
            .enumerate()
            .filter(|(at, _)| choice >> at & 1 == 1);
        let chosen: Vec<NodeId> = chosen.map(|(_, node)| *node).collect();
        if !one.are_met(&chosen) {
            return None;
        }
        let rest: Vec<NodeId> = other
            .able
            .iter()
            .copied()
            .filter(|node| !chosen.contains(node))
            .collect();
        other.are_met(&rest).then_some((chosen, rest))
    })
}

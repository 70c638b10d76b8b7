//! Tokens without enough owners, or with two.

use std::collections::{BTreeMap, BTreeSet};

use starling_model::{NodeId, Token};
use starling_replication::topology::ChangeKind;
use starling_ring::{Member, Placement, Replication};

use super::belief::Belief;

/// The first gap in what a node believes.
pub(super) fn find(belief: &Belief) -> Option<String> {
    let current = belief.state.members();
    let next = belief.state.next_members();
    let twice = twice_claimed(&current).or_else(|| twice_claimed(next.as_ref()?));
    if let Some(token) = twice {
        return Some(format!("{}: two members claim token {token}", of(belief)));
    }
    for (keyspace, owners) in &belief.owners {
        // What requests see follows the ring within one poll.
        if owners.ring != belief.stamp {
            return Some(format!(
                "{}: keyspace {keyspace} is placed by another ring, {:?}",
                of(belief),
                owners.ring
            ));
        }
        // Where the change leaves them alone they are the same after it.
        let after = owners.next.as_ref().unwrap_or(&owners.current);
        let gap = in_placement(&owners.current, &current)
            .or_else(|| in_placement(after, next.as_ref()?).map(|gap| format!("after the change {gap}")));
        if let Some(gap) = gap {
            return Some(format!("{}: keyspace {keyspace}: {gap}", of(belief)));
        }
        if owners.next.is_none() && gives_to_a_newcomer(belief, &owners.current) {
            let of = of(belief);
            return Some(format!(
                "{of}: keyspace {keyspace} has no other owners after the change"
            ));
        }
    }
    None
}

/// Whether a node is coming in where the keyspace has replicas: then some of them become others.
fn gives_to_a_newcomer(belief: &Belief, placement: &Placement) -> bool {
    let Some(ChangeKind::Join { member, .. }) = belief.state.change().map(|change| &change.kind) else {
        return false;
    };
    let by_datacenter = placement.replication().by_datacenter();
    by_datacenter.is_none_or(|factors| factors.get(&member.datacenter).is_some_and(|factor| *factor > 0))
}

fn of(belief: &Belief) -> String {
    format!("n{}, epoch {}", belief.number, belief.stamp.epoch)
}

fn twice_claimed(members: &[Member]) -> Option<Token> {
    let mut seen = BTreeSet::new();
    let mut tokens = members.iter().flat_map(|member| &member.tokens);
    tokens.find(|token| !seen.insert(**token)).copied()
}

/// Where a placement has other owners than so many distinct members.
fn in_placement(placement: &Placement, members: &[Member]) -> Option<String> {
    let members: BTreeMap<NodeId, &str> = members
        .iter()
        .filter(|member| !member.tokens.is_empty())
        .map(|member| (member.id, member.datacenter.as_str()))
        .collect();
    let wanted = wanted(placement.replication(), &members);
    for (range, replicas) in placement.ranges() {
        let distinct: BTreeSet<&NodeId> = replicas.iter().collect();
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for replica in &distinct {
            let Some(datacenter) = members.get(replica) else {
                return Some(format!("{replica} owns {range}, and is no member"));
            };
            let everywhere = placement.replication().by_datacenter().is_none();
            *found.entry(if everywhere { "" } else { datacenter }).or_default() += 1;
        }
        if distinct.len() != replicas.len() || found != wanted {
            return Some(format!("{range} has the owners {replicas:?}, not {wanted:?}"));
        }
    }
    None
}

/// How many owners each token must have, by datacenter; under "" where the strategy knows none.
fn wanted<'a>(replication: &'a Replication, members: &BTreeMap<NodeId, &str>) -> BTreeMap<&'a str, usize> {
    let total = [("", replication.total())];
    let wanted: Vec<(&str, u32)> = match replication.by_datacenter() {
        None => total.to_vec(),
        Some(factors) => factors
            .iter()
            .map(|(name, factor)| (name.as_str(), *factor))
            .collect(),
    };
    let there = |name: &str| {
        let stands = |datacenter: &&&str| name.is_empty() || **datacenter == name;
        members.values().filter(stands).count()
    };
    let wanted = wanted
        .into_iter()
        .map(|(name, factor)| (name, there(name).min(factor as usize)));
    wanted.filter(|(_, count)| *count > 0).collect()
}

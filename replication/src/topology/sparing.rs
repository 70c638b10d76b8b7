//! Whether nodes can be spared: whether those that are left are enough for the replicas that keyspaces ask for.
//!
//! With fewer nodes than replicas, but one, nothing is lost, and levels are what they were: QUORUM of three replicas is two, also of
//! two nodes. So each node that fails then costs more; an operator has to want that.

use starling_cql::schema::{Replications, Schema};
use starling_ring::{Member, Replication, Strategy};

use super::{ChangeKind, RingState};
use crate::placements::Strategies;

/// What keyspaces would lack after a change, each in a sentence: those that would have fewer replicas than they ask
/// for, and fewer than now. A keyspace that is altered is meant to have fewer.
pub(crate) fn shortages(
    schema: &Schema,
    replications: &Replications,
    members: &[Member],
    change: &ChangeKind,
) -> Vec<String> {
    let next = change.next(members);
    let datacenters = members.iter().map(|member| member.datacenter.as_str()).collect();
    let mut shortages = Vec::new();
    for keyspace in schema.keyspaces().filter(|keyspace| !keyspace.is_system()) {
        let strategies = Strategies::of(schema, &keyspace.name, replications, replications);
        let Some(strategy) = strategies.map(|it| it.before).filter(|it| *it != Strategy::Local) else {
            continue;
        };
        let asked = Replication::new(&strategy, &datacenters);
        let mut lacks = |datacenter: Option<&str>, factor: u32| {
            let count = |members: &[Member]| {
                let is_there = |member: &&Member| datacenter.is_none_or(|name| member.datacenter == name);
                members.iter().filter(is_there).count()
            };
            let (before, after) = (count(members), count(&next));
            if after < before && after < factor as usize {
                let place = datacenter.map_or_else(String::new, |name| format!(" in datacenter {name}"));
                shortages.push(format!(
                    "keyspace {} asks for {factor} replicas{place}, and {after} nodes would be left for them",
                    keyspace.name
                ));
            }
        };
        match asked.by_datacenter() {
            None => lacks(None, asked.total()),
            Some(factors) => factors
                .iter()
                .for_each(|(datacenter, factor)| lacks(Some(datacenter), *factor)),
        }
    }
    shortages
}

/// Why nodes can't leave, forced or not; `None` if they can: a keyspace would have no replica at all, and its data no place to
/// go. Of the dead, who are removed, nothing can be had anyway.
pub(super) fn orphan(schema: &Schema, state: &RingState, change: &ChangeKind) -> Option<String> {
    if !matches!(change, ChangeKind::Leave(_)) {
        return None;
    }
    let members = state.members();
    let next = change.next(&members);
    let datacenters = members.iter().map(|member| member.datacenter.as_str()).collect();
    let mut keyspaces = schema.keyspaces().filter(|keyspace| !keyspace.is_system());
    let orphan = keyspaces.find(|keyspace| {
        let strategies = Strategies::of(schema, &keyspace.name, state.replications(), state.replications());
        let strategy = strategies.map(|it| it.before).filter(|it| *it != Strategy::Local);
        let asked = strategy.map(|strategy| Replication::new(&strategy, &datacenters));
        let by_datacenter = asked.as_ref().and_then(Replication::by_datacenter);
        let keeps = |members: &[Member]| {
            let has = |name: &str| members.iter().any(|member| member.datacenter == name);
            by_datacenter.is_none_or(|factors| factors.iter().any(|(name, factor)| *factor > 0 && has(name)))
        };
        keeps(&members) && !keeps(&next)
    })?;
    Some(format!(
        "keyspace {} has replicas in this node's datacenter only, and no other node is there: let one join, or ALTER or DROP \
         the keyspace first; nothing was changed",
        orphan.name
    ))
}

/// Why a change is refused unless it is forced; `None` if nodes can be spared.
pub(super) fn refusal(schema: &Schema, state: &RingState, change: &ChangeKind) -> Option<String> {
    let shortages = shortages(schema, state.replications(), &state.members(), change);
    let first = shortages.first()?;
    let more = match shortages.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let instead = match change {
        ChangeKind::Remove(_) => "start a node in its place (`starling node --replace`)",
        _ => "let another node join first",
    };
    Some(format!(
        "{first}{more}; {instead}, lower the replication factor with ALTER KEYSPACE, or repeat the command with --force"
    ))
}

//! NetworkTopologyStrategy: for each datacenter its own factor, racks apart.
//!
//! The rule is Cassandra's (`NetworkTopologyStrategy.calculateNaturalReplicas`, since 2.1): one walk along
//! the ring serves all datacenters. A node of a rack that is new to its datacenter is always taken. A node
//! of a rack that is there already is taken only while there are more replicas wanted than racks, so that
//! enough places stay free for every rack to have one.

use std::collections::{BTreeMap, BTreeSet};

use starling_model::Token;

use crate::member::Member;

/// Collects replicas from a token on, for all datacenters at once.
pub(super) struct Walker<'a> {
    tokens: &'a [(Token, u32)],
    /// For each member where it stands; `None`: its datacenter has no replicas, or it has no tokens.
    places: Vec<Option<Place>>,
    /// For each datacenter with replicas what a walk starts with.
    goals: Vec<Goal>,
    /// For each rack the last walk that took a node from it.
    rack_seen: Vec<u64>,
    walk: u64,
    /// What the present walk still has to find.
    left: Vec<Goal>,
}

#[derive(Clone, Copy)]
struct Place {
    /// In `goals`.
    datacenter: usize,
    /// In `rack_seen`.
    rack: usize,
}

#[derive(Clone, Copy)]
struct Goal {
    /// Replicas to find.
    replicas: usize,
    /// How many of them may come from a rack that has one already.
    repeats: usize,
}

impl<'a> Walker<'a> {
    pub(super) fn new(
        members: &'a [Member],
        tokens: &'a [(Token, u32)],
        factors: &BTreeMap<String, u32>,
    ) -> Self {
        let owners: BTreeSet<u32> = tokens.iter().map(|(_, owner)| *owner).collect();
        let mut racks: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut places = vec![None; members.len()];
        let mut goals = Vec::new();
        for (datacenter, &factor) in factors {
            let mut nodes = 0;
            let racks_before = racks.len();
            for &owner in &owners {
                let member = &members[owner as usize];
                if member.datacenter != *datacenter {
                    continue;
                }
                nodes += 1;
                let next = racks.len();
                let rack = *racks.entry((&member.datacenter, &member.rack)).or_insert(next);
                places[owner as usize] = Some(Place {
                    datacenter: goals.len(),
                    rack,
                });
            }
            let factor = factor as usize;
            goals.push(Goal {
                replicas: factor.min(nodes),
                repeats: factor.saturating_sub(racks.len() - racks_before),
            });
        }
        Self {
            tokens,
            places,
            left: goals.clone(),
            goals,
            rack_seen: vec![0; racks.len()],
            walk: 0,
        }
    }

    pub(super) fn replicas_from(&mut self, start: usize, replicas: &mut Vec<u32>) {
        self.walk += 1;
        self.left.clone_from(&self.goals);
        let mut wanted: usize = self.goals.iter().map(|goal| goal.replicas).sum();
        let (before, after) = self.tokens.split_at(start);
        for (_, owner) in after.iter().chain(before) {
            if wanted == 0 {
                return;
            }
            let Some(place) = self.places[*owner as usize] else {
                continue;
            };
            let goal = &mut self.left[place.datacenter];
            if goal.replicas == 0 || replicas.contains(owner) {
                continue;
            }
            let seen = &mut self.rack_seen[place.rack];
            if *seen == self.walk {
                if goal.repeats == 0 {
                    continue;
                }
                goal.repeats -= 1;
            }
            *seen = self.walk;
            goal.replicas -= 1;
            wanted -= 1;
            replicas.push(*owner);
        }
    }
}

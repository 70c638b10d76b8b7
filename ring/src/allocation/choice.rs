//! Choosing where to cut.

use std::collections::BTreeMap;

use super::{
    Newcomer,
    balance::Balance,
    circle::{Effect, Lists, Share, place},
    draft::Manner,
};
use crate::member::Member;

/// The most arcs that are looked at for one token; beyond it a sample of them.
const CANDIDATES: usize = 4096;

/// A cut leaves at least this share of an arc on either side.
const SLIVER: f64 = 0.1;

/// Arcs narrower than this are not cut.
const MIN_WIDTH: u64 = 1024;

/// How much is wrong with the loads, and what of it a choice tries to lower.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    /// The newcomer's number.
    newcomer: u32,
    /// How many tokens it wants.
    count: usize,
    /// What is to be balanced: first replicas, of which each arc has one, and unless tokens make no difference to them
    /// the first two and all.
    balances: Vec<Balance>,
}

/// A node's load after a cut: `now + slope * at`, in ideals and above the goal.
#[derive(Debug, Clone, Copy)]
struct Term {
    now: f64,
    slope: f64,
    weight: f64,
    /// How much more an excess counts than a lack.
    severity: f64,
}

/// Lists that are used again and again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    lists: Lists,
    effects: Vec<Effect>,
    terms: Vec<Term>,
}

impl Choice {
    /// What `newcomer` finds. `neighbours` are the members of its datacenter that have tokens; at least one.
    pub(super) fn new(neighbours: &[&Member], newcomer: Newcomer<'_>) -> Self {
        let (racks, sizes) = racks_of(neighbours, newcomer.rack);
        let me = neighbours.len() as u32;
        let own_rack = racks[me as usize];
        let tokens = |in_rack: Option<u32>| -> Vec<(u64, u32)> {
            let placed = neighbours.iter().zip(0_u32..);
            placed
                .filter(|(_, node)| in_rack.is_none_or(|rack| racks[*node as usize] == rack))
                .flat_map(|(member, node)| member.tokens.iter().map(move |token| (place(*token), node)))
                .collect()
        };
        let mut balances = vec![Balance::of_first(&racks, racks.len(), tokens(None))];
        let rack_count = sizes.len() as u32;
        // A node that is alone in its rack has one replica of everything, wherever its tokens are.
        let alone = sizes[own_rack as usize] == 1 && rack_count <= newcomer.factor;
        // While everybody has everything, fewer replicas are balanced: it makes a good start for who comes next.
        let factor = newcomer.factor.min(me);
        // While every node is alone, racks make no difference, and there is a start to be made.
        let settled = factor < 2 || (alone && neighbours.len() >= sizes.len());
        if !settled && factor > 2 {
            // Who comes next relieves a node of what it is the last replica of. So nobody may have too little of that.
            balances.push(Balance::of(2, &sizes, &racks, tokens(None)));
        }
        if !settled {
            balances.push(if rack_count == factor {
                // Each rack has one replica of everything, so each is a ring of its own.
                let nodes = sizes[own_rack as usize] as usize;
                Balance::of_first(&racks, nodes, tokens(Some(own_rack)))
            } else {
                Balance::of(factor, &sizes, &racks, tokens(None))
            });
        }
        Self {
            newcomer: me,
            count: newcomer.tokens,
            balances,
        }
    }

    /// How many nodes share the datacenter, the newcomer among them.
    pub(super) fn nodes(&self) -> usize {
        self.newcomer as usize + 1
    }

    /// How many tokens the newcomer wants.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// What is wrong with the loads.
    pub(super) fn cost(&self) -> f64 {
        self.balances.iter().map(Balance::cost).sum()
    }

    /// Gives the newcomer this token.
    pub(super) fn insert(&mut self, place: u64) {
        for balance in &mut self.balances {
            balance.circle.insert(place, self.newcomer);
        }
    }

    /// Takes a token back.
    pub(super) fn remove(&mut self, place: u64) {
        for balance in &mut self.balances {
            balance.circle.remove(place);
        }
    }

    /// The place that lowers the sum of what is wrong most, while the newcomer is to hold so much of its ideal.
    pub(super) fn pick(
        &self,
        goal: f64,
        manner: Manner,
        scratch: &mut Scratch,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<u64> {
        let first = &self.balances[0].circle;
        let arcs = first.len();
        let sample = arcs.min(CANDIDATES);
        let offset = ((u128::from(random()) * arcs as u128) >> 64) as usize;
        let mut best: Option<(f64, u64, u64)> = None;
        for nth in 0..sample {
            // Evenly spread over the arcs.
            let at = (offset + nth * arcs / sample) % arcs;
            let (start, width, _) = first.arc(at);
            if width < MIN_WIDTH || (manner.by_chance && random() & 1 == 1) {
                continue;
            }
            self.weigh(start, width, goal, manner.severity, scratch);
            let Some((gain, part)) = gain(&scratch.terms) else {
                continue;
            };
            if best.is_none_or(|(most, _, _)| gain > most) {
                best = Some((gain, start.wrapping_add((part * width as f64) as u64), width));
            }
        }
        // A little at random, so that nodes that choose at the same moment do not choose the same.
        best.map(|(_, place, width)| place.wrapping_sub(random() % (width / 256)))
    }

    /// Lists what a cut in the arc would do.
    fn weigh(&self, start: u64, width: u64, goal: f64, severity: f64, scratch: &mut Scratch) {
        let Scratch {
            lists,
            effects,
            terms,
        } = scratch;
        terms.clear();
        for balance in &self.balances {
            balance.circle.cut(start, width, self.newcomer, lists, effects);
            for effect in effects.iter() {
                let (excess, unit, node) = balance.excess(effect.share);
                let is_new = node == self.newcomer;
                let growing = is_new && goal < 1.0;
                let is_load = matches!(effect.share, Share::Load(_));
                let severity = if growing || !is_load { 0.0 } else { severity };
                let now = if is_new {
                    excess + (1.0 - goal) * balance.ideal(effect.share) * unit
                } else {
                    excess
                };
                let extra = if is_new { 0.0 } else { excess_weight(now, severity) };
                terms.push(Term {
                    now,
                    slope: 0.0,
                    weight: -1.0,
                    severity,
                });
                terms.push(Term {
                    now: now + effect.fixed * unit,
                    slope: effect.slope * unit,
                    weight: 1.0 + extra,
                    severity,
                });
            }
        }
    }
}

/// How much more an excess counts than a lack of the same size.
fn excess_weight(excess: f64, severity: f64) -> f64 {
    let x = (excess * severity).max(0.0);
    x * x * x * x
}

/// How much lower the cost is after the best cut, and where in the arc that is.
///
/// The cost of a load is the square of its distance from the ideal, and more for an excess. The best place is
/// that of the squares alone, with the weights of the loads before the cut.
fn gain(terms: &[Term]) -> Option<(f64, f64)> {
    let (mut product, mut square) = (0.0, 0.0);
    for term in terms.iter().filter(|term| term.weight > 0.0) {
        product += term.weight * term.now * term.slope;
        square += term.weight * term.slope * term.slope;
    }
    if square <= 0.0 {
        return None;
    }
    let part = (-product / square).clamp(SLIVER, 1.0 - SLIVER);
    let lower: f64 = terms
        .iter()
        .map(|term| {
            let load = term.now + part * term.slope;
            let cost = load * load * (1.0 + excess_weight(load, term.severity));
            if term.weight > 0.0 { -cost } else { cost }
        })
        .sum();
    Some((lower, part))
}

/// The number of each node's rack, the newcomer's last, and for each rack its number of nodes.
fn racks_of<'a>(neighbours: &'a [&Member], own: &'a str) -> (Vec<u32>, Vec<u32>) {
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut racks, mut sizes) = (Vec::new(), Vec::new());
    let names = neighbours.iter().map(|member| member.rack.as_str());
    for name in names.chain([own]) {
        let next = numbers.len() as u32;
        let number = *numbers.entry(name).or_insert(next);
        if number == next {
            sizes.push(0);
        }
        sizes[number as usize] += 1;
        racks.push(number);
    }
    (racks, sizes)
}

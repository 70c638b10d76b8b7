//! Choosing where to cut.

use std::collections::BTreeMap;

use super::{
    Newcomer,
    circle::{Circle, Effect, Lists, place},
    fairness::Racks,
};
use crate::member::Member;

/// The most arcs that are looked at for one token; beyond it a sample of them.
const CANDIDATES: usize = 4096;

/// How many times every token is taken back and chosen anew, once all are there.
const PASSES: usize = 2;

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

/// Replicas, and how much of them each node should hold.
#[derive(Debug, Clone)]
struct Balance {
    circle: Circle,
    ideals: Vec<f64>,
}

impl Balance {
    /// Of so many replicas, as NetworkTopologyStrategy places them.
    fn of(factor: u32, sizes: &[u32], racks: &[u32], tokens: Vec<(u64, u32)>) -> Self {
        let model = Racks {
            sizes: sizes.to_vec(),
            factor,
        };
        let mut circle = Circle::new(racks.to_vec(), factor as usize, model.repeats() as usize);
        circle.fill(tokens);
        let ideals = model.ideals();
        Self {
            circle,
            ideals: racks.iter().map(|rack| ideals[*rack as usize]).collect(),
        }
    }
}

/// How a draft is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// An excess of `1 / severity` counts twice as much as a lack of the same size.
    pub(super) severity: f64,
    /// For each token about half of the arcs are looked at, drawn anew: so drafts differ.
    pub(super) by_chance: bool,
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
struct Scratch {
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
        let mut first = Circle::new(racks.clone(), 1, 0);
        first.fill(tokens(None));
        let ideals = vec![1.0 / racks.len() as f64; racks.len()];
        let mut balances = vec![Balance {
            circle: first,
            ideals,
        }];
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
            let mut all = Balance::of(factor, &sizes, &racks, tokens(None));
            if rack_count == factor {
                // Each rack has one replica of everything, so each is a ring of its own.
                all.circle = Circle::new(racks.clone(), 1, 0);
                all.circle.fill(tokens(Some(own_rack)));
            }
            balances.push(all);
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

    /// Chooses the places; returns them and the largest load that any node has then, in ideals.
    ///
    /// One after another is put where it helps most, the newcomer's own goal growing with each; then each
    /// is taken back and put again.
    pub(super) fn places(mut self, manner: Manner, random: &mut dyn FnMut() -> u64) -> (Vec<u64>, f64) {
        let mut scratch = Scratch::default();
        let mut chosen = Vec::with_capacity(self.count);
        for at in 1..=self.count {
            let goal = at as f64 / self.count as f64;
            let Some(place) = self.pick(goal, manner, &mut scratch, random) else {
                break;
            };
            self.insert(place);
            chosen.push(place);
        }
        for _ in 0..PASSES {
            for place in &mut chosen {
                self.remove(*place);
                if let Some(better) = self.pick(1.0, manner, &mut scratch, random) {
                    *place = better;
                }
                self.insert(*place);
            }
        }
        let worst = self.worst();
        (chosen, worst)
    }

    fn insert(&mut self, place: u64) {
        for balance in &mut self.balances {
            balance.circle.insert(place, self.newcomer);
        }
    }

    fn remove(&mut self, place: u64) {
        for balance in &mut self.balances {
            balance.circle.remove(place);
        }
    }

    fn worst(&self) -> f64 {
        let loads = self.balances.iter().flat_map(|balance| {
            let loads = balance.circle.loads.iter().zip(&balance.ideals);
            loads.map(|(load, ideal)| load / ideal)
        });
        loads.fold(0.0, f64::max)
    }

    /// The place that lowers the cost most.
    fn pick(
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
        for Balance { circle, ideals } in &self.balances {
            circle.cut(start, width, self.newcomer, lists, effects);
            for effect in effects.iter() {
                let ideal = ideals[effect.node as usize];
                let is_new = effect.node == self.newcomer;
                let excess = circle.loads[effect.node as usize] / ideal - if is_new { goal } else { 1.0 };
                let growing = is_new && goal < 1.0;
                terms.push(Term {
                    now: excess,
                    slope: 0.0,
                    weight: -1.0,
                    severity: if growing { 0.0 } else { severity },
                });
                terms.push(Term {
                    now: excess + effect.fixed / ideal,
                    slope: effect.slope / ideal,
                    weight: if is_new {
                        1.0
                    } else {
                        1.0 + excess_weight(excess, severity)
                    },
                    severity: if growing { 0.0 } else { severity },
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

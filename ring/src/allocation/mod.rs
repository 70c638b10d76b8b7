//! Tokens for a node that joins.
//!
//! What must hold: however many nodes join one after another, the fullest holds little more than the mean, both of
//! first replicas and of all. Only the newcomer's tokens can be chosen; nobody else's move, because that
//! would move data for nothing.
//!
//! The idea is that of Cassandra's `ReplicationAwareTokenAllocator` (CASSANDRA-7032): try a token in each
//! arc, work out what it does to what the nodes hold, replicas included, and take the best. Beyond it:
//! - the place within an arc is computed, not always the middle: what a node holds is linear in it, so the best
//!   place for a sum of squares has a closed form;
//! - first replicas, the first two and all count together, so none is bought with another. The first two count because a newcomer relieves
//!   a node only of what that one is the last replica of: a node that is first and second everywhere would stay too full;
//! - an excess counts more than a lack, because the fullest node decides how much a cluster takes;
//! - once all tokens are there, each is taken back and chosen anew, twice;
//! - drafts look at different arcs, so the best of many is better than the first;
//! - racks are as NetworkTopologyStrategy sees them: if there are as many as replicas each is a ring of its own;
//!   otherwise the walk over racks is followed. What a node should hold is as equal as its rack's size allows.
//!
//! Deterministic: only additions, multiplications and divisions of floats, and `random`.
//!
//! # Cost
//! With `n` nodes of `v` tokens: each of `3 v` choices looks at `min(n v, 4096)` arcs and at some ten tokens for
//! each, and measures the ring anew in `O(n v)`; up to 4 drafts are compared, up to 48 among at most 32 nodes. With
//! 16 tokens that is some hundred milliseconds, and at most several hundred.
//!
//! # Bounds
//! The mean is attainable with as many racks as one likes, as long as they have the same size: with tokens at equal distances and racks in
//! turn each token holds as many arcs as there are replicas. What is missed is missed because only the newcomer's tokens can be chosen.
//!
//! The fullest of up to 100 nodes with 16 tokens on one rack that joined one after another, as measured over 3 histories
//! (`cargo run --release -p starling-ring --example allocation`, which draws `docs/allocation.svg`): 1.06 of
//! the mean of first replicas and of all 3. Of up to 30 nodes on racks of a size: 1.07 of first replicas; of all 3 replicas 1.13 on 4
//! racks (12 nodes; 1.11 otherwise), 1.07 on 5. Where racks are not of a size, a small rack's nodes hold more, as
//! NetworkTopologyStrategy wants it. Each datacenter is balanced by itself; SimpleStrategy, which does not see datacenters, is balanced only
//! where there is one.
//!
//! A leaver's arcs fall to the nodes after them, and these may be few: after 1 to 50 of 100 left, the fullest had up
//! to 1.55 of the mean of first replicas and 1.40 of all. Who joins next relieves exactly those: after 10 joins it
//! was 1.06.

mod choice;
mod circle;
mod fairness;

use std::collections::BTreeSet;

use starling_model::Token;

use crate::member::Member;
use choice::{Choice, Manner};
use circle::token;

/// How many replicas are balanced if a keyspace's number is not known yet.
pub const USUAL_FACTOR: u32 = 3;

/// How hard drafts are on an excess: a gentle one finds the better overall arrangement, a hard one
/// relieves a single node for sure.
const SEVERITIES: [f64; 4] = [40.0, 20.0, 10.0, 0.0];

/// Up to this number of nodes an arc is a large part of what one holds, and more drafts are worth their while.
const SMALL: usize = 32;

/// How many times the drafts are made in a small datacenter.
const SMALL_ROUNDS: usize = 12;

/// A draft after which nobody has more than this, in ideals, is good enough.
const GOOD: f64 = 1.03;

/// A node that wants tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newcomer<'a> {
    /// Its datacenter.
    pub datacenter: &'a str,
    /// Its rack.
    pub rack: &'a str,
    /// How many tokens it wants.
    pub tokens: usize,
    /// How many replicas keyspaces have in its datacenter, at most; [`USUAL_FACTOR`] unless known better.
    pub factor: u32,
}

/// Chooses tokens for a new member, so that it and those of its datacenter hold nearly equal shares.
///
/// `existing` are all members, of all datacenters, and nodes that are about to join (give those the tokens that
/// they were promised). None of their tokens is chosen. The result is a function of the arguments; the order
/// is ascending. Alone in its datacenter, the tokens are at equal distances from a random start.
pub fn allocate_tokens(
    existing: &[Member],
    newcomer: Newcomer<'_>,
    random: &mut dyn FnMut() -> u64,
) -> Vec<Token> {
    let taken: BTreeSet<Token> = existing
        .iter()
        .flat_map(|member| member.tokens.iter().copied())
        .collect();
    let neighbours: Vec<&Member> = existing
        .iter()
        .filter(|member| member.datacenter == newcomer.datacenter && !member.tokens.is_empty())
        .collect();
    let mut places = if neighbours.is_empty() {
        Vec::new()
    } else {
        best(&Choice::new(&neighbours, newcomer), random)
    };
    if places.len() < newcomer.tokens {
        // Nobody is there, or the arcs are too narrow to be cut.
        places.extend(spread(newcomer.tokens - places.len(), random));
    }
    let mut chosen = BTreeSet::new();
    for place in places {
        let mut free = token(place);
        while free == Token::MIN || taken.contains(&free) || chosen.contains(&free) {
            free = Token(free.0.wrapping_add(1));
        }
        chosen.insert(free);
    }
    chosen.into_iter().collect()
}

/// The draft after which the fullest node has least.
fn best(choice: &Choice, random: &mut dyn FnMut() -> u64) -> Vec<u64> {
    let rounds = if choice.nodes() <= SMALL { SMALL_ROUNDS } else { 1 };
    let manners = (0..rounds).flat_map(|round| {
        let by_chance = round > 0;
        SEVERITIES.map(|severity| Manner { severity, by_chance })
    });
    let mut best: Option<(Vec<u64>, f64)> = None;
    for manner in manners {
        let draft = choice.clone().places(manner, random);
        if best.as_ref().is_none_or(|(_, least)| draft.1 < *least) {
            best = Some(draft);
        }
        if best.as_ref().is_some_and(|(_, least)| *least <= GOOD) {
            break;
        }
    }
    best.map(|(places, _)| places).unwrap_or_default()
}

/// Places at equal distances, from a random one on.
fn spread(count: usize, random: &mut dyn FnMut() -> u64) -> Vec<u64> {
    let width = (1_u128 << 64) / count as u128;
    let offset = (u128::from(random()) * width) >> 64;
    (0..count as u128)
        .map(|at| (at * width + offset) as u64)
        .collect()
}

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
//! - with more racks than replicas (up to twice as many) *stocks* count as well: for each node and rack what a newcomer there could relieve the
//!   node of, which is what it is the last replica of and the rack has none of. Where that is nothing a node stays too full, whatever its
//!   neighbours' newcomers do;
//! - an excess counts more than a lack, because the fullest node decides how much a cluster takes;
//! - once all tokens are there, each is taken back and chosen anew, twice; then a few of them together, drawn by chance, again and
//!   again, and what is no worse is kept (a large neighbourhood search: Shaw 1998);
//! - racks are as NetworkTopologyStrategy sees them: if there are as many as replicas each is a ring of its own;
//!   otherwise the walk over racks is followed. What a node should hold is as equal as its rack's size allows.
//!
//! Deterministic: only additions, multiplications and divisions of floats, and `random`.
//!
//! # Cost
//! With `n` nodes of `v` tokens: each of `12 v` choices for four drafts, and of about `8000 / n` to make the best of them better, looks at
//! `min(n v, 4096)` arcs and at some ten tokens for each, and measures the ring anew in `O(n v)`. With
//! 16 tokens and 100 nodes that is 0.1 s of a processor on one rack and 0.3 s on four, and less with fewer nodes.
//!
//! # Bounds
//! The mean is attainable with as many racks as one likes, as long as they have the same size: with tokens at equal distances and racks in
//! turn each token holds as many arcs as there are replicas. What is missed is missed because only the newcomer's tokens can be chosen.
//! Where racks are not of a size, a small rack's nodes hold more whatever the tokens are, as NetworkTopologyStrategy wants it: with as
//! many racks as replicas, or fewer, each rack holds all at least once, so each of its `k` nodes `1 / k` of the space on average. The figures
//! below are parts of what is attainable so.
//!
//! The fullest of up to 100 nodes with 16 tokens that joined one after another, at every size on the way, over 2 histories
//! (`cargo run --release -p starling-ring --example allocation`, which draws `docs/allocation.svg`):
//!
//! | racks | sizes | 1 replica | 2 replicas | 3 replicas |
//! |---|---|---|---|---|
//! | 1 | all | 1.05 | 1.05 | 1.05 |
//! | 2 | all | 1.06 | 1.06 | 1.08 |
//! | 3 | all | 1.08 | 1.09 | 1.07 |
//! | 4 | racks of a size | 1.07 | 1.07 | 1.08 |
//! | 4 | others | 1.08 | 1.07 | 1.10, but for 6 nodes (1.18), 7 (1.11), 10 (1.13) and 13 (1.12) |
//! | 5 | all | 1.07 | 1.07 | 1.10 |
//! | 6 | all | 1.08 | 1.07 | 1.10, but for 7 nodes (1.13) |
//!
//! The exceptions are passed by as soon as the next node joins. With 6 nodes on 4 racks two racks would have to have a replica of everything, so
//! a newcomer's 16 tokens would have to lie in every gap that its rack leaves.
//!
//! Tokens are chosen for the factor of the newcomer, and tables with fewer replicas fare as the table says. Each datacenter
//! is balanced by itself; SimpleStrategy, which does not see datacenters, is balanced only where there is one.
//!
//! A leaver's arcs fall to the nodes after them, and these may be few. Nobody else's tokens move then either: it would be
//! data moved twice, for a balance that the next join gives anyway. Of 100 nodes on one rack, after 1 to 50 had left, the fullest
//! had up to 1.7 of the mean of first replicas and 1.6 of all 3 (the same on three racks; of 12 nodes 1.5 and 1.2). Who joins next relieves
//! exactly those: after 10 joins it was 1.08 or less; of 12 nodes, of which 6 had left, after one join 1.10.

mod balance;
mod choice;
mod circle;
mod draft;
mod fairness;

use std::collections::BTreeSet;

use starling_model::Token;

use crate::member::Member;
use choice::Choice;
use circle::token;
use draft::{Draft, Manner};

/// How many replicas are balanced if a keyspace's number is not known yet.
pub const USUAL_FACTOR: u32 = 3;

/// How hard a choice is on an excess: a gentle one finds the better overall arrangement, a hard one
/// relieves a single node for sure.
const SEVERITIES: [f64; 4] = [40.0, 20.0, 10.0, 0.0];

/// How many times some of the tokens are chosen anew, times the number of nodes: each time costs in proportion to them.
const REFINEMENTS: usize = 3200;

/// In a small datacenter an arc is a large part of what one holds, and more would not help.
const FEWEST_NODES: usize = 4;

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

/// The draft that is least wrong, made better.
fn best(choice: &Choice, random: &mut dyn FnMut() -> u64) -> Vec<u64> {
    let mut best: Option<Draft> = None;
    for severity in SEVERITIES {
        let manner = Manner {
            severity,
            by_chance: false,
        };
        let draft = Draft::new(choice.clone(), manner, random);
        if best.as_ref().is_none_or(|best| draft.cost < best.cost) {
            best = Some(draft);
        }
    }
    let Some(mut draft) = best else { return Vec::new() };
    let manners = SEVERITIES.map(|severity| Manner {
        severity,
        by_chance: true,
    });
    draft.refine(REFINEMENTS / choice.nodes().max(FEWEST_NODES), &manners, random);
    draft.into_places()
}

/// Places at equal distances, from a random one on.
fn spread(count: usize, random: &mut dyn FnMut() -> u64) -> Vec<u64> {
    let width = (1_u128 << 64) / count as u128;
    let offset = (u128::from(random()) * width) >> 64;
    (0..count as u128)
        .map(|at| (at * width + offset) as u64)
        .collect()
}

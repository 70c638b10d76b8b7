//! Tokens for a node that joins.

use std::collections::{BTreeMap, BTreeSet};

use starling_model::{NodeId, Token};

use crate::{member::Member, partitioner::Partitioner, ring::Ring, strategy::Strategy};

/// The size of the token space.
const SPACE: u128 = 1 << 64;

/// How many drafts are compared.
const DRAFTS: usize = 8;

/// How many replicas are assumed when drafts are compared.
const FACTOR: u32 = 3;

/// Chooses `count` tokens for a new member, so that it and the existing ones own nearly equal shares.
///
/// `existing` should hold the members of the datacenter that the node joins, because
/// NetworkTopologyStrategy balances each datacenter by itself; only their tokens are avoided, and two
/// datacenters don't collide but by an accident of `random`, which [`crate::Ring::new`] resolves.
///
/// Alone, the tokens are random, one in each of `count` equal slices. Beside others each token takes from
/// whoever owns most, out of one of its larger arcs, as much as the new node still lacks per token (a half of
/// the arc at most). That balances first replicas. Which arcs are cut decides who becomes whose neighbour, and
/// so how the second and third replicas are spread: of several random drafts the one stays in which
/// the busiest node has least. The result is a function of the arguments; the order is ascending.
///
/// Costs a few times building a [`Ring`] of all members.
pub fn allocate_tokens(existing: &[Member], count: usize, random: &mut dyn FnMut() -> u64) -> Vec<Token> {
    if count == 0 {
        return Vec::new();
    }
    let shares = Shares::of(existing);
    let drafts = if shares.totals.is_empty() { 1 } else { DRAFTS };
    let mut best: Option<(u128, Vec<Token>)> = None;
    for _ in 0..drafts {
        let tokens = draft(shares.clone(), count, random);
        let busiest = busiest(existing, &tokens);
        if best.as_ref().is_none_or(|(least, _)| busiest < *least) {
            best = Some((busiest, tokens));
        }
    }
    best.map(|(_, tokens)| tokens).unwrap_or_default()
}

/// One choice of tokens.
fn draft(mut shares: Shares, count: usize, random: &mut dyn FnMut() -> u64) -> Vec<Token> {
    let mut taken = shares.tokens.clone();
    let mut chosen = BTreeSet::new();
    let mut lacking = SPACE / (shares.totals.len() as u128 + 1);
    for at in 0..count {
        let left = (count - at) as u128;
        let token = match shares.take(lacking / left, random) {
            Some((token, amount)) => {
                lacking = lacking.saturating_sub(amount);
                token
            }
            None => random_in_slice(at, count, random),
        };
        let token = next_free(&taken, token);
        taken.insert(token);
        chosen.insert(token);
    }
    chosen.into_iter().collect()
}

/// How much of the ring the busiest node would hold, of all replicas.
fn busiest(existing: &[Member], tokens: &[Token]) -> u128 {
    let new = Member {
        id: NodeId(
            existing
                .iter()
                .map(|member| member.id.0)
                .max()
                .map_or(0, |id| id.wrapping_add(1)),
        ),
        datacenter: String::new(),
        rack: String::new(),
        tokens: tokens.to_vec(),
    };
    let members = existing.iter().cloned().chain([new]).collect();
    let placement = Ring::new(Partitioner::Murmur3, members).placement(&Strategy::Simple { factor: FACTOR });
    let mut shares: BTreeMap<NodeId, u128> = BTreeMap::new();
    for (range, replicas) in placement.ranges() {
        for replica in replicas {
            *shares.entry(*replica).or_default() += u128::from(range.end.0.abs_diff(range.start.0));
        }
    }
    shares.into_values().max().unwrap_or(0)
}

/// A random token in the slice `at` of `count` equal ones.
fn random_in_slice(at: usize, count: usize, random: &mut dyn FnMut() -> u64) -> Token {
    let width = SPACE / count as u128;
    let offset = (u128::from(random()) * width) >> 64;
    from_ordered((at as u128 * width + offset) as u64)
}

/// The token itself, or the next that is neither taken nor `MIN` (which no key has).
fn next_free(taken: &BTreeSet<Token>, mut token: Token) -> Token {
    while token == Token::MIN || taken.contains(&token) {
        token = Token(token.0.wrapping_add(1));
    }
    token
}

fn from_ordered(ordered: u64) -> Token {
    Token::from_ordered_bytes(ordered.to_be_bytes())
}

fn to_ordered(token: Token) -> u64 {
    u64::from_be_bytes(token.ordered_bytes())
}

/// Who owns how much, and in which arcs.
#[derive(Clone)]
struct Shares {
    tokens: BTreeSet<Token>,
    /// The owned total of each member.
    totals: BTreeMap<NodeId, u128>,
    /// The arcs of each member: width, and start in ordered form.
    arcs: BTreeMap<NodeId, Vec<(u128, u64)>>,
}

impl Shares {
    fn of(existing: &[Member]) -> Self {
        let mut owners: BTreeMap<Token, NodeId> = BTreeMap::new();
        for member in existing {
            for token in &member.tokens {
                let owner = owners.entry(*token).or_insert(member.id);
                *owner = member.id.min(*owner);
            }
        }
        let mut shares = Self {
            tokens: owners.keys().copied().collect(),
            totals: BTreeMap::new(),
            arcs: BTreeMap::new(),
        };
        let Some(mut before) = shares.tokens.last().copied().map(to_ordered) else {
            return shares;
        };
        for (token, owner) in owners {
            let end = to_ordered(token);
            // A ring of one token is one arc, all around.
            let width = match end.wrapping_sub(before) {
                0 => SPACE,
                width => u128::from(width),
            };
            *shares.totals.entry(owner).or_default() += width;
            shares.arcs.entry(owner).or_default().push((width, before));
            before = end;
        }
        shares
    }

    /// Cuts about `amount` off an arc of the member that owns most: a random one of those that are wide
    /// enough, else its widest. Returns the end of what was cut, and its width. `None` if no arc can be cut:
    /// there are no members, or no room.
    fn take(&mut self, amount: u128, random: &mut dyn FnMut() -> u64) -> Option<(Token, u128)> {
        let (&donor, total) = self.totals.iter_mut().max_by_key(|(_, total)| **total)?;
        let arcs = self.arcs.get_mut(&donor)?;
        let wide: Vec<usize> = (0..arcs.len()).filter(|at| arcs[*at].0 >= 2 * amount).collect();
        let at = if wide.is_empty() {
            (0..arcs.len()).max_by_key(|at| arcs[*at].0)?
        } else {
            wide[((u128::from(random()) * wide.len() as u128) >> 64) as usize]
        };
        let (width, start) = arcs[at];
        if width < 2 {
            return None;
        }
        // A little at random, so that nodes that choose at the same moment do not choose the same.
        let jitter = (u128::from(random()) * (amount / 32)) >> 64;
        let cut = (amount - amount / 64 + jitter).clamp(1, width / 2);
        let end = start.wrapping_add(cut as u64);
        arcs[at] = (width - cut, end);
        *total -= cut;
        Some((from_ordered(end), cut))
    }
}

//! Tokens for a node that joins.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use starling_model::{NodeId, Token};

use crate::member::Member;

/// The size of the token space.
const SPACE: u128 = 1 << 64;

/// Chooses `count` tokens for a new member, so that it and the existing ones own nearly equal shares.
///
/// `existing` should hold the members of the datacenter that the node joins, because
/// NetworkTopologyStrategy balances each datacenter by itself; only their tokens are avoided, and two
/// datacenters don't collide but by an accident of `random`, which [`crate::Ring::new`] resolves.
///
/// Alone, the tokens are random, one in each of `count` equal slices. Beside others each token takes from
/// whoever owns most, out of its largest arc, as much as the new node still lacks per token (a half of the
/// arc at most). The result is a function of the arguments; the order is ascending.
pub fn allocate_tokens(existing: &[Member], count: usize, random: &mut dyn FnMut() -> u64) -> Vec<Token> {
    if count == 0 {
        return Vec::new();
    }
    let mut shares = Shares::of(existing);
    let mut taken = shares.tokens.clone();
    let mut chosen = BTreeSet::new();
    let members = existing.iter().filter(|member| !member.tokens.is_empty()).count() as u128 + 1;
    let mut lacking = SPACE / members;
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
struct Shares {
    tokens: BTreeSet<Token>,
    /// The owned total of each member.
    totals: BTreeMap<NodeId, u128>,
    /// The arcs of each member, the widest first: width, and start in ordered form.
    arcs: BTreeMap<NodeId, BinaryHeap<(u128, u64)>>,
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

    /// Cuts about `amount` off the widest arc of the member that owns most. Returns the end of what was
    /// cut, and its width. `None` if no arc can be cut: there are no members, or no room.
    fn take(&mut self, amount: u128, random: &mut dyn FnMut() -> u64) -> Option<(Token, u128)> {
        let (&donor, _) = self.totals.iter().max_by_key(|(_, total)| **total)?;
        let arcs = self.arcs.get_mut(&donor)?;
        let (width, start) = arcs.pop()?;
        if width < 2 {
            return None;
        }
        // A little at random, so that nodes that choose at the same moment do not choose the same.
        let jitter = (u128::from(random()) * (amount / 32)) >> 64;
        let cut = (amount - amount / 64 + jitter).clamp(1, width / 2);
        let end = start.wrapping_add(cut as u64);
        arcs.push((width - cut, end));
        if let Some(total) = self.totals.get_mut(&donor) {
            *total -= cut;
        }
        Some((from_ordered(end), cut))
    }
}

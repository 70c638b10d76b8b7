//! Who fetches what from whom when the ring changes: pure.
//!
//! The arcs of the ring before and after a change are cut at the ends of both. On each, the replicas that come are
//! paired with those that go: the one that comes takes a copy of what its *partner* has. So of every write that a quorum
//! of the old replicas has, a quorum of the new ones has it (what Cassandra calls consistent range movement), whichever
//! of the old replicas missed it. Partners stand in the same datacenter where they can, so that the same holds for quorums
//! of one datacenter.
//!
//! Where there is no partner (it is dead, damaged, or more replicas are wanted) the newcomer fetches from half as many of the
//! old replicas as the keyspace asks for, rounded up, in its datacenter and in all. What they have together holds every
//! write that a quorum had: of `f` replicas at most `f - (f/2 + 1)` missed it, so of any `f - f/2` one did not. Where so
//! many are not left, it takes what there is. There may be fewer replicas than the factor `f` for want of nodes. A quorum is
//! one of `f` all the same: the nodes that left may be just those that had a write, and as many as ever may have missed it.
//!
//! Where a node goes *alone*, without one that comes for it, those that stay may be those that missed a write. So each of the new
//! replicas, also if it was one before, takes copies of what it has: where the ring gets fewer nodes than replicas are asked
//! for, and where a keyspace is altered and gets fewer (there a partner is of the same datacenter). Of a write that one of these
//! had all have it then; one that none of these had is where it was, or at partners. So as many have it as before, or all; in
//! each datacenter too.
//!
//! A keyspace may ask for fewer replicas than before while it has not even as many. Then as many may have missed a write as its new
//! quorum does not ask. So each new replica takes copies of what all old ones have.
//!
//! Invariants (`tests.rs`):
//! 1. a gain is what the new placement has for a node and the old one had not; each has exactly one way to be fetched;
//! 2. no node that is gone is ever a source;
//! 3. of two gains of one arc no two have the same partner.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use starling_model::{NodeId, Token, TokenRange, TokenSet};
use starling_ring::{Placement, Replication, Ring};

pub use crate::placements::Strategies;
use crate::topology::ChangeKind;

/// How a range gets to its new replica.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A copy of what this node has, which is a replica no longer afterwards.
    Partner(NodeId),
    /// Copies of what enough of these have.
    Quorum(Quorum),
}

/// Enough of some nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quorum {
    /// Those in the newcomer's datacenter, by id.
    pub local: Vec<NodeId>,
    /// The others, by id.
    pub remote: Vec<NodeId>,
    /// How many of the local ones are needed.
    pub needed_local: usize,
    /// How many are needed in all.
    pub needed: usize,
    /// How many would have to be there for every write of a quorum to be found. More than `needed`: so many are not
    /// left, and writes may be lost that only nodes had that are gone.
    pub safe: usize,
}

/// A range that a node becomes a replica of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gain {
    /// Which tokens; they don't wrap.
    pub tokens: TokenRange,
    /// Who.
    pub node: NodeId,
    /// From whom it fetches what there is.
    pub way: Way,
}

impl Quorum {
    /// This one, and no other will do.
    fn just(node: NodeId) -> Self {
        Self {
            local: vec![node],
            remote: Vec::new(),
            needed_local: 1,
            needed: 1,
            safe: 1,
        }
    }

    /// Enough of those that `is_there` says are; `None` if there are too few. Local ones first, and of those the first by
    /// id after `start`, so that newcomers with different starts ask different nodes.
    pub fn choose(&self, start: NodeId, is_there: impl Fn(NodeId) -> bool) -> Option<Vec<NodeId>> {
        let rotated = |nodes: &[NodeId]| -> Vec<NodeId> {
            let at = nodes.partition_point(|node| *node <= start);
            let (before, after) = nodes.split_at(at);
            let all = after.iter().chain(before).copied();
            all.filter(|node| is_there(*node)).collect()
        };
        let local = rotated(&self.local);
        if local.len() < self.needed_local {
            return None;
        }
        let chosen: Vec<NodeId> = local
            .into_iter()
            .chain(rotated(&self.remote))
            .take(self.needed)
            .collect();
        (chosen.len() == self.needed).then_some(chosen)
    }

    /// Whether nobody is left that has the range.
    pub fn is_lost(&self) -> bool {
        self.needed == 0 && self.safe > 0
    }
}

/// The ring before a change and after it, and who can't be asked any more.
#[derive(Debug, Clone)]
pub struct Rings {
    /// Before.
    pub current: Arc<Ring>,
    /// After.
    pub next: Arc<Ring>,
    /// Dead for good, or of no use as a source.
    pub gone: BTreeSet<NodeId>,
}

impl Rings {
    /// The ring, and what a change makes of it.
    pub(crate) fn through(current: &Arc<Ring>, change: &ChangeKind, gone: BTreeSet<NodeId>) -> Self {
        let next = Ring::new(current.partitioner(), change.next(current.members()));
        Self {
            current: Arc::clone(current),
            next: Arc::new(next),
            gone,
        }
    }

    fn datacenter(&self, node: NodeId) -> Option<&str> {
        self.current
            .datacenter(node)
            .or_else(|| self.next.datacenter(node))
    }

    fn placements(&self, strategies: &Strategies) -> (Placement, Placement) {
        let current = self.current.placement(&strategies.before);
        (current, self.next.placement(&strategies.after))
    }

    /// All that nodes gain of a keyspace with these strategies, in token order.
    pub fn gains(&self, strategies: &Strategies) -> Vec<Gain> {
        let (current, next) = self.placements(strategies);
        let terms = Terms::new(&current, &next, strategies);
        let arcs = refined(&current, &next);
        let gains = arcs.flat_map(|(tokens, before, after)| {
            let successions = Successions::new(before, after, self, &terms);
            successions.gains(tokens, self)
        });
        gains.collect()
    }

    /// The same, and what new replicas take over from those that go alone.
    pub fn fetches(&self, strategies: &Strategies) -> Vec<Gain> {
        let mut fetches = self.gains(strategies);
        let (current, next) = self.placements(strategies);
        let terms = Terms::new(&current, &next, strategies);
        for (tokens, before, after) in refined(&current, &next) {
            let successions = Successions::new(before, after, self, &terms);
            fetches.extend(successions.legacies(tokens, after, self));
        }
        fetches
    }

    /// The tokens that nobody is a replica of before.
    pub fn ownerless(&self, strategies: &Strategies) -> TokenSet {
        let (current, next) = self.placements(strategies);
        let arcs = refined(&current, &next);
        let ownerless = arcs.filter(|(_, before, _)| before.is_empty());
        ownerless.map(|(tokens, _, _)| tokens).collect()
    }

    /// What each node is a replica of before, and not after. What nobody would be a replica of is not lost: it is all that
    /// there is.
    pub fn losses(&self, strategies: &Strategies) -> BTreeMap<NodeId, TokenSet> {
        let (current, next) = self.placements(strategies);
        let mut lost: BTreeMap<NodeId, Vec<TokenRange>> = BTreeMap::new();
        let owned = refined(&current, &next).filter(|(_, _, after)| !after.is_empty());
        for (tokens, before, after) in owned {
            for node in before.iter().filter(|node| !after.contains(node)) {
                lost.entry(*node).or_default().push(tokens);
            }
        }
        let lost = lost.into_iter();
        lost.map(|(node, ranges)| (node, ranges.into())).collect()
    }
}

/// What a keyspace asks for before and after.
struct Terms<'a> {
    before: &'a Replication,
    is_altered: bool,
    /// A quorum bears fewer replicas that missed a write than before, in all or in a datacenter.
    bears_less: bool,
}

impl<'a> Terms<'a> {
    fn new(current: &'a Placement, next: &Placement, strategies: &Strategies) -> Self {
        let (before, after) = (current.replication(), next.replication());
        let borne = |factor: u32| factor.saturating_sub(factor / 2 + 1);
        let near = before.by_datacenter().zip(after.by_datacenter());
        let near = near.is_some_and(|(before, after)| {
            let mut kept = before
                .iter()
                .filter_map(|(name, factor)| Some((*factor, *after.get(name)?)));
            kept.any(|(before, after)| borne(after) < borne(before))
        });
        Self {
            is_altered: strategies.alters(),
            bears_less: near || borne(after.total()) < borne(before.total()),
            before,
        }
    }
}

/// How many replicas a range has not that its keyspace asks for, because there are no more nodes.
#[derive(Default)]
struct Lack<'a> {
    all: usize,
    /// By datacenter, where the strategy names them.
    near: BTreeMap<&'a str, usize>,
}

impl<'a> Lack<'a> {
    fn new(replicas: &[NodeId], asked: &'a Replication, rings: &Rings) -> Self {
        let lack = |asked: u32, count: usize| (asked as usize).saturating_sub(count);
        let of = |name: &str| {
            let there = replicas.iter().filter(|id| rings.datacenter(**id) == Some(name));
            there.count()
        };
        let named = asked.by_datacenter().into_iter().flatten();
        Self {
            all: lack(asked.total(), replicas.len()),
            near: named
                .map(|(name, factor)| (name.as_str(), lack(*factor, of(name))))
                .collect(),
        }
    }

    /// In all, or in a datacenter: elsewhere there are never more than asked for.
    fn is_any(&self) -> bool {
        self.all > 0
    }
}

/// Who comes for whom in one range.
struct Successions<'a> {
    /// Who comes, each with its partner if it has one.
    coming: Vec<(NodeId, Option<NodeId>)>,
    /// Those of whom every new replica takes a copy: who goes alone, or all.
    testators: Vec<NodeId>,
    /// Of whom a quorum has to be read by those without a partner. Of those that go alone they get all anyway.
    others: Vec<NodeId>,
    lack: Lack<'a>,
}

impl<'a> Successions<'a> {
    /// Where a keyspace is altered one datacenter may get more replicas and another one fewer, so a partner is of the same one.
    fn new(before: &[NodeId], after: &[NodeId], rings: &Rings, terms: &Terms<'a>) -> Self {
        let mut leaving: Vec<NodeId> = before
            .iter()
            .filter(|node| !after.contains(node))
            .copied()
            .collect();
        let mut coming: Vec<NodeId> = after
            .iter()
            .filter(|node| !before.contains(node))
            .copied()
            .collect();
        leaving.sort_unstable();
        coming.sort_unstable();
        let same_datacenter = |a: NodeId, b: NodeId| rings.datacenter(a) == rings.datacenter(b);
        let mut partners: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        let distances = if terms.is_altered {
            &[true][..]
        } else {
            &[true, false]
        };
        for near in distances {
            for node in &coming {
                let mut left = leaving.iter();
                let found = left.position(|other| !*near || same_datacenter(*node, *other));
                if let Some(at) = found.filter(|_| !partners.contains_key(node)) {
                    partners.insert(*node, leaving.remove(at));
                }
            }
        }
        let coming = coming
            .into_iter()
            .map(|node| (node, partners.get(&node).copied()));
        let mut others = before.to_vec();
        others.retain(|node| !terms.is_altered || !leaving.contains(node));
        let lack = Lack::new(before, terms.before, rings);
        let merges = terms.bears_less && lack.is_any();
        Self {
            coming: coming.collect(),
            testators: if merges { before.to_vec() } else { leaving },
            others,
            lack,
        }
    }

    fn gains(&self, tokens: TokenRange, rings: &Rings) -> Vec<Gain> {
        let gains = self.coming.iter().map(|(node, partner)| {
            let partner = partner.filter(|partner| !rings.gone.contains(partner));
            let way = match partner {
                Some(partner) => Way::Partner(partner),
                None => Way::Quorum(quorum_of(&self.others, &self.lack, *node, rings)),
            };
            Gain {
                tokens,
                node: *node,
                way,
            }
        });
        gains.collect()
    }

    fn legacies(&self, tokens: TokenRange, after: &[NodeId], rings: &Rings) -> Vec<Gain> {
        let there = self.testators.iter().filter(|node| !rings.gone.contains(node));
        let legacies = there.flat_map(|from| {
            let lacks = move |node: &&NodeId| *node != from && !self.coming.contains(&(**node, Some(*from)));
            after.iter().filter(lacks).map(move |node| Gain {
                tokens,
                node: *node,
                way: Way::Quorum(Quorum::just(*from)),
            })
        });
        legacies.collect()
    }
}

fn quorum_of(replicas: &[NodeId], lack: &Lack<'_>, node: NodeId, rings: &Rings) -> Quorum {
    let home = rings.datacenter(node);
    let is_local = |other: &NodeId| rings.datacenter(*other) == home;
    let enough = |count: usize| count - count / 2;
    let mut others: Vec<NodeId> = replicas
        .iter()
        .filter(|other| !rings.gone.contains(other))
        .copied()
        .collect();
    others.sort_unstable();
    let (local, remote): (Vec<_>, Vec<_>) = others.into_iter().partition(is_local);
    // All that there ever were of them are enough.
    let safe = enough(replicas.len() + lack.all).min(replicas.len());
    let local_replicas = replicas.iter().filter(|other| is_local(other)).count();
    let local_lack = home.and_then(|home| lack.near.get(home)).copied().unwrap_or(0);
    Quorum {
        needed_local: enough(local_replicas + local_lack).min(local.len()),
        needed: safe.min(local.len() + remote.len()),
        safe,
        local,
        remote,
    }
}

/// The arcs of both placements, cut at the ends of both, each with its replicas before and after.
fn refined<'a>(
    current: &'a Placement,
    next: &'a Placement,
) -> impl Iterator<Item = (TokenRange, &'a [NodeId], &'a [NodeId])> {
    let mut before = current.ranges().peekable();
    let mut after = next.ranges().peekable();
    let mut start = Token::MIN;
    std::iter::from_fn(move || {
        let (old, from) = *before.peek()?;
        let (new, to) = *after.peek()?;
        let end = old.end.min(new.end);
        let tokens = TokenRange { start, end };
        start = end;
        if old.end == end {
            before.next();
        }
        if new.end == end {
            after.next();
        }
        Some((tokens, from, to))
    })
}

/// What a node has to fetch from one other, or from enough of several.
pub fn by_way(gains: &[Gain], node: NodeId) -> BTreeMap<Way, TokenSet> {
    let mut ways: BTreeMap<Way, Vec<TokenRange>> = BTreeMap::new();
    for gain in gains.iter().filter(|gain| gain.node == node) {
        ways.entry(gain.way.clone()).or_default().push(gain.tokens);
    }
    ways.into_iter()
        .map(|(way, ranges)| (way, ranges.into()))
        .collect()
}
/// The same in an order in which those that follow each other were far apart (that of van der Corput's sequence).
pub(super) fn far_apart<T>(items: Vec<T>) -> Vec<T> {
    let bits = items.len().next_power_of_two().trailing_zeros();
    let reversed = |place: usize| place.reverse_bits().checked_shr(usize::BITS - bits).unwrap_or(0);
    let mut placed: Vec<(usize, T)> = items.into_iter().enumerate().collect();
    placed.sort_by_key(|(place, _)| reversed(*place));
    placed.into_iter().map(|(_, item)| item).collect()
}

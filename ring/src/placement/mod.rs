//! Which nodes hold a token, for every token at once.

mod network_topology;
mod replication;
mod simple;

use std::collections::{BTreeMap, BTreeSet};

pub use replication::Replication;
use starling_model::{NodeId, Token, TokenRange};

use crate::{member::Member, strategy::Strategy};

/// The replicas of every arc of the ring under one strategy.
///
/// Invariants:
/// 1. the arcs don't wrap, touch, and cover the token space from `MIN` to `MAX`;
/// 2. neighbouring arcs have different replicas (what could be one arc is one);
/// 3. the replicas of an arc are distinct, in the order of the walk along the ring: the owner of the
///    arc's token first. There are fewer than the replication factor if there are not enough nodes.
///
/// Under [`Strategy::Local`] every arc is without replicas: each node asks itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    replication: Replication,
    /// The inclusive end of each arc, in order; the last is `MAX`. The first arc starts at `MIN`.
    ends: Vec<Token>,
    /// For each arc its place in `sets`.
    set_of: Vec<u32>,
    /// The distinct lists of replicas.
    sets: Vec<Box<[NodeId]>>,
    /// For each value of a token's leading bits, the first arc that can hold such a token. Tokens are
    /// spread evenly, so this nearly is the answer.
    directory: Vec<u32>,
    /// How many leading bits.
    directory_bits: u32,
}

impl Placement {
    pub(crate) fn new(members: &[Member], tokens: &[(Token, u32)], strategy: &Strategy) -> Self {
        let datacenters: BTreeSet<&str> = members.iter().map(|member| member.datacenter.as_str()).collect();
        let replication = Replication::new(strategy, &datacenters);
        let mut arcs = Arcs::default();
        if tokens.is_empty() || *strategy == Strategy::Local {
            arcs.push(Token::MAX, &[]);
        } else {
            let mut walker = Walker::new(members, tokens, &replication);
            let mut replicas = Vec::new();
            for (at, (end, _)) in tokens.iter().enumerate() {
                walker.replicas_from(at, &mut replicas);
                arcs.push(*end, &replicas);
            }
            // Past the last token the ring goes on with the first.
            walker.replicas_from(0, &mut replicas);
            arcs.push(Token::MAX, &replicas);
        }
        arcs.finish(replication, members)
    }

    /// The replicas of a token, the preferred first.
    pub fn replicas(&self, token: Token) -> &[NodeId] {
        let bucket = bucket(token, self.directory_bits);
        let from = self.directory[bucket] as usize;
        let to = self
            .directory
            .get(bucket + 1)
            .map_or(self.ends.len() - 1, |next| *next as usize);
        let arc = from + self.ends[from..to].partition_point(|end| *end < token);
        &self.sets[self.set_of[arc] as usize]
    }

    /// All arcs in token order, each with its replicas. None wraps.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = (TokenRange, &[NodeId])> + '_ {
        self.ends.iter().enumerate().map(|(at, &end)| {
            let start = at.checked_sub(1).map_or(Token::MIN, |before| self.ends[before]);
            (TokenRange { start, end }, &*self.sets[self.set_of[at] as usize])
        })
    }

    /// The arcs that a node is a replica of, joined where they touch. None wraps.
    pub fn ranges_of(&self, node: NodeId) -> Vec<TokenRange> {
        let mut owned: Vec<TokenRange> = Vec::new();
        for (range, replicas) in self.ranges() {
            if !replicas.contains(&node) {
                continue;
            }
            match owned.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => owned.push(range),
            }
        }
        owned
    }

    /// How many replicas the strategy asks for, and where.
    pub fn replication(&self) -> &Replication {
        &self.replication
    }
}

/// The place of a token's leading bits in the directory.
fn bucket(token: Token, bits: u32) -> usize {
    let ordered = u64::from_be_bytes(token.ordered_bytes());
    ordered.checked_shr(64 - bits).unwrap_or(0) as usize
}

/// Walks the ring from a token and collects replicas, by place in the list of members.
enum Walker<'a> {
    Simple(simple::Walker<'a>),
    NetworkTopology(network_topology::Walker<'a>),
}

impl<'a> Walker<'a> {
    fn new(members: &'a [Member], tokens: &'a [(Token, u32)], replication: &Replication) -> Self {
        match replication.by_datacenter() {
            None => Self::Simple(simple::Walker::new(tokens, replication.total())),
            Some(factors) => Self::NetworkTopology(network_topology::Walker::new(members, tokens, factors)),
        }
    }

    fn replicas_from(&mut self, start: usize, replicas: &mut Vec<u32>) {
        replicas.clear();
        match self {
            Self::Simple(walker) => walker.replicas_from(start, replicas),
            Self::NetworkTopology(walker) => walker.replicas_from(start, replicas),
        }
    }
}

/// Arcs in order while a placement is built.
#[derive(Default)]
struct Arcs {
    ends: Vec<Token>,
    set_of: Vec<u32>,
    sets: BTreeMap<Vec<u32>, u32>,
}

impl Arcs {
    /// Appends the arc up to `end`; joins it to the last if that has the same replicas.
    fn push(&mut self, end: Token, replicas: &[u32]) {
        let before = self.ends.last().copied().unwrap_or(Token::MIN);
        if end <= before {
            return;
        }
        let next = self.sets.len() as u32;
        let set = *self.sets.entry(replicas.to_vec()).or_insert(next);
        if self.set_of.last() == Some(&set) {
            self.ends.pop();
        } else {
            self.set_of.push(set);
        }
        self.ends.push(end);
    }

    fn finish(self, replication: Replication, members: &[Member]) -> Placement {
        let mut sets = vec![Box::default(); self.sets.len()];
        for (places, set) in self.sets {
            sets[set as usize] = places.iter().map(|place| members[*place as usize].id).collect();
        }
        let directory_bits = self.ends.len().next_power_of_two().trailing_zeros();
        let directory = (0..1_u64 << directory_bits)
            .map(|bucket| {
                let first = bucket.checked_shl(64 - directory_bits).unwrap_or(0);
                let first = Token::from_ordered_bytes(first.to_be_bytes());
                self.ends.partition_point(|end| *end < first) as u32
            })
            .collect();
        Placement {
            replication,
            ends: self.ends,
            set_of: self.set_of,
            sets,
            directory,
            directory_bits,
        }
    }
}

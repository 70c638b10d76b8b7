//! The ring: an immutable snapshot of who owns which token.

use std::collections::{BTreeMap, BTreeSet};

use starling_model::{NodeId, Token};

use crate::{member::Member, partitioner::Partitioner, placement::Placement, strategy::Strategy};

/// The members of a cluster and their tokens at one moment.
///
/// Two rings of the same members are equal, in whatever order they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    partitioner: Partitioner,
    /// By id.
    members: Vec<Member>,
    /// By token; the number is the owner's place in `members`. No token occurs twice.
    tokens: Vec<(Token, u32)>,
}

impl Ring {
    /// A snapshot of these members.
    ///
    /// Of two with the same id the later counts. A token that two members claim belongs to the one with
    /// the smaller id, so that all nodes agree.
    pub fn new(partitioner: Partitioner, members: Vec<Member>) -> Self {
        let by_id: BTreeMap<NodeId, Member> = members.into_iter().map(|member| (member.id, member)).collect();
        let members: Vec<Member> = by_id.into_values().collect();
        let mut tokens: Vec<(Token, u32)> = members
            .iter()
            .zip(0..)
            .flat_map(|(member, place)| member.tokens.iter().map(move |token| (*token, place)))
            .collect();
        tokens.sort_unstable();
        tokens.dedup_by_key(|(token, _)| *token);
        Self {
            partitioner,
            members,
            tokens,
        }
    }

    /// The cluster's partitioner.
    pub fn partitioner(&self) -> Partitioner {
        self.partitioner
    }

    /// The token of a serialized partition key.
    pub fn token(&self, key: &[u8]) -> Token {
        self.partitioner.token(key)
    }

    /// All members, by id.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with this id.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        let at = self.members.binary_search_by_key(&id, |member| member.id).ok()?;
        self.members.get(at)
    }

    /// The datacenter of a member.
    pub fn datacenter(&self, id: NodeId) -> Option<&str> {
        self.member(id).map(|member| member.datacenter.as_str())
    }

    /// The names of all datacenters that have a member.
    pub fn datacenters(&self) -> BTreeSet<String> {
        self.members
            .iter()
            .map(|member| member.datacenter.clone())
            .collect()
    }

    /// All tokens in order, each with its owner.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = (Token, NodeId)> + DoubleEndedIterator + '_ {
        self.tokens
            .iter()
            .map(|(token, owner)| (*token, self.members[*owner as usize].id))
    }

    /// Where the replicas of every token are, by a strategy. Compute it once per ring and strategy.
    pub fn placement(&self, strategy: &Strategy) -> Placement {
        Placement::new(&self.members, &self.tokens, strategy)
    }
}

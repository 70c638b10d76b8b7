//! Who holds what: tokens, virtual nodes, datacenters and racks, and the placement of replicas.
//!
//! Everything here is a pure function of its arguments: a [`Ring`] is an immutable snapshot of the members
//! and their tokens, and a [`Placement`] is the answer to "which nodes hold this token?" for one
//! replication strategy, computed once and then only looked up.
//!
//! The chapters:
//! - [`partitioner`]: from a partition key to its token;
//! - [`member`], [`ring`]: who is part of the ring, and where;
//! - [`strategy`]: replication options as CQL writes them;
//! - [`placement`]: replicas of each arc, by SimpleStrategy and NetworkTopologyStrategy;
//! - [`levels`]: how many replicas a consistency level needs, and where;
//! - [`allocation`]: tokens for a node that joins.
//!
//! # Cost
//! With `n` members of `v` tokens each and a replication factor `f`: a ring takes `O(n v log(n v))` to
//! build and `O(n v)` memory; a placement the same and at most `16 f + 40` bytes an arc; a lookup is one
//! read of a directory and a search among a handful of tokens.

#![forbid(unsafe_code)]

pub mod allocation;
pub mod levels;
pub mod member;
mod murmur3;
pub mod partitioner;
pub mod placement;
pub mod ring;
pub mod strategy;

#[cfg(test)]
mod tests;

pub use allocation::{Newcomer, USUAL_FACTOR, allocate_tokens};
pub use levels::{Requirement, Shortfall, Tally};
pub use member::Member;
pub use partitioner::{Partitioner, UnknownPartitioner};
pub use placement::{Placement, Replication};
pub use ring::Ring;
pub use strategy::{Strategy, StrategyError};

//! Judges of a run: what must hold whatever the seed did.

pub mod atomicity;
pub mod causality;
pub mod convergence;
pub mod forgetting;
pub mod ownership;
pub mod registers;
#[cfg(test)]
mod tests;
pub mod truncation;

use std::fmt;

/// Something that must not happen, and did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Which promise was broken.
    pub promise: Promise,
    /// What happened, for a person.
    pub text: String,
}

/// What the cluster promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// An acknowledged write is seen by every later read whose replicas overlap with its own, or
    /// something newer is. Deletions are writes: what is deleted stays deleted.
    NoLostWrite,
    /// A read never shows an older state than one that ended before it began, if their replicas overlap.
    MonotonicReads,
    /// A write that carries no timestamp of the client prevails over those that were acknowledged before it was
    /// asked for, if their replicas overlap.
    Causality,
    /// A read shows only what was written there, not before it was written, and never what the client
    /// was told was refused.
    NoInvention,
    /// A logged batch is carried out as a whole, in the end.
    Atomicity,
    /// What was truncated stays away.
    Truncation,
    /// Where no node died and no disk failed, hints bring every write to every replica.
    Handoff,
    /// After healing, hints and repair, all replicas hold the same.
    Convergence,
    /// Who is no replica of something any more forgets it by itself.
    Forgetting,
    /// What is damaged on few enough replicas is written anew, and none of it stays untold.
    Mending,
    /// Every token has its owners at all times, and no two nodes that count on them mean different ones.
    Ownership,
    /// After healing, all nodes have the same schema.
    SchemaAgreement,
    /// After healing the cluster serves, and no crash keeps a node from starting.
    Recovery,
    /// While the ring changes, and nothing else is wrong, no request fails whose level bears those who are down.
    Service,
    /// Valid requests are not refused as invalid, and answers are answers to their questions.
    Validity,
    /// Nothing panics.
    NoPanic,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.text)
    }
}

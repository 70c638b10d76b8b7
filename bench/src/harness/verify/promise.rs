//! What the levels of a run promise.

use std::fmt;

use starling_model::Consistency;

/// What may be expected of reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    write: Consistency,
    /// The weakest level of the reads.
    pub read: Consistency,
    replicas: u32,
    /// Whether every read meets every acknowledged write at some replica: R + W > N.
    pub overlap: bool,
}

impl Promise {
    /// Of levels over one datacenter with so many replicas.
    pub fn of(write: Consistency, read: Consistency, replicas: u32) -> Self {
        Self {
            write,
            read,
            replicas,
            overlap: needed(write, replicas) + needed(read, replicas) > replicas,
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            write,
            read,
            replicas,
            ..
        } = self;
        write!(f, "writes at {write}, reads at {read}, {replicas} replicas: ")?;
        if self.overlap {
            f.write_str("nothing is lost, every read sees what was acknowledged before it")
        } else {
            f.write_str("nothing is lost; reads may be old for a while")
        }
    }
}

/// Replicas that must answer at a level, of so many.
pub fn needed(level: Consistency, replicas: u32) -> u32 {
    match level {
        Consistency::Any => 0,
        Consistency::One | Consistency::LocalOne => 1,
        Consistency::Two => 2,
        Consistency::Three => 3,
        Consistency::All => replicas,
        _ => replicas / 2 + 1,
    }
}

//! What clients asked and were told, as the checkers need it.
//!
//! The unit is the cell: of a row its marker and its columns, of a partition its static column. The key
//! space is small, so a deletion of many rows is written down as what it does to each cell.

use std::{fmt, time::Duration};

use crate::reach::{Factors, Reach};

/// One cell of the checked table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The partition key.
    pub partition: i32,
    /// The clustering key; `None` for the static column.
    pub row: Option<i32>,
    /// Which column.
    pub column: Column,
}

/// A column of the checked table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// That the row was inserted.
    Marker,
    /// The first column.
    A,
    /// The second column.
    B,
    /// The static column.
    Static,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            Some(row) => write!(f, "{}/{row}.{:?}", self.partition, self.column),
            None => write!(f, "{}.{:?}", self.partition, self.column),
        }
    }
}

/// What a write puts into a cell. The greater version wins: the newer timestamp, then a tombstone, then
/// the larger value. (The law of `model`, restated, so that it is checked and not assumed.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The timestamp that the client gave, in microseconds.
    pub timestamp: i64,
    /// Whether it is a tombstone.
    pub dead: bool,
    /// The value; unique among writes, never negative. 0 for tombstones and markers.
    pub value: i32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dead {
            write!(f, "deletion@{}", self.timestamp)
        } else {
            write!(f, "{}@{}", self.value, self.timestamp)
        }
    }
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged.
    Acknowledged,
    /// Refused: the client was told that nothing changed.
    Refused,
    /// It may have been applied, anywhere, or be applied later.
    Unknown,
}

/// A write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its number, for messages.
    pub id: u32,
    /// When the client asked.
    pub invoked: Duration,
    /// When it was told.
    pub returned: Duration,
    /// Which replicas have it for sure once it is acknowledged.
    pub reach: Reach,
    /// How it ended.
    pub outcome: Outcome,
    /// What it does.
    pub effects: Vec<(Cell, Version)>,
    /// It is a logged batch.
    pub logged: bool,
}

/// What a read showed of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A value.
    Value(i32),
    /// Nothing: never written, or deleted.
    Nothing,
}

/// A read that succeeded. Those that failed say nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Its number, for messages.
    pub id: u32,
    /// When the client asked.
    pub invoked: Duration,
    /// When it had the answer.
    pub returned: Duration,
    /// Which replicas were asked, and agree with the answer once it is given.
    pub reach: Reach,
    /// What it showed.
    pub seen: Vec<(Cell, Seen)>,
}

/// All writes and reads of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// In order of invocation at each client.
    pub writes: Vec<Write>,
    /// In order of invocation at each client.
    pub reads: Vec<Read>,
    /// How many replicas each partition has.
    pub factors: Factors,
    /// How many nodes died for good, one after the other, and on how many disks what one token has rotted: what fewer than a quorum had
    /// may have been theirs alone.
    pub dooms: usize,
    /// What was done to the table whose writes the nodes stamp, in order of invocation at each client.
    pub stamped: Vec<Stamped>,
    /// What was done to the table that is truncated, in order of invocation at each client.
    pub cleared: Vec<Cleared>,
    /// When all nodes were up and all hints delivered, after everything.
    pub settled: Option<Duration>,
    /// When coordinators of logged batches died while nothing else was wrong, from when until when.
    pub orphans: Vec<(Duration, Duration)>,
    /// How many pairs of changes of the schema that contradict each other were done both.
    pub contradictions: usize,
    /// So many disks may have lost what they had stored of the same token. What is on fewer replicas than a quorum may be lost with
    /// it.
    pub rot: usize,
    /// Stretches of damaged tokens that were written anew after several nodes had rotted.
    pub healed: u64,
}

impl History {
    /// Of those that had something, which have it for good. A node that dies takes its copies along. What rots is mended from
    /// the others too, and never while a node is dead for good.
    pub fn lasting(&self, reach: Reach) -> Reach {
        self.factors.lasting(reach, self.dooms)
    }

    /// Whether a later request finds what an earlier one left: some replica has it still, and is asked.
    pub fn meets(&self, earlier: Reach, later: Reach) -> bool {
        self.factors.overlap(self.lasting(earlier), later)
    }
}

/// A write to, or a read of, one register whose writes carry no timestamp of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamped {
    /// Its number, for messages.
    pub id: u32,
    /// When the client asked.
    pub invoked: Duration,
    /// When it was told.
    pub returned: Duration,
    /// Which replicas the level waits for.
    pub reach: Reach,
    /// Which register.
    pub register: i32,
    /// What was done.
    pub deed: Deed,
}

/// What was done to a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A value, unique among writes, was written; `None`: it was deleted.
    Wrote(Option<i32>, Outcome),
    /// A read that succeeded showed this.
    Saw(Option<i32>),
}

/// A write to, a read of, or a truncation of the table that is truncated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    /// Its number, for messages.
    pub id: u32,
    /// When the client asked.
    pub invoked: Duration,
    /// When it was told.
    pub returned: Duration,
    /// What was done.
    pub deed: ClearedDeed,
}

/// What was done to the table that is truncated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClearedDeed {
    /// A value, unique among writes, was added.
    Added(i32, Outcome),
    /// A read that succeeded showed these.
    Saw(Vec<i32>),
    /// Everything was removed.
    Truncated(Outcome),
}

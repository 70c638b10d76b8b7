//! What clients do to the cluster, in CQL, and how its answers become a [`History`](crate::history).

mod bags;
mod change;
mod cleared;
mod client;
mod debt;
mod question;
mod recorder;
mod stamped;

use starling_cql::{Values, request::Bound};
use starling_model::Consistency;

pub use self::{client::Client, question::Question, recorder::Recorder};
use crate::{random::Random, reach::Factors};

/// The keyspace of all tables.
pub const KEYSPACE: &str = "sim";

/// The small space of keys that all clients fight for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Partition keys are `0..partitions`.
    pub partitions: i32,
    /// Clustering keys are `0..rows`.
    pub rows: i32,
    /// Whether rows lie in descending order.
    pub descending: bool,
    /// How many replicas each partition has.
    pub factors: Factors,
    /// The tables' `gc_grace_seconds`.
    pub grace: u32,
    /// Whether there is a table that people quarrel about.
    pub disputed: bool,
    /// The registers' `read_repair_chance`, in percent.
    pub repair_chance: u8,
    /// Of 1,000 requests so many are given up by their clients early.
    pub impatience: u32,
}

impl Space {
    /// A space of random size.
    pub fn random(random: &mut Random, factors: Factors) -> Self {
        Self {
            partitions: 1 + random.below(6) as i32,
            rows: 1 + random.below(8) as i32,
            descending: random.chance(300),
            factors,
            grace: 0,
            disputed: false,
            repair_chance: 0,
            impatience: 0,
        }
    }

    fn partition(&self, random: &mut Random) -> i32 {
        random.below(self.partitions as u64) as i32
    }

    fn row(&self, random: &mut Random) -> i32 {
        random.below(self.rows as u64) as i32
    }

    /// Two rows, the first not after the second.
    fn span(&self, random: &mut Random) -> (i32, i32) {
        let (a, b) = (self.row(random), self.row(random));
        (a.min(b), a.max(b))
    }

    /// The statements that make the keyspace and the tables.
    pub fn schema(&self) -> Vec<String> {
        let order = if self.descending { "DESC" } else { "ASC" };
        let mut statements = vec![
            format!(
                "CREATE KEYSPACE {KEYSPACE} WITH replication = {}",
                self.factors.cql()
            ),
            format!(
                "CREATE TABLE {KEYSPACE}.registers (p int, r int, a int, b int, s int STATIC, PRIMARY KEY (p, r)) WITH CLUSTERING ORDER BY (r {order}) AND gc_grace_seconds = {} AND read_repair_chance = {}",
                self.grace,
                f64::from(self.repair_chance) / 100.0
            ),
            format!("CREATE TABLE {KEYSPACE}.stamped (p int PRIMARY KEY, v int)"),
            format!("CREATE TABLE {KEYSPACE}.cleared (p int PRIMARY KEY, v int)"),
            format!(
                "CREATE TABLE {KEYSPACE}.bags (p int PRIMARY KEY, m map<int, int>, t set<int>, l list<int>, c int) WITH gc_grace_seconds = {}",
                self.grace
            ),
        ];
        if self.disputed {
            statements.push(format!(
                "CREATE TABLE {KEYSPACE}.disputed (p int PRIMARY KEY, v int)"
            ));
        }
        statements
    }
}

/// A level for a read or a write; most often a quorum, of all or, where there are two datacenters, of one or each.
fn level(space: &Space, random: &mut Random, write: bool) -> Consistency {
    let two = space.factors.datacenters() > 1;
    match random.below(12) {
        0 => Consistency::One,
        1 => Consistency::LocalOne,
        2 if two => Consistency::LocalQuorum,
        2 => Consistency::Two,
        3 => Consistency::All,
        4 => Consistency::LocalQuorum,
        5 if write => Consistency::EachQuorum,
        6 if write => Consistency::Any,
        7..=8 if two && write => Consistency::EachQuorum,
        5..=9 if two => Consistency::LocalQuorum,
        _ => Consistency::Quorum,
    }
}

/// CQL `int`s as bound values.
fn ints(values: &[i32]) -> Values {
    Values::Positional(values.iter().map(|value| int(*value)).collect())
}

fn int(value: i32) -> Bound {
    Bound::Value(Some(value.to_be_bytes().to_vec().into()))
}

//! Reads of the checked table: their CQL, and what an answer says of each cell.

use std::collections::{BTreeMap, BTreeSet};

use starling_cql::{Values, request::Value};

use super::{Space, ints};
use crate::{
    history::{Cell, Column, Seen},
    random::Random,
};

/// One SELECT on `registers`. All of them ask for the columns `p, r, a, b, s`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// One row.
    Row(i32, i32),
    /// A whole partition; backwards, if the flag is set.
    Partition(i32, bool),
    /// The rows of a partition between two, both included; backwards, if the flag is set.
    Rows(i32, i32, i32, bool),
    /// Two rows of a partition, by IN.
    Pair(i32, [i32; 2]),
    /// Two whole partitions, by IN.
    Partitions([i32; 2]),
    /// At most so many rows of a partition.
    Top(i32, i32),
    /// Everything.
    Scan,
}

/// A row of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    r: Option<i32>,
    a: Option<i32>,
    b: Option<i32>,
    s: Option<i32>,
}

/// An answer that is no answer to the question: a bug of its own kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer to {question} is nonsense: {problem}")]
pub(super) struct Nonsense {
    question: String,
    problem: String,
}

impl Question {
    pub(super) fn random(space: &Space, random: &mut Random) -> Self {
        let p = space.partition(random);
        let (from, to) = space.span(random);
        let backwards = random.chance(300);
        match random.below(12) {
            0..=3 => Self::Row(p, from),
            4..=6 => Self::Partition(p, backwards),
            7..=8 => Self::Rows(p, from, to, backwards),
            9 => Self::Pair(p, [from, to]),
            10 if random.chance(500) => Self::Partitions([p, space.partition(random)]),
            10 => Self::Top(p, 1 + from),
            _ => Self::Scan,
        }
    }

    /// The statement and the values of its markers.
    pub(super) fn cql(&self, space: &Space) -> (String, Values) {
        const SELECT: &str = "SELECT p, r, a, b, s FROM sim.registers";
        let order = |backwards: bool| match (backwards, space.descending) {
            (false, _) => "",
            (true, false) => " ORDER BY r DESC",
            (true, true) => " ORDER BY r ASC",
        };
        match *self {
            Self::Row(p, r) => (format!("{SELECT} WHERE p = ? AND r = ?"), ints(&[p, r])),
            Self::Partition(p, back) => (format!("{SELECT} WHERE p = ?{}", order(back)), ints(&[p])),
            Self::Rows(p, from, to, back) => (
                format!("{SELECT} WHERE p = ? AND r >= ? AND r <= ?{}", order(back)),
                ints(&[p, from, to]),
            ),
            Self::Pair(p, [x, y]) => (format!("{SELECT} WHERE p = ? AND r IN (?, ?)"), ints(&[p, x, y])),
            Self::Partitions([x, y]) => (format!("{SELECT} WHERE p IN (?, ?)"), ints(&[x, y])),
            Self::Top(p, limit) => (format!("{SELECT} WHERE p = ? LIMIT {limit}"), ints(&[p])),
            Self::Scan => (SELECT.to_owned(), ints(&[])),
        }
    }

    /// What all rows of all pages of an answer say.
    ///
    /// The rows of a partition may show several static values: between two pages, also those that only the
    /// coordinator asked for, the value may change. Each of them was seen.
    pub(super) fn seen(&self, space: &Space, rows: &[Vec<Value>]) -> Result<Vec<(Cell, Seen)>, Nonsense> {
        let answer = self.parse(space, rows)?;
        let mut seen = Vec::new();
        for (p, asked) in self.asked(space) {
            let found = answer.get(&p).map_or(&[][..], Vec::as_slice);
            let complete = match self {
                Self::Top(_, limit) => found.len() < *limit as usize,
                _ => true,
            };
            for r in asked {
                let row = found.iter().find(|row| row.r == Some(r));
                if row.is_some() || complete {
                    seen.extend(row_seen(p, r, row));
                }
            }
            // A partition without rows that has a static value is a row of its own, if all is asked for.
            let whole = matches!(
                self,
                Self::Partition(..) | Self::Partitions(_) | Self::Scan | Self::Top(..)
            );
            if whole || !found.is_empty() {
                let cell = Cell {
                    partition: p,
                    row: None,
                    column: Column::Static,
                };
                let mut values: BTreeSet<Option<i32>> = found.iter().map(|row| row.s).collect();
                if found.is_empty() {
                    values.insert(None);
                }
                seen.extend(
                    values
                        .into_iter()
                        .map(|value| (cell, value.map_or(Seen::Nothing, Seen::Value))),
                );
            }
        }
        Ok(seen)
    }

    /// The partitions, and which rows of them, that the question is about.
    fn asked(&self, space: &Space) -> BTreeMap<i32, BTreeSet<i32>> {
        let all: BTreeSet<i32> = (0..space.rows).collect();
        match *self {
            Self::Row(p, r) => BTreeMap::from([(p, BTreeSet::from([r]))]),
            Self::Partition(p, _) | Self::Top(p, _) => BTreeMap::from([(p, all)]),
            Self::Rows(p, from, to, _) => BTreeMap::from([(p, (from..=to).collect())]),
            Self::Pair(p, pair) => BTreeMap::from([(p, BTreeSet::from(pair))]),
            Self::Partitions(both) => both.into_iter().map(|p| (p, all.clone())).collect(),
            Self::Scan => (0..space.partitions).map(|p| (p, all.clone())).collect(),
        }
    }

    /// The rows by partition, as they came; fails on rows that nobody asked for, on duplicates, and on a
    /// wrong order.
    fn parse(&self, space: &Space, rows: &[Vec<Value>]) -> Result<BTreeMap<i32, Vec<Row>>, Nonsense> {
        let asked = self.asked(space);
        let mut answer: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
        for values in rows {
            let numbers: Vec<Option<i32>> = values.iter().map(number).collect();
            let (&[Some(partition), r], &[a, b, s]) = numbers.split_at(numbers.len().min(2)) else {
                return Err(self.nonsense(format!("a row has the values {numbers:?}")));
            };
            let wanted = asked
                .get(&partition)
                .is_some_and(|rows| r.is_none_or(|r| rows.contains(&r)));
            if !wanted {
                return Err(self.nonsense(format!("row {partition}/{r:?} was not asked for")));
            }
            answer.entry(partition).or_default().push(Row { r, a, b, s });
        }
        for (p, rows) in &answer {
            let keys: Vec<Option<i32>> = rows.iter().map(|row| row.r).collect();
            let rising = match self {
                Self::Partition(_, back) | Self::Rows(_, _, _, back) => *back == space.descending,
                _ => !space.descending,
            };
            let ordered = keys.windows(2).all(|pair| {
                if rising {
                    pair[0] < pair[1]
                } else {
                    pair[0] > pair[1]
                }
            });
            if !ordered || (keys.len() > 1 && keys.contains(&None)) {
                return Err(self.nonsense(format!("partition {p} has the rows {keys:?}")));
            }
        }
        Ok(answer)
    }

    fn nonsense(&self, problem: String) -> Nonsense {
        Nonsense {
            question: format!("{self:?}"),
            problem,
        }
    }
}

fn row_seen(p: i32, r: i32, row: Option<&Row>) -> Vec<(Cell, Seen)> {
    let cell = |column| Cell {
        partition: p,
        row: Some(r),
        column,
    };
    let value = |value: Option<i32>| value.map_or(Seen::Nothing, Seen::Value);
    match row {
        // A row is there if it was inserted or if a column is: so both were seen to be not.
        None => vec![
            (cell(Column::Marker), Seen::Nothing),
            (cell(Column::A), Seen::Nothing),
            (cell(Column::B), Seen::Nothing),
        ],
        Some(row) => vec![(cell(Column::A), value(row.a)), (cell(Column::B), value(row.b))],
    }
}

fn number(value: &Value) -> Option<i32> {
    let bytes = value.as_deref()?;
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}

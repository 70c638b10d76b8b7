//! Writes to the checked table: their CQL, and what they do to each cell.

use starling_cql::request::Bound;

use super::{Space, int};
use crate::{
    history::{Cell, Column, Version},
    random::Random,
};

/// One INSERT, UPDATE or DELETE on `registers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Insert {
        p: i32,
        r: i32,
        a: i32,
        b: i32,
    },
    InsertKey {
        p: i32,
        r: i32,
    },
    SetA {
        p: i32,
        r: i32,
        a: i32,
    },
    SetBoth {
        p: i32,
        r: i32,
        a: i32,
        b: i32,
    },
    NullA {
        p: i32,
        r: i32,
    },
    ClearB {
        p: i32,
        r: i32,
    },
    SetStatic {
        p: i32,
        s: i32,
    },
    ClearStatic {
        p: i32,
    },
    DeleteRow {
        p: i32,
        r: i32,
    },
    /// Both ends are deleted.
    DeleteRows {
        p: i32,
        from: i32,
        to: i32,
    },
    DeleteFrom {
        p: i32,
        from: i32,
    },
    DeletePartition {
        p: i32,
    },
}

impl Change {
    /// A random change; `value` gives values that nobody else writes.
    pub(super) fn random(space: &Space, random: &mut Random, mut value: impl FnMut() -> i32) -> Self {
        let p = space.partition(random);
        let r = space.row(random);
        let (from, to) = space.span(random);
        match random.below(24) {
            0..=5 => Self::Insert {
                p,
                r,
                a: value(),
                b: value(),
            },
            6 => Self::InsertKey { p, r },
            7..=10 => Self::SetA { p, r, a: value() },
            11..=12 => Self::SetBoth {
                p,
                r,
                a: value(),
                b: value(),
            },
            13 => Self::NullA { p, r },
            14 => Self::ClearB { p, r },
            15..=16 => Self::SetStatic { p, s: value() },
            17 => Self::ClearStatic { p },
            18..=19 => Self::DeleteRow { p, r },
            20..=21 => Self::DeleteRows { p, from, to },
            22 => Self::DeleteFrom { p, from },
            _ => Self::DeletePartition { p },
        }
    }

    /// The statement and the values of its markers.
    pub(super) fn cql(&self) -> (&'static str, Vec<Bound>) {
        let some = |values: &[i32]| values.iter().map(|value| int(*value)).collect::<Vec<_>>();
        match *self {
            Self::Insert { p, r, a, b } => (
                "INSERT INTO sim.registers (p, r, a, b) VALUES (?, ?, ?, ?)",
                some(&[p, r, a, b]),
            ),
            Self::InsertKey { p, r } => ("INSERT INTO sim.registers (p, r) VALUES (?, ?)", some(&[p, r])),
            Self::SetA { p, r, a } => (
                "UPDATE sim.registers SET a = ? WHERE p = ? AND r = ?",
                some(&[a, p, r]),
            ),
            Self::SetBoth { p, r, a, b } => (
                "UPDATE sim.registers SET a = ?, b = ? WHERE p = ? AND r = ?",
                some(&[a, b, p, r]),
            ),
            Self::NullA { p, r } => (
                "UPDATE sim.registers SET a = ? WHERE p = ? AND r = ?",
                vec![Bound::Value(None), int(p), int(r)],
            ),
            Self::ClearB { p, r } => ("DELETE b FROM sim.registers WHERE p = ? AND r = ?", some(&[p, r])),
            Self::SetStatic { p, s } => ("UPDATE sim.registers SET s = ? WHERE p = ?", some(&[s, p])),
            Self::ClearStatic { p } => ("DELETE s FROM sim.registers WHERE p = ?", some(&[p])),
            Self::DeleteRow { p, r } => ("DELETE FROM sim.registers WHERE p = ? AND r = ?", some(&[p, r])),
            Self::DeleteRows { p, from, to } => (
                "DELETE FROM sim.registers WHERE p = ? AND r >= ? AND r <= ?",
                some(&[p, from, to]),
            ),
            Self::DeleteFrom { p, from } => (
                "DELETE FROM sim.registers WHERE p = ? AND r > ?",
                some(&[p, from]),
            ),
            Self::DeletePartition { p } => ("DELETE FROM sim.registers WHERE p = ?", some(&[p])),
        }
    }

    /// What it does to every cell that it touches, when written at `timestamp`.
    pub(super) fn effects(&self, space: &Space, timestamp: i64) -> Vec<(Cell, Version)> {
        let live = |value| Version {
            timestamp,
            dead: false,
            value,
        };
        let dead = Version {
            timestamp,
            dead: true,
            value: 0,
        };
        let cell = |partition, row, column| Cell {
            partition,
            row: Some(row),
            column,
        };
        let fixed = |partition| Cell {
            partition,
            row: None,
            column: Column::Static,
        };
        let whole_rows = |p, rows: std::ops::Range<i32>| {
            rows.flat_map(|r| [Column::Marker, Column::A, Column::B].map(|column| (cell(p, r, column), dead)))
                .collect::<Vec<_>>()
        };
        match *self {
            Self::Insert { p, r, a, b } => vec![
                (cell(p, r, Column::Marker), live(0)),
                (cell(p, r, Column::A), live(a)),
                (cell(p, r, Column::B), live(b)),
            ],
            Self::InsertKey { p, r } => vec![(cell(p, r, Column::Marker), live(0))],
            Self::SetA { p, r, a } => vec![(cell(p, r, Column::A), live(a))],
            Self::SetBoth { p, r, a, b } => {
                vec![(cell(p, r, Column::A), live(a)), (cell(p, r, Column::B), live(b))]
            }
            Self::NullA { p, r } => vec![(cell(p, r, Column::A), dead)],
            Self::ClearB { p, r } => vec![(cell(p, r, Column::B), dead)],
            Self::SetStatic { p, s } => vec![(fixed(p), live(s))],
            Self::ClearStatic { p } => vec![(fixed(p), dead)],
            Self::DeleteRow { p, r } => whole_rows(p, r..r + 1),
            Self::DeleteRows { p, from, to } => whole_rows(p, from..to + 1),
            Self::DeleteFrom { p, from } => whole_rows(p, from + 1..space.rows),
            Self::DeletePartition { p } => {
                let mut effects = whole_rows(p, 0..space.rows);
                effects.push((fixed(p), dead));
                effects
            }
        }
    }
}

//! A table's file as mutations of bounded size.

use std::{ops::ControlFlow, sync::Arc};

use starling_model::{DecoratedKey, Mutation, Partition, Row};
use starling_sstable::{
    Error,
    table::{
        Table,
        dump::{Shown, each},
    },
};

use super::{age::Age, matching::Target};

/// A mutation has at most about this much, in bytes, unless it is a single part of a row. One that was nearly as large as the
/// cluster takes must not have others added.
const PIECE_BYTES: usize = 64 << 10;

/// A row that has more is written in several pieces, in bytes.
const ROW_BYTES: usize = 4 << 20;

/// What is gathered of a partition.
struct Gathering<'a> {
    target: &'a Target,
    age: &'a dyn Fn() -> Age,
    key: Option<DecoratedKey>,
    partition: Partition,
    bytes: usize,
    rows: u64,
    take: &'a mut dyn FnMut(Mutation, u64) -> ControlFlow<()>,
}

/// Gives all that a file holds to `take`, in pieces of one partition each, with how many rows each has, until it breaks. What
/// comes before damage was given. What is deleted in it is as old as `age` says, which is asked for each entry anew: `take` may
/// wait for what was given before to be written, and a large file takes hours.
pub(super) fn cut(
    table: &Arc<Table>,
    target: &Target,
    age: &dyn Fn() -> Age,
    decorate: &dyn Fn(DecoratedKey) -> DecoratedKey,
    take: &mut dyn FnMut(Mutation, u64) -> ControlFlow<()>,
) -> Result<(), Error> {
    let mut gathering = Gathering {
        target,
        age,
        key: None,
        partition: Partition::default(),
        bytes: 0,
        rows: 0,
        take,
    };
    let mut broken = false;
    let read = each(table, &mut |entry| {
        let flow = gathering.add(entry, decorate);
        broken |= flow.is_break();
        flow
    });
    if !broken {
        let _ = gathering.give();
    }
    read
}

impl Gathering<'_> {
    fn add(&mut self, entry: Shown, decorate: &dyn Fn(DecoratedKey) -> DecoratedKey) -> ControlFlow<()> {
        match entry {
            Shown::Partition(key) => {
                self.give()?;
                self.key = Some(decorate(key));
            }
            Shown::Head(head) => {
                if let Some(deletion) = head.deletion {
                    self.make_room(size_of_val(&deletion))?;
                    self.partition.delete((self.age)().deletion(deletion));
                }
            }
            Shown::Static(row) => {
                for part in parts((self.age)().row(self.target.row(row))) {
                    self.make_room(part.weight())?;
                    self.partition.add_static(part);
                }
            }
            Shown::Range(mut tombstone) => {
                tombstone.deletion = (self.age)().deletion(tombstone.deletion);
                let end = tombstone.range.end.as_ref().map_or(0, bytes::Bytes::len);
                self.make_room(size_of_val(&tombstone) + tombstone.range.start.len() + end)?;
                self.partition.delete_range(tombstone);
            }
            Shown::Row(clustering, row) => {
                for part in parts((self.age)().row(self.target.row(row))) {
                    self.make_room(clustering.0.len() + part.weight())?;
                    self.partition.add_row(clustering.clone(), part);
                }
                self.rows += 1;
            }
        }
        ControlFlow::Continue(())
    }

    /// Gives what is there if so much more would be too much.
    fn make_room(&mut self, bytes: usize) -> ControlFlow<()> {
        if self.bytes + bytes > PIECE_BYTES {
            self.give()?;
        }
        self.bytes += bytes;
        ControlFlow::Continue(())
    }

    fn give(&mut self) -> ControlFlow<()> {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        let partition = std::mem::take(&mut self.partition);
        let Some(key) = self.key.clone().filter(|_| !partition.is_empty()) else {
            return ControlFlow::Continue(());
        };
        let mutation = Mutation {
            table: self.target.table,
            key,
            partition,
        };
        (self.take)(mutation, rows)
    }
}

/// A row whose parts merge to it, none of them much larger than it may be.
fn parts(row: Row) -> Vec<Row> {
    if row.weight() <= ROW_BYTES {
        return vec![row];
    }
    let mut parts = vec![Row {
        marker: row.marker,
        deletion: row.deletion,
        cells: Vec::new(),
    }];
    let mut bytes = 0;
    for cell in row.cells {
        let part = Row {
            cells: vec![cell],
            ..Row::default()
        };
        bytes += part.weight();
        match parts.last_mut().filter(|_| bytes <= ROW_BYTES) {
            Some(last) => last.cells.extend(part.cells),
            None => {
                bytes = part.weight();
                parts.push(part);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests;

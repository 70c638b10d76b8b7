//! Reading one row.

use bytes::Bytes;
use starling_model::{ColumnId, DecoratedKey, TableId};

use super::Engine;
use crate::{Error, log::Lsn, read::Point};

/// A row, and when it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowResult {
    /// The row in the encoding of the model, with its tombstones and expired cells; `None` if there is nothing of
    /// it. Where one table has all of it, and uncompressed, it is a slice of the table's map.
    pub row: Option<Bytes>,
    /// As in [`ReadResult`](super::ReadResult).
    pub durable_at: Lsn,
}

impl Engine {
    /// Reads one row by its whole key: what [`read`](Self::read) does, without a page around it. Neither the static
    /// row nor tombstones beside the row come with it; what they cover of the row is left out.
    ///
    /// `columns`, in order, are those that are wanted, or `None` for all. Of a row that exists by a marker that does
    /// not expire the others are left out, which spares looking at older tables for them.
    ///
    /// [`Error::Corrupt`] names a damaged file.
    pub fn get(
        &self,
        table: TableId,
        key: &DecoratedKey,
        clustering: &[u8],
        columns: Option<&[ColumnId]>,
    ) -> Result<RowResult, Error> {
        self.reads.set(self.reads.get() + 1);
        let Some(state) = self.tables.get(&table) else {
            return Ok(RowResult {
                row: None,
                durable_at: Lsn::ZERO,
            });
        };
        let point = Point {
            key,
            clustering,
            columns,
        };
        let waiting = state.waiting.iter().rev().map(|memtable| &**memtable);
        let memory = std::iter::once(&state.active)
            .chain(waiting)
            .filter(|memtable| !memtable.is_empty());
        let tables = state.tables.live().iter().rev();
        let found = self.points.borrow_mut().get(&point, memory, tables)?;
        self.visited.set(self.visited.get() + found.visited);
        Ok(RowResult {
            row: found.row,
            durable_at: self.unsynced(found.newest),
        })
    }

    /// The write that a reader has to wait for, if it is not synced yet; else [`Lsn::ZERO`].
    pub(super) fn unsynced(&self, newest: Lsn) -> Lsn {
        if newest > self.log.synced() {
            newest
        } else {
            Lsn::ZERO
        }
    }
}

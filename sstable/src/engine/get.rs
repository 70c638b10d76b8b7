//! Reading: one row, or a page.

use bytes::Bytes;
use starling_model::{ColumnId, DecoratedKey, EncodedPage, Page, ReadCommand, TableId};

use super::{Engine, quarantine::Guarded, table_state::TableState};
use crate::{
    Error, fs,
    log::Lsn,
    read::{self, Deadline, Never, Point},
};

/// A page with more bytes is too much to be sent: it is read again, and ends with its first row, until the large one has
/// few others beside it. 31 MiB.
const MOST_PAGE_BYTES: usize = 31 << 20;

/// How much of a table a read is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything: damage is an error.
    All,
    /// What is left past what is known to be damaged. It may be less than what was written, also of what is deleted. Damage
    /// that is met is an error as ever, and passed once it is in [`Engine::quarantined`].
    Rest,
}

/// A page, and when it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadResult {
    /// The page.
    pub page: Page,
    /// The newest write to any partition the read touched that was not synced; [`Lsn::ZERO`] if all were.
    /// The page may leave once [`Log::synced`](crate::Log::synced) is at least this, or it could show what a
    /// crash undoes.
    pub durable_at: Lsn,
}

/// A page as it is sent on, when it may be shown, and what it cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageResult {
    /// The page, encoded.
    pub page: EncodedPage,
    /// As in [`ReadResult`].
    pub durable_at: Lsn,
    /// Rows and tombstones that were visited.
    pub visited: u64,
    /// Live rows in the page. The difference is what was read for nothing: tombstones, and what they cover or
    /// what has expired.
    pub live: u64,
    /// Bytes of content, as the command's limits count them.
    pub bytes: usize,
}

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
    /// [`Error::Corrupt`] names a damaged file; [`Error::RowTooLarge`] says what to do.
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
            table,
            key,
            clustering,
            columns,
        };
        state.check_token(key.token)?;
        let waiting = state.waiting.iter().rev().map(|memtable| &**memtable);
        let memory = std::iter::once(&state.active)
            .chain(waiting)
            .filter(|memtable| !memtable.is_empty());
        let tables = state.tables.live().iter().rev();
        let lost = fs::lost_pages();
        let found = self.points.borrow_mut().get(&point, memory, tables);
        let found = found.map_err(|error| self.met(error))?;
        self.all_was_read(Some(state), lost)?;
        self.visited.set(self.visited.get() + found.visited);
        self.live.set(self.live.get() + u64::from(found.row.is_some()));
        Ok(RowResult {
            row: found.row,
            durable_at: self.unsynced(found.newest),
        })
    }

    /// Reads one page. Changes nothing.
    ///
    /// [`Error::Invalid`] for a command that can't be carried out; [`Error::Corrupt`] names a damaged file;
    /// [`Error::RowTooLarge`] is for a row that must be made smaller.
    pub fn read(&self, command: &ReadCommand) -> Result<ReadResult, Error> {
        let PageResult { page, durable_at, .. } = self.read_encoded(command, &mut Never)?;
        let bytes = cfg!(debug_assertions).then(|| page.clone());
        let page = page
            .decode()
            .map_err(|_| Error::Invalid("the page can't be decoded: a table holds what is no row"))?;
        // Replicas are compared by the bytes of their pages.
        debug_assert!(
            bytes.is_none_or(|bytes| bytes == page.encoded()),
            "equal pages have equal bytes, whatever tables they are read from"
        );
        Ok(ReadResult { page, durable_at })
    }

    /// [`read`](Self::read) without decoding: the page can be sent on as it is, and [`EncodedPage::decode`] makes
    /// of it what `read` returns.
    ///
    /// When `deadline` has passed, the page ends with what it has covered by then: it is short, and says so by
    /// its `next`, as it does at any of the command's limits. So a read through very many tombstones is bounded in
    /// time as well as in memory.
    pub fn read_encoded(
        &self,
        command: &ReadCommand,
        deadline: &mut dyn Deadline,
    ) -> Result<PageResult, Error> {
        self.read_extent(command, Extent::All, deadline)
    }

    /// [`read_encoded`](Self::read_encoded) of what is asked for.
    pub fn read_extent(
        &self,
        command: &ReadCommand,
        extent: Extent,
        deadline: &mut dyn Deadline,
    ) -> Result<PageResult, Error> {
        let state = self.tables.get(&command.table);
        let sources = state.map(TableState::sources).unwrap_or_default();
        let guarded = match extent {
            Extent::All => Guarded::new(state, command)?,
            Extent::Rest => Guarded::rest(command),
        };
        let lost = fs::lost_pages();
        let mut points = self.points.borrow_mut();
        let mut answer = read::execute(&sources, &guarded.command, deadline, &mut points)
            .map_err(|error| self.met(error))?;
        if answer.page.bytes() > MOST_PAGE_BYTES {
            let mut alone = guarded.command.clone().into_owned();
            alone.limits.bytes = 1;
            answer =
                read::execute(&sources, &alone, deadline, &mut points).map_err(|error| self.met(error))?;
        }
        drop(points);
        self.all_was_read(state, lost)?;
        guarded.finish(&mut answer)?;
        self.reads.set(self.reads.get() + 1);
        self.visited.set(self.visited.get() + answer.visited);
        self.live.set(self.live.get() + answer.live);
        Ok(PageResult {
            page: answer.page,
            durable_at: self.unsynced(answer.newest),
            visited: answer.visited,
            live: answer.live,
            bytes: answer.bytes,
        })
    }

    /// Fails if a page was lost, of those that there were `before` a read, and a table of the read has such: what was checked may
    /// have been zeros by the time that it was used.
    fn all_was_read(&self, state: Option<&TableState>, before: u64) -> Result<(), Error> {
        if fs::lost_pages() == before {
            return Ok(());
        }
        let mut tables = state.into_iter().flat_map(|state| state.tables.live());
        let read = tables.try_for_each(|table| table.all_was_read());
        read.map_err(|error| self.met(error))
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

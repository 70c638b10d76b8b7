//! Flushes that are asked for.

use std::collections::BTreeSet;

use starling_model::TableId;

use super::{
    Engine,
    snapshot::{Done, MAX_WAITING},
    table_state::TableState,
};
use crate::{Error, log::Lsn};

/// A flush that somebody waits for.
pub(super) struct Wanted {
    /// Writes up to this are to be in tables.
    last: Lsn,
    done: Done,
}

impl Engine {
    /// Makes every memtable due for its flush, whatever it holds: before a planned stop, or a snapshot.
    pub fn flush_all(&mut self) {
        self.rotate_all(None);
    }

    /// The same, and `done` is told, at once or from [`finish`](Self::finish), when all that was accepted before is in
    /// tables, durably. A flush that fails is tried again, so while the disk is full nobody is told anything.
    ///
    /// [`Error::Invalid`] if too many wait already; then nothing was changed.
    pub fn flush(&mut self, done: impl FnOnce(Result<(), Error>) + Send + 'static) -> Result<(), Error> {
        if self.bulk.flushes.len() >= MAX_WAITING {
            return Err(Error::Invalid("too many flushes are waited for"));
        }
        self.flush_all();
        self.bulk.flushes.push_back(Wanted {
            last: self.log.appended(),
            done: Box::new(done),
        });
        self.tell_flushed();
        Ok(())
    }

    /// Makes the memtables of some tables due for their flush; `None`: of all.
    pub(super) fn rotate_all(&mut self, tables: Option<&BTreeSet<TableId>>) {
        for (id, state) in &mut self.tables {
            if tables.is_none_or(|tables| tables.contains(id)) {
                state.rotate(&self.pool);
            }
        }
    }

    /// Whether all writes up to one are in files, of some tables or of all.
    pub(super) fn are_flushed(&self, tables: Option<&BTreeSet<TableId>>, last: Lsn) -> bool {
        self.tables
            .iter()
            .filter(|(id, _)| tables.is_none_or(|tables| tables.contains(id)))
            .filter_map(|(_, state)| TableState::first_unflushed(state))
            .all(|first| first > last)
    }

    /// Tells those who wait for a flush that is through. They asked in the order of what they wait for.
    pub(super) fn tell_flushed(&mut self) {
        while let Some(first) = self.bulk.flushes.front()
            && self.are_flushed(None, first.last)
            && let Some(wanted) = self.bulk.flushes.pop_front()
        {
            (wanted.done)(Ok(()));
        }
    }
}

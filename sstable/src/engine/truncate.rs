//! Emptying a table.

use starling_model::TableId;

use super::{
    Engine,
    schedule::{Change, Failed},
};
use crate::{Error, memtable::Memtable, version::Tables};

impl Engine {
    /// Removes everything that was written to a table until now. Durable when it returns: none of it comes
    /// back, also not out of the log after a crash. Also how a dropped table's space is freed.
    ///
    /// After an error the table's data is still there; a restart may find it truncated.
    pub fn truncate(&mut self, table: TableId) -> Result<(), Error> {
        if !self.tables.contains_key(&table) {
            return Ok(());
        }
        let change = Change {
            tables: Tables::default(),
            replayed: self.log.appended(),
            flushed: usize::MAX,
        };
        self.commit(table, change).map_err(|Failed { error, .. }| error)?;
        let state = self.tables.entry(table).or_default();
        self.memory -= state.active.weight();
        state.active = Memtable::default();
        state.flushing = false;
        state.epoch += 1;
        Ok(())
    }
}

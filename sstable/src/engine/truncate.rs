//! Emptying a table.

use starling_model::TableId;

use super::{Engine, install::Change, merges::Replaces};
use crate::Error;

impl Engine {
    /// Removes everything that was written to a table until now. Durable when it returns: none of it comes
    /// back, also not out of the log after a crash. Also how a dropped table's space is freed: by the next job.
    ///
    /// After an error the table's data is still there; a restart may find it truncated.
    pub fn truncate(&mut self, table: TableId) -> Result<(), Error> {
        let Some(state) = self.tables.get(&table) else {
            return Ok(());
        };
        self.install_now(Change {
            table,
            epoch: state.epoch,
            replaces: Replaces::Everything(self.log.appended()),
            outputs: Vec::new(),
            bytes: 0,
            major: false,
        })
    }
}

//! Truncations beside sessions: what a session read before a replica was truncated must not come back.
//!
//! TRUNCATE reaches the replicas one after the other, within its timeout or not at all. A session that began before
//! that time was over may have read from a replica that was not truncated yet, so what it writes is refused by those
//! that were.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use starling_model::TableId;

/// When tables were truncated on this node since it started, by the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Truncations(Mutex<BTreeMap<TableId, Duration>>);

impl Truncations {
    /// Notes a truncation; `hand_on` gives it to the storage, before or after any write of a session as a whole.
    pub(crate) fn begin<T>(&self, table: TableId, now: Duration, hand_on: impl FnOnce() -> T) -> T {
        let mut noted = self.0.lock();
        noted.insert(table, now);
        hand_on()
    }

    /// Gives the storage what a session that began at `began` writes, unless the table may have been truncated on
    /// some replica since: then `None`. `limit` is how long a truncation may take.
    pub(crate) fn unless_truncated<T>(
        &self,
        table: TableId,
        began: Duration,
        limit: Duration,
        hand_on: impl FnOnce() -> T,
    ) -> Option<T> {
        let noted = self.0.lock();
        let clear = noted.get(&table).is_none_or(|at| began >= *at + limit);
        clear.then(hand_on)
    }
}

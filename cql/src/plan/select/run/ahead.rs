//! What a SELECT reads next.
//!
//! The partitions of an IN are read several at a time, so that the statement takes as long as its slowest
//! reads and not as long as their sum. How many: as many as will likely fit into what is left of the page
//! and of LIMIT, judged by the partitions that were read before. The first one of many rows is read alone,
//! so that a LIMIT that it fills costs nothing more.

use starling_model::{Limits, ReadCommand};

use super::{PAGE_BYTES, SelectRun};

/// Rows asked of replicas at a time where the statement's own limit says little: for aggregates, filters
/// and statements without paging.
const FETCH_ROWS: u32 = 5_000;
/// The most partitions that one statement reads at a time.
const MAX_AHEAD: u64 = 16;
/// Bytes asked of a partition that is read ahead of its turn. What it has beyond is read in its turn, so
/// that what waits is bounded by this and [`MAX_AHEAD`].
const AHEAD_BYTES: u32 = 1 << 20;

/// One read of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// What to read.
    pub command: ReadCommand,
    /// Its page is accepted before those of all reads that are under way, not after them: it goes on where
    /// the page before ended.
    pub first: bool,
}

impl SelectRun {
    /// The next read that is worth having under way; `None`: nothing, until another page was accepted.
    pub fn next_read(&mut self) -> Option<Read> {
        if self.is_over() {
            return None;
        }
        if std::mem::take(&mut self.goes_on) {
            return self.read(0);
        }
        let width = if self.asked == 0 { 1 } else { self.width() };
        if self.asked as u64 >= width {
            return None;
        }
        let read = self.read(self.asked)?;
        self.asked += 1;
        Some(read)
    }

    /// The read of the target at a place in the queue.
    fn read(&self, place: usize) -> Option<Read> {
        let keys = self.targets.get(place)?.clone();
        let rows = self.room().clamp(1, u64::from(u32::MAX)) as u32;
        let exact = self.filters.is_empty();
        let first = place == 0;
        let command = ReadCommand {
            table: self.plan.table.id,
            keys,
            slices: self.slices.clone(),
            reversed: self.plan.reversed,
            after: self.after.clone().filter(|_| first),
            limits: Limits {
                rows: if exact { rows.min(FETCH_ROWS) } else { FETCH_ROWS },
                rows_per_partition: if exact { self.per_partition } else { u32::MAX },
                bytes: if first { Limits::NONE.bytes } else { AHEAD_BYTES },
                ..Limits::NONE
            },
            now: self.now,
        };
        Some(Read { command, first })
    }

    /// Rows that the page still takes.
    fn room(&self) -> u64 {
        let in_page = u64::from(self.page_size).saturating_sub(self.rows.len() as u64);
        in_page.min(self.remaining.into())
    }

    /// How many targets are read at a time.
    fn width(&self) -> u64 {
        // Whatever comes, all of it is needed.
        let has_no_end = self.page_size == u32::MAX && self.plan.limit.is_none();
        if self.sorts || self.plan.aggregates || has_no_end {
            return MAX_AHEAD;
        }
        // Nothing is known yet but the most rows that one can have.
        let most = u64::from(self.per_partition).min(self.most_rows());
        let by_bound = self.room().div_ceil(most.max(1));
        let by_rows = fitting(self.room(), self.rows.len() as u64, self.done);
        let by_bytes = fitting(
            (PAGE_BYTES as u64).saturating_sub(self.bytes as u64),
            self.bytes as u64,
            self.done,
        );
        let seen = if self.done == 0 { 1 } else { by_rows.min(by_bytes) };
        by_bound.max(seen).clamp(1, MAX_AHEAD)
    }

    /// The most rows that a partition can have for this statement.
    fn most_rows(&self) -> u64 {
        let clustering = &self.plan.restrictions.clustering;
        if clustering.fixed() == self.plan.table.clustering().len() {
            self.slices.len() as u64
        } else {
            u64::MAX
        }
    }
}

/// How many more fit into the room if they are like the `done` ones, which took `taken` in all.
fn fitting(room: u64, taken: u64, done: u32) -> u64 {
    room.saturating_mul(done.into()) / taken.max(1)
}

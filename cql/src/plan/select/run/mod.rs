//! One execution of a SELECT, without I/O: it asks for reads, takes their pages, and makes rows.
//!
//! [`ahead`] says what is read next, and how many partitions of an IN at a time.

mod ahead;

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use starling_model::{
    Clustering, ClusteringRange, DecoratedKey, KeyRange, Page, PartitionPage, Position, Row, Seconds,
};

pub use ahead::Read;

use super::{
    Inner,
    aggregate::Accumulator,
    item::Item,
    paging::PagingState,
    row::{self, ReadRow},
};
use crate::{
    error::Error,
    ordered_key, partition_key,
    plan::{
        Context,
        bind::BoundValues,
        expression::Expression,
        restrictions::{Partitions, ReadyFilter},
    },
    request::{Bound, Value},
    result::Rows,
    value,
};

/// The most rows that are ordered in memory (ORDER BY over several partitions).
const MAX_ORDERED_ROWS: usize = 100_000;
/// The most bytes of a result without paging, or ordered in memory.
const MAX_RESULT_BYTES: usize = 128 << 20;
/// A page ends at so many bytes even if it has fewer rows than were asked for, as the protocol allows:
/// rows may be large, and page sizes are what a client says.
const PAGE_BYTES: usize = 8 << 20;

/// An execution. Take from [`next_read`](Self::next_read) what it gives, read it, and give the pages to
/// [`accept`](Self::accept) in the order of the reads, until nothing is under way and there is no next read,
/// or it [is over](Self::is_over); then [`finish`](Self::finish).
#[derive(Debug)]
pub struct SelectRun {
    plan: Arc<Inner>,
    items: Vec<Item>,
    filters: Vec<ReadyFilter>,
    slices: Vec<ClusteringRange>,
    /// What is still to be read. Their count at the start.
    targets: VecDeque<KeyRange>,
    all_targets: u32,
    /// How many of the first targets are being read, and whether the first of them has to be asked for more.
    asked: usize,
    goes_on: bool,
    /// How many targets this page has come to the end of.
    done: u32,
    after: Option<Position>,
    /// The partition that is being read.
    open: Option<Open>,
    page_size: u32,
    remaining: u32,
    per_partition: u32,
    /// Rows of several partitions have to be put in order.
    sorts: bool,
    rows: Vec<Vec<Value>>,
    /// Each row's clustering, where they have to be put in order.
    order: Vec<Clustering>,
    bytes: usize,
    accumulators: Vec<Accumulator>,
    /// The last row that was looked at, and how many rows of its partition counted.
    last: (Option<Position>, u32),
    stopped: Option<PagingState>,
    fingerprint: u64,
    now: Seconds,
}

/// A partition in the middle of being read.
#[derive(Debug)]
struct Open {
    key: DecoratedKey,
    /// Partition key and static columns.
    base: ReadRow,
    static_is_live: bool,
    /// Live rows so far.
    live: u32,
    /// Rows that passed the filters so far.
    matched: u32,
}

impl SelectRun {
    pub(super) fn new(
        plan: Arc<Inner>,
        values: &BoundValues,
        page_size: Option<u32>,
        paging_state: Option<Bytes>,
        context: &mut Context<'_>,
    ) -> Result<Self, Error> {
        let items = plan
            .items
            .iter()
            .map(|item| item.settled(values, context))
            .collect::<Result<Vec<_>, _>>()?;
        let restrictions = &plan.restrictions;
        restrictions.check_combinations(values, context)?;
        let filters = restrictions
            .filters
            .iter()
            .map(|filter| filter.ready(values, context))
            .collect::<Result<Vec<_>, _>>()?;
        let slices = restrictions
            .clustering
            .ranges(plan.table.clustering(), values, context)?;
        let mut targets: VecDeque<KeyRange> = match restrictions.partition.partitions(values, context)? {
            Partitions::Keys(keys) => keys.into_iter().map(KeyRange::Partition).collect(),
            Partitions::Tokens(range) => range.into_iter().map(KeyRange::Tokens).collect(),
        };
        if slices.is_empty() {
            targets.clear();
        }
        let remaining = limit(plan.limit.as_ref(), "LIMIT", values, context)?;
        let mut per_partition = limit(
            plan.per_partition_limit.as_ref(),
            "PER PARTITION LIMIT",
            values,
            context,
        )?;
        if plan.distinct {
            per_partition = 1;
        }
        let sorts = plan.ordered && targets.len() > 1 && !plan.aggregates;
        let fingerprint = values.fingerprint(plan.fingerprint);
        let accumulators = if plan.aggregates {
            items.iter().map(Accumulator::new).collect()
        } else {
            Vec::new()
        };
        let mut run = Self {
            remaining: if plan.aggregates { u32::MAX } else { remaining },
            page_size: page_size
                .filter(|size| *size > 0 && !sorts && !plan.aggregates)
                .unwrap_or(u32::MAX),
            all_targets: targets.len() as u32,
            asked: 0,
            goes_on: false,
            done: 0,
            plan,
            items,
            filters,
            slices,
            targets,
            after: None,
            open: None,
            per_partition,
            sorts,
            rows: Vec::new(),
            order: Vec::new(),
            bytes: 0,
            accumulators,
            last: (None, 0),
            stopped: None,
            fingerprint,
            now: context.now,
        };
        if let Some(state) = paging_state {
            run.resume(PagingState::decode(&state, fingerprint)?)?;
        }
        Ok(run)
    }

    /// Goes on where a page ended.
    fn resume(&mut self, state: PagingState) -> Result<(), Error> {
        if self.sorts || self.plan.aggregates || state.target >= self.all_targets {
            return Err(Error::invalid(
                "the paging state does not fit the statement; start from the first page",
            ));
        }
        self.targets.drain(..state.target as usize);
        self.remaining = self.remaining.min(state.remaining);
        if let Some(position) = &state.after {
            let fits = match self.targets.front() {
                Some(KeyRange::Partition(key)) => *key == position.key,
                Some(KeyRange::Tokens(range)) => range.contains(position.key.token),
                None => false,
            };
            if !fits {
                return Err(Error::invalid(
                    "the paging state does not fit the statement; start from the first page",
                ));
            }
            if position.clustering.is_some() {
                let mut open = self.begin(&position.key)?;
                open.live = position.rows;
                open.matched = state.matched;
                self.open = Some(open);
            }
        }
        self.last = (state.after.clone(), state.matched);
        self.after = state.after;
        Ok(())
    }

    /// Takes the page of the first read that is under way. After an error the execution is over.
    pub fn accept(&mut self, page: Page) -> Result<(), Error> {
        for partition in &page.partitions {
            self.partition(partition)?;
            if self.is_over() {
                return Ok(());
            }
        }
        match page.next {
            Some(next) => {
                let goes_on =
                    self.open.as_ref().is_some_and(|open| open.key == next.key) && next.clustering.is_some();
                if !goes_on {
                    self.close()?;
                }
                self.after = Some(next);
                self.goes_on = true;
            }
            None => {
                self.close()?;
                if self.is_over() {
                    return Ok(());
                }
                self.targets.pop_front();
                self.asked -= 1;
                self.done += 1;
                self.after = None;
                self.last = (None, 0);
            }
        }
        // Full, and there is more to read.
        if !self.is_over() && self.is_full() && !self.targets.is_empty() {
            // What was covered without a live row after the last one is read again: that is safe also
            // where a partition is open.
            if self.open.is_none() {
                self.last = (self.after.clone(), 0);
            }
            self.stop();
        }
        Ok(())
    }

    /// The rows of this page.
    pub fn finish(mut self) -> Result<Rows, Error> {
        let columns = Arc::clone(&self.plan.columns);
        if self.plan.aggregates {
            let row = self
                .accumulators
                .drain(..)
                .map(Accumulator::finish)
                .collect::<Result<Vec<_>, _>>()?;
            return Ok(Rows {
                columns,
                rows: vec![row],
                paging_state: None,
            });
        }
        if self.sorts {
            self.sort();
        }
        let paging_state = self.stopped.as_ref().map(|state| state.encode(self.fingerprint));
        Ok(Rows {
            columns,
            rows: self.rows,
            paging_state,
        })
    }

    /// Puts rows of several partitions in the order of their clusterings; of equal ones, as the
    /// partitions were named.
    fn sort(&mut self) {
        let mut all: Vec<(Clustering, Vec<Value>)> = std::mem::take(&mut self.order)
            .into_iter()
            .zip(std::mem::take(&mut self.rows))
            .collect();
        let reversed = self.plan.reversed;
        all.sort_by(|(a, _), (b, _)| if reversed { b.cmp(a) } else { a.cmp(b) });
        self.rows = all.into_iter().map(|(_, row)| row).collect();
        let limit = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        self.rows.truncate(limit);
    }

    fn is_full(&self) -> bool {
        let paged = self.page_size != u32::MAX;
        self.rows.len() as u64 >= u64::from(self.page_size) || (paged && self.bytes >= PAGE_BYTES)
    }

    /// Whether the page is complete, whatever is still under way: that is dropped.
    pub fn is_over(&self) -> bool {
        self.stopped.is_some() || self.remaining == 0
    }

    /// Ends the page after the last row that was looked at.
    fn stop(&mut self) {
        let (after, matched) = self.last.clone();
        self.stopped = Some(PagingState {
            target: self.all_targets - self.targets.len() as u32,
            remaining: self.remaining,
            matched,
            after,
        });
    }

    fn begin(&self, key: &DecoratedKey) -> Result<Open, Error> {
        let table = &self.plan.table;
        let mut base = ReadRow::new(table.columns.len(), key.token);
        let parts = partition_key::split(&key.key, table.partition_key().len())
            .ok_or_else(|| Error::server("a stored partition key is malformed"))?;
        for (place, part) in parts.into_iter().enumerate() {
            base.values[place] = Some(part);
        }
        Ok(Open {
            key: key.clone(),
            base,
            static_is_live: false,
            live: 0,
            matched: 0,
        })
    }

    fn partition(&mut self, page: &PartitionPage) -> Result<(), Error> {
        if self.open.as_ref().is_some_and(|open| open.key != page.key) {
            self.close()?;
            if self.is_over() {
                return Ok(());
            }
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(&page.key)?,
        };
        let plan = self.plan.clone();
        open.static_is_live = row::is_live(&page.partition.static_row, &plan.table, self.now);
        open.base
            .take(&page.partition.static_row, &plan.table, &plan.places, self.now)?;
        self.open = Some(open);
        let rows = page.partition.rows.iter();
        if plan.reversed {
            for (clustering, row) in rows.rev() {
                self.row(clustering, row)?;
            }
        } else {
            for (clustering, row) in rows {
                self.row(clustering, row)?;
            }
        }
        Ok(())
    }

    fn row(&mut self, clustering: &Clustering, row: &Row) -> Result<(), Error> {
        let plan = self.plan.clone();
        if self.is_over() || !row::is_live(row, &plan.table, self.now) {
            return Ok(());
        }
        let Some(open) = &self.open else { return Ok(()) };
        if open.matched >= self.per_partition {
            return Ok(());
        }
        if self.is_full() {
            self.stop();
            return Ok(());
        }
        let mut read = open.base.clone();
        let keys = ordered_key::decode_clustering(plan.table.clustering(), clustering)
            .map_err(|_| Error::server("a stored clustering key is malformed"))?;
        let first = plan.table.partition_key().len();
        for (at, key) in keys.into_iter().enumerate() {
            read.values[first + at] = Some(key);
        }
        read.take(row, &plan.table, &plan.places, self.now)?;
        let passes = self.passes(&read)?;
        let per_partition = self.per_partition;
        let Some(open) = &mut self.open else { return Ok(()) };
        open.live = open.live.saturating_add(1);
        open.matched += u32::from(passes);
        // The rest of a partition whose limit is reached is skipped.
        let within = (open.matched < per_partition).then(|| clustering.clone());
        let position = Position {
            key: open.key.clone(),
            clustering: within,
            rows: open.live,
        };
        self.last = (Some(position), open.matched);
        if passes {
            self.emit(&read, clustering)
        } else {
            Ok(())
        }
    }

    fn passes(&self, row: &ReadRow) -> Result<bool, Error> {
        for filter in &self.filters {
            let place = self.plan.places.get(&filter.column).copied();
            let value = place.and_then(|place| row.values[place].clone());
            if !filter.passes(&value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends a partition: one that has static columns only is a row of its own, unless rows were asked for.
    fn close(&mut self) -> Result<(), Error> {
        let Some(open) = &self.open else { return Ok(()) };
        let is_row = open.live == 0 && open.static_is_live && self.plan.restrictions.clustering.is_empty();
        if is_row && self.passes(&open.base)? {
            if self.is_full() {
                self.stop();
                return Ok(());
            }
            let base = open.base.clone();
            self.last = (
                Some(Position {
                    key: open.key.clone(),
                    clustering: None,
                    rows: 1,
                }),
                0,
            );
            self.open = None;
            return self.emit(&base, &Clustering::EMPTY);
        }
        self.open = None;
        Ok(())
    }

    fn emit(&mut self, row: &ReadRow, clustering: &Clustering) -> Result<(), Error> {
        if self.plan.aggregates {
            for accumulator in &mut self.accumulators {
                accumulator.take(row, self.now)?;
            }
            return Ok(());
        }
        let values = self
            .items
            .iter()
            .map(|item| item.value(row, self.now))
            .collect::<Result<Vec<_>, _>>()?;
        self.bytes += values.iter().flatten().map(Bytes::len).sum::<usize>() + values.len() * 32;
        self.rows.push(values);
        if self.sorts {
            self.order.push(clustering.clone());
            if self.rows.len() > MAX_ORDERED_ROWS {
                return Err(Error::invalid(format!(
                    "ORDER BY over several partitions comes to more than {MAX_ORDERED_ROWS} rows; ask for fewer partitions at a time"
                )));
            }
        } else {
            self.remaining -= 1;
        }
        if self.bytes > MAX_RESULT_BYTES {
            return Err(Error::invalid(format!(
                "the result has more than {MAX_RESULT_BYTES} bytes; read it in pages (set a page size, or LIMIT)"
            )));
        }
        Ok(())
    }
}

/// A limit's value; without one, all there is.
fn limit(
    expression: Option<&Expression>,
    name: &str,
    values: &BoundValues,
    context: &mut Context<'_>,
) -> Result<u32, Error> {
    let Some(expression) = expression else {
        return Ok(u32::MAX);
    };
    match expression.evaluate(values, context)? {
        Bound::Unset => Ok(u32::MAX),
        Bound::Value(None) => Err(Error::invalid(format!("Invalid null value of {name}"))),
        Bound::Value(Some(bytes)) => match value::int(&bytes).map(u32::try_from) {
            Some(Ok(limit)) if limit > 0 => Ok(limit),
            _ => Err(Error::invalid(format!("{name} must be strictly positive"))),
        },
    }
}

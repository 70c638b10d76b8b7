//! A store in memory that answers reads by the letter of `ReadCommand`, and a session on it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use starling_cql::{
    Error, QueryResult, Rows, SchemaChange, Values, parser,
    plan::{self, Context, Plan, Present, Read, SelectPlan},
    schema::{Schema, system},
    virtual_table,
};
use starling_model::{
    DecoratedKey, KeyRange, Mutation, Page, Partition, PartitionPage, Position, ReadCommand, Seconds,
    TableId, Timestamp, Token,
};
use xxhash_rust::xxh3::xxh3_64;

/// Any partitioner will do: this one spreads keys, and never gives the smallest token.
pub(crate) fn token(key: &[u8]) -> Token {
    Token((xxh3_64(key) as i64).max(i64::MIN + 1))
}

/// A schema, data, and a clock.
pub(crate) struct Session {
    pub(crate) schema: Schema,
    pub(crate) keyspace: Option<String>,
    pub(crate) now: u32,
    /// Pages hold at most this many rows, whatever is asked for.
    pub(crate) page_cap: u32,
    /// All that was read so far.
    pub(crate) reads: Vec<ReadCommand>,
    random: u64,
    data: BTreeMap<(TableId, DecoratedKey), Partition>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            schema: Schema::default(),
            keyspace: None,
            now: 1_000_000,
            page_cap: u32::MAX,
            reads: Vec::new(),
            random: 1,
            data: BTreeMap::new(),
        }
    }
}

impl Session {
    /// Runs `work` with a context at the session's time, which moves on by a second.
    pub(crate) fn with_context<T>(&mut self, work: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.now += 1;
        let micros = i64::from(self.now) * 1_000_000;
        let state = &mut self.random;
        let mut random = || {
            *state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *state ^ (*state >> 29)
        };
        work(&mut Context {
            timestamp: Timestamp(micros),
            now: Seconds(self.now),
            now_micros: micros,
            random: &mut random,
            token: &token,
            node: 7,
        })
    }

    pub(crate) fn prepare(&self, text: &str) -> Result<Plan, Error> {
        plan::prepare(&parser::parse(text)?, &self.schema, self.keyspace.as_deref())
    }

    /// Runs a statement without paging.
    pub(crate) fn run(&mut self, text: &str, values: &Values) -> Result<QueryResult, Error> {
        match self.prepare(text)? {
            Plan::Select(select) => self.select(&select, values, None, None).map(QueryResult::Rows),
            Plan::Write(write) => {
                let mut present = Present::default();
                if write.needs_reads() {
                    let reads = self.with_context(|context| write.reads(values, context))?;
                    present = self.present(reads);
                }
                let mutations = self.with_context(|context| write.mutations(values, &present, context))?;
                self.apply(mutations);
                Ok(QueryResult::Void)
            }
            Plan::Batch(batch) => {
                let mut present = Present::default();
                if batch.needs_reads() {
                    let reads = self.with_context(|context| batch.reads(values, context))?;
                    present = self.present(reads);
                }
                let mutations = self.with_context(|context| batch.mutations(values, &present, context))?;
                self.apply(mutations);
                Ok(QueryResult::Void)
            }
            Plan::Schema(change) => {
                let schema = self.schema.clone();
                let (entries, change) = self.with_context(|context| {
                    let timestamp = context.timestamp;
                    change.entries(&schema, timestamp, context.random)
                })?;
                let _: Vec<SchemaChange> = self.schema.merge(entries);
                Ok(change.map_or(QueryResult::Void, QueryResult::SchemaChange))
            }
            Plan::Use(keyspace) => {
                self.keyspace = Some(keyspace.clone());
                Ok(QueryResult::SetKeyspace(keyspace))
            }
            Plan::Truncate(table) => {
                self.data.retain(|(id, _), _| *id != table.id);
                Ok(QueryResult::Void)
            }
            Plan::Describe(describe) => describe
                .rows(&self.schema, starling_cql::describe::ClusterInfo::default())
                .map(QueryResult::Rows),
        }
    }

    /// What a write has to read first.
    fn present(&mut self, reads: Vec<ReadCommand>) -> Present {
        let mut present = Present::default();
        for mut read in reads {
            while let Some(next) = present.take(read.table, self.page(&read)) {
                read.after = Some(next);
            }
        }
        present
    }

    pub(crate) fn apply(&mut self, mutations: Vec<Mutation>) {
        for mutation in mutations {
            assert!(
                mutation.partition.is_canonical(),
                "a plan made a mutation that is not canonical"
            );
            assert_eq!(Mutation::decode(mutation.encode()).as_ref(), Ok(&mutation));
            self.data
                .entry((mutation.table, mutation.key))
                .or_default()
                .merge(mutation.partition);
        }
    }

    /// One page of a SELECT.
    pub(crate) fn select(
        &mut self,
        select: &SelectPlan,
        values: &Values,
        page_size: Option<u32>,
        state: Option<Bytes>,
    ) -> Result<Rows, Error> {
        let mut run = self.with_context(|context| select.run(values, page_size, state, context))?;
        let mut pages = VecDeque::new();
        while !run.is_over() {
            while let Some(Read { command, first }) = run.next_read() {
                self.reads.push(command.clone());
                let table = select.table();
                let page = match system::rows(&self.schema, table) {
                    Some(rows) => virtual_table::page(table, rows, &command, &token)?,
                    None => self.page(&command),
                };
                if first {
                    pages.push_front(page);
                } else {
                    pages.push_back(page);
                }
            }
            let Some(page) = pages.pop_front() else { break };
            run.accept(page)?;
        }
        run.finish()
    }

    /// All pages of a SELECT.
    pub(crate) fn pages(&mut self, text: &str, values: &Values, size: u32) -> Result<Vec<Rows>, Error> {
        let Plan::Select(select) = self.prepare(text)? else {
            panic!("no SELECT: {text}")
        };
        let mut pages = vec![self.select(&select, values, Some(size), None)?];
        while let Some(state) = pages.last().and_then(|page| page.paging_state.clone()) {
            self.now -= 1;
            pages.push(self.select(&select, values, Some(size), Some(state))?);
        }
        Ok(pages)
    }

    /// A replica's answer, by the letter.
    fn page(&self, command: &ReadCommand) -> Page {
        let mut page = Page::default();
        let mut left = command.limits.rows.min(self.page_cap);
        for ((table, key), partition) in &self.data {
            let wanted = match &command.keys {
                KeyRange::Partition(wanted) => key == wanted,
                KeyRange::Tokens(range) => range.contains(key.token),
            };
            if *table != command.table || !wanted {
                continue;
            }
            let mut seen = 0;
            let mut start = None;
            if let Some(after) = &command.after {
                if *key < after.key || (*key == after.key && after.clustering.is_none()) {
                    continue;
                }
                if *key == after.key {
                    seen = after.rows;
                    start.clone_from(&after.clustering);
                }
            }
            if left == 0 {
                return page;
            }
            let mut out = Partition {
                deletion: partition.deletion,
                static_row: partition.static_row.clone(),
                ..Partition::default()
            };
            out.ranges = partition.ranges.clone();
            let mut rows: Vec<_> = command
                .slices
                .iter()
                .flat_map(|slice| partition.range(slice))
                .collect();
            if command.reversed {
                rows.reverse();
            }
            let mut cut = None;
            for (clustering, row) in rows {
                let done = start.as_ref().is_some_and(|last| {
                    if command.reversed {
                        clustering >= last
                    } else {
                        clustering <= last
                    }
                });
                if done {
                    continue;
                }
                if seen >= command.limits.rows_per_partition {
                    break;
                }
                out.rows.insert(clustering.clone(), row.clone());
                if row.is_live(command.now) {
                    seen += 1;
                    left -= 1;
                }
                if left == 0 {
                    cut = Some(clustering.clone());
                    break;
                }
            }
            if seen == 0 && partition.static_row.is_live(command.now) {
                left = left.saturating_sub(1);
            }
            if left == 0 {
                page.next = Some(Position {
                    key: key.clone(),
                    clustering: cut.clone(),
                    rows: seen,
                });
            }
            if !out.is_empty() {
                page.partitions.push(PartitionPage {
                    key: key.clone(),
                    partition: out,
                    cut,
                });
            }
            if left == 0 {
                return page;
            }
        }
        page
    }
}

//! What a node does as a replica: applies writes and reads pages of its own storage.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use starling_cql::partition_key;
use starling_model::{
    DecoratedKey, EncodedMutation, EncodedPage, KeyRange, Mutation, ReadCommand, TableId, Timestamp,
};

use crate::{
    clock::MAX_CLIENT_DRIFT_MICROS,
    clock_floor::{COVERED_MICROS, ClockFloor, Now},
    deadline::Deadline,
    env::{Env, Store, StoreError, StoredPage},
    message::{Failure, MAX_PAGE_BYTES, MAX_SENT_PAGE_BYTES},
    newest::Newest,
    purgeable::Purgeable,
    snapshot::Views,
    status::Counters,
    tracing::Tracer,
    truncations::{Origin, Truncations},
};

/// A page through this many tombstones, and rows that are deleted or expired, is worth a warning.
const DEAD_ROWS_WARNED: u64 = 10_000;

/// A page past so much new damage is given up: the next attempt gets further.
const MOST_MET: usize = 64;

/// The part of the time that is left which the storage may spend on a page, so that it is still worth something when
/// it arrives.
const READ_SHARE: f64 = 0.5;

/// This node's storage, guarded: deadlines are kept and unknown tables refused.
pub(crate) struct Replica<E: Env> {
    env: E,
    views: Arc<Views>,
    counters: Arc<Counters>,
    newest: Newest,
    clock_floor: Arc<ClockFloor>,
    pub(crate) truncations: Arc<Truncations>,
    pub(crate) purgeable: Purgeable,
}

impl<E: Env> Replica<E> {
    pub(crate) fn new(
        env: E,
        views: Arc<Views>,
        counters: Arc<Counters>,
        clock_floor: Arc<ClockFloor>,
        truncations: Arc<Truncations>,
    ) -> Self {
        Self {
            env,
            views,
            counters,
            newest: Newest::new(clock_floor.begin()),
            clock_floor,
            truncations,
            purgeable: Purgeable::default(),
        }
    }

    /// What coordinators stamp from now on must be newer than this, also after a restart: data comes in by another way
    /// than [`write`](Self::write), whose writes were this new at most.
    pub(crate) async fn count_as_written(&self, newest: Timestamp) -> Result<(), Failure> {
        if self.clock_floor.take(newest, Now::of(&self.env)) {
            self.remember(newest).await?;
        }
        self.newest.raise(newest);
        Ok(())
    }

    /// Applies a write; durable when it ends well. Work whose deadline has passed is dropped, and refused what began
    /// before its table was truncated.
    pub(crate) async fn write(
        &self,
        mutation: &Mutation,
        encoded: Bytes,
        origin: Origin,
        deadline: Deadline,
        tracer: &Tracer,
    ) -> Result<(), Failure> {
        let applied = self.apply(mutation, encoded, origin, deadline, tracer);
        applied.await.map(drop)
    }

    /// The same for a write that its coordinator stamped: also says what the stamp should have been greater
    /// than, and may not be.
    pub(crate) async fn write_stamped(
        &self,
        mutation: &Mutation,
        (encoded, stamp): (Bytes, Timestamp),
        origin: Origin,
        deadline: Deadline,
        tracer: &Tracer,
    ) -> Result<Option<Timestamp>, Failure> {
        let before = self.apply(mutation, encoded, origin, deadline, tracer).await?;
        Ok((before >= stamp).then_some(before))
    }

    /// Refuses a peer's write that is further ahead of this node's clock than any client may choose and any
    /// clock may be wrong: a coordinator's broken clock must not make data that nobody can change.
    pub(crate) fn check_time(&self, mutation: &Mutation) -> Result<(), Failure> {
        let wall = self.env.wall();
        let Some(newest) = mutation.partition.newest() else {
            return Ok(());
        };
        let ahead = newest.0.saturating_sub(wall.0);
        if ahead > MAX_CLIENT_DRIFT_MICROS + COVERED_MICROS {
            return Err(Failure::Invalid(format!(
                "the write's timestamp is {} seconds ahead of this replica's clock: the coordinator's clock or this one is wrong",
                ahead / 1_000_000
            )));
        }
        Ok(())
    }

    /// Applies a write, whose bytes are `encoded`; returns the newest timestamp that may have been in its place before.
    async fn apply(
        &self,
        mutation: &Mutation,
        encoded: Bytes,
        origin: Origin,
        deadline: Deadline,
        tracer: &Tracer,
    ) -> Result<Timestamp, Failure> {
        self.known(mutation.table)?;
        // A peer whose partitioner is another one would scatter data where nobody looks for it.
        if self.views.load().cluster.ring.token(&mutation.key.key) != mutation.key.token {
            return Err(Failure::Invalid("the token is not that of the key".to_owned()));
        }
        tracer.note(
            || self.env.wall(),
            || "Appending to the log and the memtable".to_owned(),
        );
        let before = self.note(mutation).await?;
        // A disk may have been waited for.
        let time = self.in_time(deadline)?;
        let hand_on = || {
            let mutation = EncodedMutation::of(mutation, encoded);
            self.env.store().apply(mutation, time)
        };
        let applied = self
            .truncations
            .unless_refused(mutation.table, origin, hand_on)
            .ok_or(Failure::Truncated)?;
        self.ended(deadline.within(&self.env, applied).await)?;
        tracer.note(|| self.env.wall(), || "The write is durable".to_owned());
        Ok(before)
    }

    /// Notes a write that is about to be applied; returns the newest timestamp that may have been in its place before.
    pub(crate) async fn note(&self, mutation: &Mutation) -> Result<Timestamp, Failure> {
        if let Some(newest) = mutation.partition.newest()
            && self.clock_floor.take(newest, Now::of(&self.env))
        {
            self.remember(newest).await?;
        }
        Ok(self.newest.note(mutation))
    }

    /// Sees to it that a restart knows how new the writes are that this node has taken.
    fn remember(&self, newest: Timestamp) -> BoxFuture<'static, Result<(), Failure>> {
        let (floor, fs) = (Arc::clone(&self.clock_floor), Arc::clone(self.env.fs()));
        let covered = self.env.blocking(move || floor.cover(&*fs, newest));
        async move {
            let covered = covered.await;
            covered.map_err(|error| Failure::Storage(format!("the clock's state can't be stored: {error}")))
        }
        .boxed()
    }

    /// Reads one page, in its bytes. Work whose deadline has passed is dropped; a page that takes too long is short.
    pub(crate) async fn read(
        &self,
        mut command: ReadCommand,
        deadline: Deadline,
        tracer: &Tracer,
    ) -> Result<EncodedPage, Failure> {
        self.prepare(&mut command, deadline)?;
        tracer.note(
            || self.env.wall(),
            || match &command.keys {
                KeyRange::Partition(key) => format!("Reading the partition at token {}", key.token),
                KeyRange::Tokens(range) => format!("Reading the token range {range}"),
            },
        );
        let time = deadline.remaining(&self.env).mul_f64(READ_SHARE);
        let (table, keys) = (command.table, command.keys.clone());
        let read = self.env.store().read(command, time);
        let mut read = self.ended(deadline.within(&self.env, read).await)?;
        read.page = self.sendable(table, read.page)?;
        tracer.note(
            || self.env.wall(),
            || {
                let StoredPage { page, visited, live } = &read;
                format!(
                    "Read {live} live rows of {} partitions; visited {visited} rows and tombstones",
                    page.len()
                )
            },
        );
        self.note_dead(table, &keys, &read);
        Ok(read.page)
    }

    /// The same of what is left past what is damaged, also of what is found to be so now.
    pub(crate) async fn read_rest(
        &self,
        mut command: ReadCommand,
        deadline: Deadline,
    ) -> Result<EncodedPage, Failure> {
        self.prepare(&mut command, deadline)?;
        let table = command.table;
        let mut met = 0;
        let read = loop {
            let time = deadline.remaining(&self.env).mul_f64(READ_SHARE);
            let read = self.env.store().read_rest(command.clone(), time);
            match deadline.within(&self.env, read).await {
                Some(Err(StoreError::Corrupt(_))) if met < MOST_MET => {
                    met += 1;
                    // The storage passes what it was asked to tell of.
                    self.env.store().damaged().await.map_err(failure)?;
                }
                read => break self.ended(read)?,
            }
        };
        self.sendable(table, read.page)
    }

    /// Refuses what can't be read, and bounds the rest.
    fn prepare(&self, command: &mut ReadCommand, deadline: Deadline) -> Result<(), Failure> {
        self.in_time(deadline)?;
        self.known(command.table)?;
        check_command(command)?;
        command.limits.bytes = command.limits.bytes.min(MAX_PAGE_BYTES);
        Ok(())
    }

    /// A page that a message takes.
    fn sendable(&self, table: TableId, page: EncodedPage) -> Result<EncodedPage, Failure> {
        if page.bytes() <= MAX_SENT_PAGE_BYTES {
            return Ok(page);
        }
        let (mib, most) = (page.bytes() >> 20, MAX_SENT_PAGE_BYTES >> 20);
        let problem = format!("has {mib} MiB, and {most} MiB can be read at most");
        let advice = "delete elements of its collections, or the row";
        Err(self.row_too_large(table, page.last_key().as_ref(), &problem, advice))
    }

    /// Why the storage did not do what it was asked.
    #[cold]
    fn refusal(&self, error: StoreError) -> Failure {
        let StoreError::RowTooLarge {
            table,
            key,
            bytes,
            limit,
        } = error
        else {
            return failure(error);
        };
        let (mib, most) = (bytes >> 20, limit >> 20);
        let problem = format!("has {mib} MiB in its states, and a read merges {most} MiB at most");
        let advice = "delete the row, which helps at once, or elements of its collections, which helps once compaction has \
                      merged them";
        self.row_too_large(table, Some(&key), &problem, advice)
    }

    /// A row that is too much, for memory or for any message: refused wherever it is read, so that it does not depend on who
    /// coordinates. The key is shown as CQL has it.
    #[cold]
    fn row_too_large(
        &self,
        table: TableId,
        key: Option<&DecoratedKey>,
        problem: &str,
        advice: &str,
    ) -> Failure {
        let views = self.views.load();
        let definition = views.schema.table_by_id(table);
        let name = definition.map_or_else(|| table.to_string(), |table| table.full_name());
        let place = match (key, definition) {
            (None, _) => String::new(),
            (Some(key), Some(table)) => format!(" ({})", partition_key::show(table, &key.key)),
            (Some(key), None) => format!(" (token {})", key.token),
        };
        ::tracing::warn!(
            table = name,
            row = place,
            problem,
            "a row is too large to be read"
        );
        Failure::Invalid(format!("a row of {name}{place} {problem}: {advice}"))
    }

    /// What was read for nothing is counted, and told where it is much: deletions that pile up in a partition make
    /// each read of it slow.
    fn note_dead(&self, table: TableId, keys: &KeyRange, read: &StoredPage) {
        // A complete partition counts as one visit.
        let dead = read.visited.saturating_sub(read.live + read.page.len() as u64);
        self.counters.dead_rows_read.add(dead);
        if dead < DEAD_ROWS_WARNED {
            return;
        }
        self.counters.dead_reads.one();
        let views = self.views.load();
        let name = views.schema.table_by_id(table);
        let name = name.map_or_else(String::new, |table| format!("{}.{}", table.keyspace, table.name));
        match keys {
            KeyRange::Partition(key) => ::tracing::warn!(
                table = name,
                key = ?key.key,
                token = %key.token,
                dead,
                live = read.live,
                "a read of a partition went through very many tombstones, or rows that are deleted or expired"
            ),
            KeyRange::Tokens(tokens) => ::tracing::warn!(
                table = name,
                %tokens,
                dead,
                live = read.live,
                "a scan went through very many tombstones, or rows that are deleted or expired"
            ),
        }
    }

    /// Removes a table's data for a truncation. The table need not be known any more. False, and nothing was removed, if the truncation is
    /// over.
    pub(crate) async fn truncate(
        &self,
        table: TableId,
        id: u128,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        let now = self.env.monotonic();
        let removal = self
            .truncations
            .remove(table, id, now, || self.env.store().truncate(table));
        let Some(removal) = removal else { return Ok(false) };
        self.ended(deadline.within(&self.env, removal).await)?;
        Ok(true)
    }

    /// What is left of the time; refused if that is nothing.
    fn in_time(&self, deadline: Deadline) -> Result<Duration, Failure> {
        let left = deadline.remaining(&self.env);
        if left.is_zero() {
            return Err(self.late());
        }
        Ok(left)
    }

    /// What the storage said, if it said it in time.
    fn ended<T>(&self, outcome: Option<Result<T, StoreError>>) -> Result<T, Failure> {
        match outcome {
            None | Some(Err(StoreError::Late)) => Err(self.late()),
            Some(outcome) => outcome.map_err(|error| self.refusal(error)),
        }
    }

    #[cold]
    fn late(&self) -> Failure {
        self.counters.late.one();
        Failure::Late
    }

    fn known(&self, table: TableId) -> Result<(), Failure> {
        match self.views.load().schema.table_by_id(table) {
            Some(_) => Ok(()),
            None => Err(Failure::UnknownTable(table)),
        }
    }
}

/// Commands that no coordinator makes, and that a storage engine need not understand.
fn check_command(command: &ReadCommand) -> Result<(), Failure> {
    let invalid = |problem: &str| Err(Failure::Invalid(problem.to_owned()));
    let limits = &command.limits;
    if limits.rows == 0 || limits.rows_per_partition == 0 || limits.bytes == 0 || limits.visited == 0 {
        return invalid("a limit is 0");
    }
    if command
        .slices
        .iter()
        .any(starling_model::ClusteringRange::is_empty)
    {
        return invalid("a slice is empty");
    }
    if command
        .slices
        .windows(2)
        .any(|pair| pair[0].end.as_ref().is_none_or(|end| *end > pair[1].start))
    {
        return invalid("the slices are not in order");
    }
    if let KeyRange::Tokens(range) = &command.keys
        && range.start >= range.end
    {
        return invalid("the token range wraps around");
    }
    Ok(())
}

pub(crate) fn failure(error: StoreError) -> Failure {
    match error {
        StoreError::Overloaded => Failure::Overloaded,
        StoreError::Stopping => Failure::NotServing,
        StoreError::Late => Failure::Late,
        StoreError::Disk(_) | StoreError::RowTooLarge { .. } => Failure::Storage(error.to_string()),
        StoreError::Corrupt(_) => Failure::Damaged(error.to_string()),
    }
}

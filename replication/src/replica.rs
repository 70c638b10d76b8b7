//! What a node does as a replica: applies writes and reads pages of its own storage.

use std::sync::Arc;

use starling_model::{KeyRange, Mutation, Page, ReadCommand, TableId};

use crate::{
    deadline::Deadline,
    env::{Env, Store, StoreError},
    message::{Failure, MAX_PAGE_BYTES},
    snapshot::Views,
    status::Counters,
    tracing::Tracer,
};

/// This node's storage, guarded: deadlines are kept and unknown tables refused.
pub(crate) struct Replica<E: Env> {
    env: E,
    views: Arc<Views>,
    counters: Arc<Counters>,
}

impl<E: Env> Replica<E> {
    pub(crate) fn new(env: E, views: Arc<Views>, counters: Arc<Counters>) -> Self {
        Self { env, views, counters }
    }

    /// Applies a write; durable when it ends well. Work whose deadline has passed is dropped.
    pub(crate) async fn write(
        &self,
        mutation: Mutation,
        deadline: Deadline,
        tracer: &Tracer,
    ) -> Result<(), Failure> {
        self.in_time(deadline)?;
        self.known(mutation.table)?;
        // A peer whose partitioner is another one would scatter data where nobody looks for it.
        if self.views.load().cluster.ring.token(&mutation.key.key) != mutation.key.token {
            return Err(Failure::Invalid("the token is not that of the key".to_owned()));
        }
        tracer.note(
            || self.env.wall(),
            || "Appending to the log and the memtable".to_owned(),
        );
        let applied = deadline
            .within(&self.env, self.env.store().apply(mutation))
            .await
            .ok_or(Failure::Late)?;
        applied.map_err(failure)?;
        tracer.note(|| self.env.wall(), || "The write is durable".to_owned());
        Ok(())
    }

    /// Reads one page. Work whose deadline has passed is dropped.
    pub(crate) async fn read(
        &self,
        mut command: ReadCommand,
        deadline: Deadline,
        tracer: &Tracer,
    ) -> Result<Page, Failure> {
        self.in_time(deadline)?;
        self.known(command.table)?;
        check_command(&command)?;
        command.limits.bytes = command.limits.bytes.min(MAX_PAGE_BYTES);
        tracer.note(
            || self.env.wall(),
            || match &command.keys {
                KeyRange::Partition(key) => format!("Reading the partition at token {}", key.token),
                KeyRange::Tokens(range) => format!("Reading the token range {range}"),
            },
        );
        let page = deadline
            .within(&self.env, self.env.store().read(command))
            .await
            .ok_or(Failure::Late)?
            .map_err(failure)?;
        tracer.note(
            || self.env.wall(),
            || {
                let rows: usize = page.partitions.iter().map(|part| part.partition.rows.len()).sum();
                format!(
                    "Read {rows} rows of {} partitions, live and dead",
                    page.partitions.len()
                )
            },
        );
        Ok(page)
    }

    /// Removes a table's data. The table need not be known any more.
    pub(crate) async fn truncate(&self, table: TableId, deadline: Deadline) -> Result<(), Failure> {
        deadline
            .within(&self.env, self.env.store().truncate(table))
            .await
            .ok_or(Failure::Late)?
            .map_err(failure)
    }

    fn in_time(&self, deadline: Deadline) -> Result<(), Failure> {
        if deadline.is_over(&self.env) {
            self.counters.late.one();
            return Err(Failure::Late);
        }
        Ok(())
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

fn failure(error: StoreError) -> Failure {
    match error {
        StoreError::Overloaded => Failure::Overloaded,
        StoreError::Stopping => Failure::NotServing,
        StoreError::Disk(_) | StoreError::Corrupt(_) => Failure::Storage(error.to_string()),
    }
}

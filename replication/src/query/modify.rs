//! INSERT, UPDATE, DELETE and batches of them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use starling_cql::{
    BatchKind, BatchRequest, Error, QueryParameters, QueryResult, Statement, WriteType,
    plan::{BatchPlan, Plan, Present, WritePlan, combine},
};
use starling_model::{Mutation, ReadCommand, Timestamp};

use super::{prepared::Prepared, to_the_end::ToTheEnd};
use crate::{
    batch::MAX_BATCH_BYTES,
    budget::Claim,
    clock::check_client_timestamp,
    env::Env,
    node::{Executed, Node},
    tracing::Tracer,
};

/// A batch that is longer than this, in bytes, is worth a warning.
const LARGE_BATCH_BYTES: usize = 64 << 10;

/// An unlogged batch over more partitions than this is worth a warning.
const SCATTERED_BATCH: usize = 10;

/// The most statements in a batch (the protocol counts them in 16 bits).
const MAX_BATCH_STATEMENTS: usize = 65_535;

impl<E: Env> Node<E> {
    pub(super) async fn modify(
        self: &Arc<Self>,
        plan: &WritePlan,
        parameters: &QueryParameters,
        mut arrived: Duration,
        tracer: &Tracer,
    ) -> Result<QueryResult, Error> {
        let mut present = Present::default();
        if plan.needs_reads() {
            let reads =
                self.with_write_context(parameters, |context| plan.reads(&parameters.values, context))?;
            let claim = self.coordinator.claim();
            present = self
                .present(reads, parameters, claim, &mut arrived, tracer)
                .await?;
        }
        let (mutations, stamp) = self.with_write_context(parameters, |context| {
            let stamp = context.timestamp;
            Ok((plan.mutations(&parameters.values, &present, context)?, stamp))
        })?;
        self.check_timestamps(&mutations)?;
        let stamp = own_stamp(&mutations, stamp, parameters);
        self.write(mutations, stamp, parameters, WriteType::Simple, arrived, tracer)
            .await
    }

    /// BEGIN BATCH ... APPLY BATCH.
    pub(super) async fn batch_statement(
        self: &Arc<Self>,
        plan: &BatchPlan,
        parameters: &QueryParameters,
        mut arrived: Duration,
        tracer: &Tracer,
        warnings: &mut Vec<String>,
    ) -> Result<QueryResult, Error> {
        let mut present = Present::default();
        if plan.needs_reads() {
            let reads =
                self.with_write_context(parameters, |context| plan.reads(&parameters.values, context))?;
            let claim = self.coordinator.claim();
            present = self
                .present(reads, parameters, claim, &mut arrived, tracer)
                .await?;
        }
        let stamped = self.with_write_context(parameters, |context| {
            let stamp = context.timestamp;
            Ok((plan.mutations(&parameters.values, &present, context)?, stamp))
        })?;
        self.write_batch(plan.kind(), stamped, parameters, arrived, tracer, warnings)
            .await
    }

    /// A BATCH message, whose time counts since it `arrived`, on the monotonic clock. Carried to its end also when the future
    /// is dropped.
    pub(crate) async fn execute_batch(
        self: &Arc<Self>,
        request: BatchRequest,
        tracing: bool,
        arrived: Duration,
    ) -> Result<Executed, Error> {
        let permit = self.admit()?;
        let node = Arc::clone(self);
        let work = async move {
            let executed = node.execute_admitted_batch(request, tracing, arrived).await;
            drop(permit);
            executed
        };
        ToTheEnd::new(&self.env, work).await
    }

    async fn execute_admitted_batch(
        self: &Arc<Self>,
        request: BatchRequest,
        tracing: bool,
        arrived: Duration,
    ) -> Result<Executed, Error> {
        let (begun, tracer) = self.begin_trace(tracing);
        let mut warnings = Vec::new();
        let result = self.run_batch(&request, arrived, &tracer, &mut warnings).await;
        let shown = || {
            let consistency = request.parameters.consistency.to_string();
            vec![
                ("consistency_level".to_owned(), consistency),
                ("statements".to_owned(), request.entries.len().to_string()),
            ]
        };
        let outcome = result.as_ref().map(drop);
        self.end_trace(begun, &tracer, "Execute batch of CQL3 queries", shown, outcome);
        Ok(Executed {
            result: result?,
            trace: begun.map(|(session, _)| session),
            warnings,
        })
    }

    async fn run_batch(
        self: &Arc<Self>,
        request: &BatchRequest,
        mut arrived: Duration,
        tracer: &Tracer,
        warnings: &mut Vec<String>,
    ) -> Result<QueryResult, Error> {
        if request.entries.len() > MAX_BATCH_STATEMENTS {
            return Err(Error::invalid(format!(
                "the batch has {} statements, and at most {MAX_BATCH_STATEMENTS} are accepted; nothing was changed",
                request.entries.len()
            )));
        }
        let parameters = &request.parameters;
        let mut statements = Vec::with_capacity(request.entries.len());
        for entry in &request.entries {
            let statement = match &entry.statement {
                Statement::Text(query) => self.text_statement(query, parameters.keyspace.as_deref())?,
                Statement::Prepared(id) => self.prepared_statement(id)?,
            };
            statements.push((statement, &entry.values));
        }
        let claim = self.coordinator.claim();
        let mut present = Present::default();
        for (statement, values) in &statements {
            let plan = entry_plan(statement)?;
            if plan.needs_reads() {
                let reads = self.with_write_context(parameters, |context| plan.reads(values, context))?;
                let found = self.present(reads, parameters, claim, &mut arrived, tracer);
                present.join(found.await?);
            }
        }
        let stamped = self.with_write_context(parameters, |context| {
            let mut all = Vec::new();
            for (statement, values) in &statements {
                all.extend(entry_plan(statement)?.mutations(values, &present, context)?);
            }
            Ok((combine(all), context.timestamp))
        })?;
        self.write_batch(request.kind, stamped, parameters, arrived, tracer, warnings)
            .await
    }

    /// Reads what a write needs to know, at its own level as Cassandra does. The time of each page, and of what comes after
    /// the last one, begins with it.
    async fn present(
        self: &Arc<Self>,
        reads: Vec<ReadCommand>,
        parameters: &QueryParameters,
        claim: Claim,
        arrived: &mut Duration,
        tracer: &Tracer,
    ) -> Result<Present, Error> {
        let mut present = Present::default();
        for mut read in reads {
            loop {
                let page = self
                    .coordinator
                    .read(read.clone(), parameters.consistency, claim, *arrived, tracer)
                    .await?;
                *arrived = self.env.monotonic();
                match present.take(read.table, page) {
                    Some(next) => read.after = Some(next),
                    None => break,
                }
            }
        }
        Ok(present)
    }

    async fn write_batch(
        self: &Arc<Self>,
        kind: BatchKind,
        (mutations, stamp): (Vec<Mutation>, Timestamp),
        parameters: &QueryParameters,
        arrived: Duration,
        tracer: &Tracer,
        warnings: &mut Vec<String>,
    ) -> Result<QueryResult, Error> {
        let consistency = parameters.consistency;
        if kind == BatchKind::Counter {
            return Err(Error::unsupported("a counter batch"));
        }
        self.check_timestamps(&mutations)?;
        let bytes: usize = mutations.iter().map(|mutation| mutation.partition.weight()).sum();
        if bytes > MAX_BATCH_BYTES {
            return Err(Error::invalid(format!(
                "Batch too large: {bytes} bytes, and at most {MAX_BATCH_BYTES} are accepted; nothing was changed"
            )));
        }
        if bytes > LARGE_BATCH_BYTES {
            warnings.push(format!(
                "The batch is {bytes} bytes long, more than {LARGE_BATCH_BYTES}: large batches load their coordinator"
            ));
        }
        let partitions: BTreeSet<_> = mutations.iter().map(|m| (m.table, &m.key)).collect();
        if kind == BatchKind::Unlogged && partitions.len() > SCATTERED_BATCH {
            warnings.push(format!(
                "The unlogged batch touches {} partitions: single statements would be faster",
                partitions.len()
            ));
        }
        let stamp = own_stamp(&mutations, stamp, parameters);
        // A single mutation is atomic by itself.
        if kind == BatchKind::Logged && mutations.len() > 1 {
            self.batch_log
                .write(mutations, stamp, consistency, arrived, tracer)
                .await?;
            return Ok(QueryResult::Void);
        }
        let write_type = match kind {
            // One mutation, which nobody keeps.
            BatchKind::Logged => WriteType::Simple,
            BatchKind::Unlogged | BatchKind::Counter => WriteType::UnloggedBatch,
        };
        self.write(mutations, stamp, parameters, write_type, arrived, tracer)
            .await
    }

    async fn write(
        self: &Arc<Self>,
        mutations: Vec<Mutation>,
        stamp: Option<Timestamp>,
        parameters: &QueryParameters,
        write_type: WriteType,
        arrived: Duration,
        tracer: &Tracer,
    ) -> Result<QueryResult, Error> {
        let (coordinator, consistency) = (&self.coordinator, parameters.consistency);
        match stamp {
            Some(stamp) => {
                coordinator
                    .write_stamped(mutations, stamp, consistency, write_type, arrived, tracer)
                    .await?;
            }
            None => {
                coordinator
                    .write(mutations, consistency, write_type, arrived, tracer)
                    .await?;
            }
        }
        Ok(QueryResult::Void)
    }

    /// Refuses timestamps that lie too far in the future, by this node's clock or by the others', wherever the statement had
    /// them.
    fn check_timestamps(&self, mutations: &[Mutation]) -> Result<(), Error> {
        let newest = mutations
            .iter()
            .filter_map(|mutation| mutation.partition.newest())
            .max();
        let Some(newest) = newest else { return Ok(()) };
        check_client_timestamp(newest, self.env.wall())?;
        self.peer_clocks.check(newest, self.env.monotonic())
    }
}

/// The timestamp that this node gave to the mutations; `None` if the client gave all of them.
fn own_stamp(mutations: &[Mutation], stamp: Timestamp, parameters: &QueryParameters) -> Option<Timestamp> {
    let is_own = parameters.timestamp.is_none() && mutations.iter().any(|mutation| mutation.carries(stamp));
    is_own.then_some(stamp)
}

fn entry_plan(statement: &Prepared) -> Result<&WritePlan, Error> {
    match &statement.plan {
        Plan::Write(plan) => Ok(plan),
        _ => Err(Error::invalid(
            "Invalid statement in batch: only UPDATE, INSERT and DELETE statements are allowed; nothing was changed",
        )),
    }
}

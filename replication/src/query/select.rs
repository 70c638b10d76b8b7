//! SELECT: the plan says what to read next, the coordinator (or a computed table) reads it.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesOrdered};
use starling_cql::{
    Error, QueryParameters, QueryResult,
    plan::{Read, SelectPlan},
};
use starling_model::{Page, ReadCommand, Seconds};

use crate::{budget::Claim, env::Env, node::Node, tracing::Tracer};

/// So many dead rows in one request are worth a warning, as in Cassandra.
const TOMBSTONE_WARNING: usize = 1000;

impl<E: Env> Node<E> {
    pub(super) async fn select(
        self: &Arc<Self>,
        plan: &SelectPlan,
        parameters: &QueryParameters,
        mut arrived: Duration,
        tracer: &Tracer,
        warnings: &mut Vec<String>,
    ) -> Result<QueryResult, Error> {
        let (mut run, now) = self.with_context(parameters, |context| {
            let run = plan.run(
                &parameters.values,
                parameters.page_size,
                parameters.paging_state.clone(),
                context,
            )?;
            Ok((run, context.now))
        })?;
        let claim = self.coordinator.claim();
        let mut dead = 0;
        let mut live = 0;
        // Pages come out in the order of the statement, whichever is here first.
        let mut flights: Option<FuturesOrdered<_>> = None;
        while !run.is_over() {
            let mut reads: Vec<Read> = std::iter::from_fn(|| run.next_read()).collect();
            let none_under_way = flights.as_ref().is_none_or(FuturesOrdered::is_empty);
            if reads.is_empty() && none_under_way {
                break;
            }
            let is_alone = reads.len() == 1 && none_under_way;
            // Most statements read once, and a queue for that costs as much as the read.
            let page = if is_alone && let Some(Read { command, .. }) = reads.pop() {
                let read = self.read_command(command, parameters, claim, arrived, tracer);
                Some(read.await?)
            } else {
                let flights = flights.get_or_insert_default();
                for Read { command, first } in reads {
                    let flight = self.read_command(command, parameters, claim, arrived, tracer);
                    if first {
                        flights.push_front(flight);
                    } else {
                        flights.push_back(flight);
                    }
                }
                flights.next().await.transpose()?
            };
            let Some(page) = page else {
                break;
            };
            let (alive, gone) = count(&page, now);
            live += alive;
            dead += gone;
            run.accept(page)?;
            if !run.is_over() {
                // Each page has its own time.
                arrived = self.env.monotonic();
            }
        }
        if dead > TOMBSTONE_WARNING {
            warnings.push(format!(
                "Read {live} live rows and {dead} deleted or expired ones (tombstones); a table from which much is deleted reads slower"
            ));
        }
        Ok(QueryResult::Rows(run.finish()?))
    }

    async fn read_command(
        self: &Arc<Self>,
        command: ReadCommand,
        parameters: &QueryParameters,
        claim: Claim,
        arrived: Duration,
        tracer: &Tracer,
    ) -> Result<Page, Error> {
        let snapshot = self.views.load();
        if let Some(table) = snapshot.schema.table_by_id(command.table)
            && table.is_system()
        {
            return Box::pin(self.system_page(table, &command)).await;
        }
        self.coordinator
            .read(command, parameters.consistency, claim, arrived, tracer)
            .await
    }
}

/// Live rows of a page, and dead ones.
fn count(page: &Page, now: Seconds) -> (usize, usize) {
    page.partitions
        .iter()
        .map(|part| {
            let live = part.partition.live_rows(now);
            let dead = part.partition.rows.len() - live + part.partition.ranges.len();
            (live, dead)
        })
        .fold((0, 0), |(live, dead), (l, d)| (live + l, dead + d))
}

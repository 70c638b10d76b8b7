//! Carrying out a statement, by its kind.

use std::{sync::Arc, time::Duration};

use starling_cql::{
    Error, ErrorKind, QueryParameters, QueryResult, Statement,
    plan::{Context, Plan},
};
use starling_model::{Seconds, Timestamp, Token};

use super::{prepared::Prepared, to_the_end::ToTheEnd};
use crate::{
    clock::check_client_timestamp,
    env::Env,
    gate::Permit,
    node::{Executed, Node},
    tracing::Tracer,
};

/// How much of a query's text a trace shows.
const SHOWN_BYTES: usize = 1000;

/// The most warnings that come with a result.
const MAX_WARNINGS: usize = 20;

impl<E: Env> Node<E> {
    /// Carries out a statement, whose time counts since it `arrived`, on the monotonic clock. Dropping the future ends a read;
    /// a write [goes on](ToTheEnd).
    pub(crate) async fn execute_statement(
        self: &Arc<Self>,
        statement: Statement,
        parameters: QueryParameters,
        tracing: bool,
        arrived: Duration,
    ) -> Result<Executed, Error> {
        let permit = self.admit()?;
        let traced = self.begin_trace(tracing);
        let (request, found) = match &statement {
            Statement::Text(query) => (
                "Execute CQL3 query",
                self.text_statement(query, parameters.keyspace.as_deref()),
            ),
            Statement::Prepared(id) => ("Execute CQL3 prepared query", self.prepared_statement(id)),
        };
        let only_reads = matches!(
            found.as_ref().map(|prepared| &prepared.plan),
            Ok(Plan::Select(_) | Plan::Describe(_) | Plan::Use(_)) | Err(_)
        );
        let node = Arc::clone(self);
        let work = node.execute_found(found, (parameters, arrived), request, traced, permit);
        // Boxed: it is large, and each of the futures that this one is part of would be copied with it on its way.
        if only_reads {
            Box::pin(work).await
        } else {
            ToTheEnd::new(&self.env, work).await
        }
    }

    async fn execute_found(
        self: Arc<Self>,
        found: Result<Arc<Prepared>, Error>,
        (parameters, arrived): (QueryParameters, Duration),
        request: &'static str,
        (begun, tracer): (Option<(u128, Timestamp)>, Tracer),
        _permit: Permit,
    ) -> Result<Executed, Error> {
        let mut warnings = Vec::new();
        let result = match &found {
            Ok(prepared) => {
                self.run(prepared, &parameters, arrived, &tracer, &mut warnings)
                    .await
            }
            Err(error) => Err(error.clone()),
        };
        let shown_parameters = || {
            let query = found.as_ref().map_or("", |prepared| &prepared.query);
            vec![
                ("consistency_level".to_owned(), parameters.consistency.to_string()),
                ("query".to_owned(), shown(query)),
            ]
        };
        let outcome = result.as_ref().map(drop);
        self.end_trace(begun, &tracer, request, shown_parameters, outcome);
        warnings.truncate(MAX_WARNINGS);
        Ok(Executed {
            result: result?,
            trace: begun.map(|(session, _)| session),
            warnings,
        })
    }

    /// A place among the requests that are coordinated; refused when there are too many, or when this node
    /// is not part of the ring.
    pub(super) fn admit(&self) -> Result<Permit, Error> {
        self.check_serving()?;
        self.coordinated.enter().ok_or_else(|| {
            self.counters.overloaded.one();
            Error::new(
                ErrorKind::Overloaded,
                format!(
                    "{} requests are under way on this node already; nothing was changed; try again later or on another node",
                    self.config.bounds.coordinated
                ),
            )
        })
    }

    /// Whether clients are served: not before this node has come into the ring, because what it knows of schema and
    /// data may be nothing.
    pub(crate) fn check_serving(&self) -> Result<(), Error> {
        if self.is_stopping() {
            return Err(Error::new(
                ErrorKind::Bootstrapping,
                "the node is stopping; nothing was changed; use another node",
            ));
        }
        if let Some(failure) = self.failure() {
            return Err(Error::new(ErrorKind::Bootstrapping, failure.to_string()));
        }
        if !self.views.load().cluster.has_place {
            return Err(Error::new(
                ErrorKind::Bootstrapping,
                "the node is joining the cluster; nothing was changed; use another node",
            ));
        }
        Ok(())
    }

    /// What is rare is boxed: all that a statement may do would make each of them larger.
    async fn run(
        self: &Arc<Self>,
        prepared: &Prepared,
        parameters: &QueryParameters,
        arrived: Duration,
        tracer: &Tracer,
        warnings: &mut Vec<String>,
    ) -> Result<QueryResult, Error> {
        match &prepared.plan {
            Plan::Select(plan) => self.select(plan, parameters, arrived, tracer, warnings).await,
            Plan::Write(plan) => self.modify(plan, parameters, arrived, tracer).await,
            Plan::Batch(plan) => {
                Box::pin(self.batch_statement(plan, parameters, arrived, tracer, warnings)).await
            }
            Plan::Schema(plan) => Box::pin(self.change_schema(plan, tracer, warnings)).await,
            Plan::Use(keyspace) => Ok(QueryResult::SetKeyspace(keyspace.clone())),
            Plan::Truncate(table) => {
                // This node's own part in it asks for no message: what was copied before or meanwhile is not taken in.
                self.streaming.forget_table(table.id);
                let truncated = Box::pin(self.coordinator.truncate(table.id, arrived, tracer)).await;
                self.streaming.forget_table(table.id);
                truncated.map(|()| QueryResult::Void)
            }
            Plan::Describe(plan) => {
                let snapshot = self.views.load();
                let info = self.cluster_info(prepared.keyspace.as_deref());
                plan.rows(&snapshot.schema, info).map(QueryResult::Rows)
            }
        }
    }

    /// [`with_context`](Self::with_context) for a write, whose second is at most `clock_skew` behind the newest time that this node has
    /// heard of. Deletions and ends of life are purged by their seconds, once replicas were made equal later than that: one that is
    /// said to be old, by a client's `now_in_seconds` or by a clock that is days behind, would be purged at one replica before
    /// others have heard of it.
    pub(super) fn with_write_context<T>(
        &self,
        parameters: &QueryParameters,
        work: impl FnOnce(&mut Context<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.with_context(parameters, |context| {
            let newest = Timestamp(context.now_micros).seconds();
            let skew = u32::try_from(self.config.repair.clock_skew.as_secs()).unwrap_or(u32::MAX);
            context.now = context.now.max(Seconds(newest.0.saturating_sub(skew)));
            work(context)
        })
    }

    /// Gives `work` what a plan needs from outside: time, randomness, the partitioner.
    pub(super) fn with_context<T>(
        &self,
        parameters: &QueryParameters,
        work: impl FnOnce(&mut Context<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let wall = self.env.wall();
        let own = self.clock.tick(wall);
        let timestamp = parameters.timestamp.unwrap_or(own);
        check_client_timestamp(timestamp, wall)?;
        let now = match parameters.now_in_seconds {
            None => wall.seconds(),
            Some(seconds) => Seconds(
                u32::try_from(seconds).map_err(|_| Error::invalid("now_in_seconds must not be negative"))?,
            ),
        };
        let ring = Arc::clone(&self.views.load().cluster.ring);
        let token = |key: &[u8]| -> Token { ring.token(key) };
        let mut random = || self.env.random();
        let mut context = Context {
            timestamp,
            now,
            now_micros: own.0,
            random: &mut random,
            token: &token,
            node: self.id.0 as u64,
        };
        work(&mut context)
    }
}

fn shown(query: &str) -> String {
    let mut end = query.len().min(SHOWN_BYTES);
    while !query.is_char_boundary(end) {
        end -= 1;
    }
    query[..end].to_owned()
}

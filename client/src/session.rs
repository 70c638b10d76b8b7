//! The session: what a program holds to speak to a cluster.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde::Serialize;
use starling_cql::{
    BatchRequest, PreparedMetadata, QueryParameters, QueryResult, Values,
    native::{Event, Request, Topology},
    request,
};
use tokio::{sync::broadcast, task::AbortHandle};

use crate::{
    Batch, ExecutionOptions, Prepared, Response, RowStream, SessionBuilder, Statement,
    batch::Part,
    binding,
    clock::Clock,
    cluster::{Cluster, Target},
    error::Error,
    execution::{self, Attempt},
    prepared::Shared,
    repetition::Repetition,
    statement::is_read,
};

/// A connection to a cluster. Cheap to clone; the connections close with the last copy.
#[derive(Debug, Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cluster: Arc<Cluster>,
    options: ExecutionOptions,
    keyspace: ArcSwap<Option<String>>,
    events: broadcast::Sender<Event>,
    refresher: AbortHandle,
    /// Stamps writes, if the session is to.
    clock: Option<Clock>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.refresher.abort();
    }
}

impl Session {
    /// Settings of a session to be.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), starling_client::Error> {
    /// use starling_client::{Consistency, Session};
    ///
    /// let session = Session::builder()
    ///     .contact("db1.example:7000")
    ///     .contact("db2.example:7000")
    ///     .ca("/etc/starling/ca.pem")
    ///     .consistency(Consistency::Quorum)
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> SessionBuilder {
        SessionBuilder::default()
    }

    pub(crate) fn assemble(
        cluster: Arc<Cluster>,
        options: ExecutionOptions,
        keyspace: Option<String>,
        events: broadcast::Sender<Event>,
        refresher: AbortHandle,
        clock: Option<Clock>,
    ) -> Self {
        let keyspace = ArcSwap::from_pointee(keyspace);
        Self {
            inner: Arc::new(Inner {
                cluster,
                options,
                keyspace,
                events,
                refresher,
                clock,
            }),
        }
    }

    /// The defaults of statements.
    pub fn options(&self) -> &ExecutionOptions {
        &self.inner.options
    }

    /// A statement with the session's options, to change from.
    pub fn statement(&self, text: impl Into<String>) -> Statement {
        Statement::new(text, self.inner.options.clone())
    }

    /// A batch with the session's options, to change from.
    pub fn batch_of(&self, kind: starling_cql::BatchKind) -> Batch {
        Batch {
            options: Some(self.inner.options.clone()),
            ..Batch::new(kind)
        }
    }

    /// The keyspace of unqualified table names.
    pub fn keyspace(&self) -> Option<String> {
        (**self.inner.keyspace.load()).clone()
    }

    /// Sets the keyspace of unqualified table names, for this session and its copies; does not check that it
    /// exists. The statement `USE` does the same and checks.
    pub fn set_keyspace(&self, keyspace: Option<String>) {
        self.inner.keyspace.store(Arc::new(keyspace));
    }

    /// Carries out a statement that has no bind markers. For SELECT: the first page.
    pub async fn query(&self, statement: impl Into<Statement>) -> Result<Response, Error> {
        self.query_page(&statement.into(), None).await
    }

    /// Carries out a statement from a page on.
    pub async fn query_page(&self, statement: &Statement, page: Option<Bytes>) -> Result<Response, Error> {
        let options = statement.options.as_ref().unwrap_or(&self.inner.options);
        let is_read = is_read(&statement.text);
        let parameters = self.parameters(options, is_read, Values::default(), page);
        let stamped = parameters.timestamp.is_some();
        let repeatable = options
            .idempotent
            .unwrap_or_else(|| Repetition::of(&statement.text, &[]).is_harmless(stamped));
        let request = Request::Execute {
            statement: request::Statement::Text(statement.text.clone()),
            parameters,
            tracing: options.tracing,
        };
        let attempt = Attempt {
            options,
            is_read,
            repeatable,
            target: Target::default(),
        };
        let response = execution::run(&self.inner.cluster, &attempt, || request.clone(), None).await?;
        if let QueryResult::SetKeyspace(keyspace) = response.result() {
            self.set_keyspace(Some(keyspace.clone()));
        }
        if response.schema_change().is_some() {
            self.inner.cluster.mark_stale();
        }
        Ok(response)
    }

    /// Prepares a statement: its markers and columns get their types, and executing it costs no parsing.
    ///
    /// Nodes that haven't seen the statement prepare it when it is first executed there.
    pub async fn prepare(&self, text: impl Into<String>) -> Result<Prepared, Error> {
        let text = text.into();
        let keyspace = self.keyspace();
        let metadata: PreparedMetadata = execution::prepare_anywhere(
            &self.inner.cluster,
            &text,
            keyspace.as_deref(),
            &self.inner.options,
        )
        .await?;
        Ok(Prepared::new(
            text,
            keyspace,
            metadata,
            self.inner.options.clone(),
        ))
    }

    /// Carries out a prepared statement. For SELECT: the first page.
    ///
    /// `values` are bound through serde: a tuple or slice by position, a struct or map by marker name, `()`
    /// for none. A value of the wrong type is an error that names the column; nothing is sent.
    pub async fn execute(&self, prepared: &Prepared, values: impl Serialize) -> Result<Response, Error> {
        let values = binding::bind(prepared.markers(), &values)?;
        self.execute_bound(prepared, values, None).await
    }

    /// Carries out a prepared statement from a page on, as [`Rows::paging_state`](crate::Rows::paging_state)
    /// gave it.
    pub async fn execute_page(
        &self,
        prepared: &Prepared,
        values: impl Serialize,
        page: Option<Bytes>,
    ) -> Result<Response, Error> {
        let values = binding::bind(prepared.markers(), &values)?;
        self.execute_bound(prepared, values, page).await
    }

    /// Carries out a prepared statement with values that are serialized already.
    pub(crate) async fn execute_bound(
        &self,
        prepared: &Prepared,
        values: Values,
        page: Option<Bytes>,
    ) -> Result<Response, Error> {
        let snapshot = self.inner.cluster.snapshot();
        let key = prepared.shared.partition_key(&values);
        let partition = key.and_then(|(keyspace, key)| Some((keyspace, snapshot.token(&key)?)));
        let options = &prepared.options;
        let is_read = prepared.shared.is_read;
        let parameters = self.parameters(options, is_read, values, page);
        let stamped = parameters.timestamp.is_some();
        let attempt = Attempt {
            options,
            is_read,
            repeatable: options
                .idempotent
                .unwrap_or_else(|| prepared.shared.repetition.is_harmless(stamped)),
            target: Target { partition },
        };
        let make = || Request::Execute {
            statement: request::Statement::Prepared(prepared.shared.id()),
            parameters: parameters.clone(),
            tracing: options.tracing,
        };
        let known = [&prepared.shared];
        execution::run(&self.inner.cluster, &attempt, make, Some(&known)).await
    }

    /// All rows of a prepared SELECT, page by page.
    ///
    /// ```no_run
    /// # async fn example(session: starling_client::Session) -> Result<(), starling_client::Error> {
    /// use futures::TryStreamExt;
    ///
    /// let all = session.prepare("SELECT tail, departure_delay FROM flights.by_tail").await?;
    /// let mut rows = session.stream(&all, ())?.typed::<(String, Option<i32>)>();
    /// while let Some((tail, delay)) = rows.try_next().await? {
    ///     println!("{tail} {delay:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(&self, prepared: &Prepared, values: impl Serialize) -> Result<RowStream, Error> {
        let values = binding::bind(prepared.markers(), &values)?;
        let (session, prepared) = (self.clone(), prepared.clone());
        Ok(RowStream::new(Box::new(move |page| {
            let (session, prepared, values) = (session.clone(), prepared.clone(), values.clone());
            Box::pin(async move { session.execute_bound(&prepared, values, page).await?.rows() })
        })))
    }

    /// All rows of a SELECT that has no bind markers, page by page.
    pub fn stream_query(&self, statement: impl Into<Statement>) -> RowStream {
        let (session, statement) = (self.clone(), Arc::new(statement.into()));
        RowStream::new(Box::new(move |page| {
            let (session, statement) = (session.clone(), Arc::clone(&statement));
            Box::pin(async move { session.query_page(&statement, page).await?.rows() })
        }))
    }

    /// Carries out a batch.
    pub async fn batch(&self, batch: &Batch) -> Result<Response, Error> {
        let options = batch.options.as_ref().unwrap_or(&self.inner.options);
        let known: Vec<&Arc<Shared>> = batch
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Prepared(shared, _) => Some(shared),
                Part::Text(_) => None,
            })
            .collect();
        // The first part that says where it goes decides for all.
        let snapshot = self.inner.cluster.snapshot();
        let partition = batch.parts.iter().find_map(|part| match part {
            Part::Prepared(shared, values) => {
                let (keyspace, key) = shared.partition_key(values)?;
                Some((keyspace, snapshot.token(&key)?))
            }
            Part::Text(_) => None,
        });
        let parameters = self.parameters(options, false, Values::default(), None);
        let stamped = parameters.timestamp.is_some();
        let attempt = Attempt {
            options,
            is_read: false,
            repeatable: options
                .idempotent
                .unwrap_or_else(|| batch.repetition().is_harmless(stamped)),
            target: Target { partition },
        };
        let make = || {
            Request::Batch(BatchRequest {
                kind: batch.kind,
                entries: batch.entries(),
                parameters: parameters.clone(),
            })
        };
        execution::run(&self.inner.cluster, &attempt, make, Some(&known)).await
    }

    /// The ring as last learnt.
    pub fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.inner.cluster.snapshot().topology)
    }

    /// Learns the ring anew, now.
    pub async fn refresh(&self) -> Result<(), Error> {
        self.inner.cluster.refresh().await
    }

    /// Changes of the schema and the ring from now on. Each node tells of them, so that one change comes
    /// several times; a listener that is too slow misses some and is told so.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    fn parameters(
        &self,
        options: &ExecutionOptions,
        is_read: bool,
        values: Values,
        page: Option<Bytes>,
    ) -> QueryParameters {
        let clock = self.inner.clock.as_ref().filter(|_| !is_read);
        QueryParameters {
            consistency: options.consistency,
            serial_consistency: options.serial_consistency,
            values,
            page_size: options.page_size,
            paging_state: page,
            timestamp: options.timestamp.or_else(|| clock.map(Clock::stamp)),
            keyspace: self.keyspace(),
            now_in_seconds: None,
            skip_metadata: false,
        }
    }
}

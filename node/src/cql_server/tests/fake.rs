//! A backend that does what the statement's text says.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use starling_cql::{
    BatchRequest, ColumnSpec, CqlType, Error, ErrorKind, PreparedMetadata, QueryParameters, QueryResult,
    Rows, SchemaChange, SchemaTarget, Statement, result::ChangeKind,
};
use starling_replication::{ClusterEvent, Executed, Listener};
use tokio::sync::Semaphore;

use crate::cql_server::Backend;

/// Statements it knows:
///
/// - `void`, `keyspace` (the one that arrived), `rows N BYTES`, `USE name`, `CREATE name`;
/// - `warn`, `columns` (whose columns [`Fake::alter`] changes), `unprepared`, `panic`;
/// - `gate`: waits for [`Fake::open_gate`].
#[derive(Clone)]
pub(super) struct Fake(Arc<Inner>);

struct Inner {
    gate: Semaphore,
    /// Statements behind the gate, begun or done.
    begun: AtomicUsize,
    finished: AtomicUsize,
    altered: AtomicUsize,
    prepared: Mutex<BTreeMap<String, Option<String>>>,
    listeners: Mutex<Vec<Listener>>,
    waited: Mutex<Duration>,
}

impl Default for Fake {
    fn default() -> Self {
        Self(Arc::new(Inner {
            gate: Semaphore::new(0),
            begun: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            altered: AtomicUsize::new(0),
            prepared: Mutex::default(),
            listeners: Mutex::default(),
            waited: Mutex::default(),
        }))
    }
}

impl Fake {
    /// Lets so many `gate` statements through.
    pub(super) fn open_gate(&self, statements: usize) {
        self.0.gate.add_permits(statements);
    }

    /// How many `gate` statements were begun, and how many are done.
    pub(super) fn gated(&self) -> (usize, usize) {
        (
            self.0.begun.load(Ordering::SeqCst),
            self.0.finished.load(Ordering::SeqCst),
        )
    }

    /// For how long the newest statement had waited for its turn.
    pub(super) fn waited(&self) -> Duration {
        *self.0.waited.lock()
    }

    /// Changes the columns of `columns`.
    pub(super) fn alter(&self) {
        self.0.altered.fetch_add(1, Ordering::SeqCst);
    }

    /// Something happens in the cluster.
    pub(super) fn tell(&self, event: &ClusterEvent) {
        for listener in self.0.listeners.lock().iter() {
            listener(event);
        }
    }

    fn columns(&self, query: &str) -> Vec<ColumnSpec> {
        let name = |at: usize| ColumnSpec {
            keyspace: "ks".to_owned(),
            table: "t".to_owned(),
            name: format!("c{at}"),
            cql_type: CqlType::Text,
        };
        match query {
            "columns" => (0..=self.0.altered.load(Ordering::SeqCst)).map(name).collect(),
            "void" | "gate" => Vec::new(),
            _ => vec![name(0)],
        }
    }

    async fn run(self, query: String, parameters: QueryParameters) -> Result<QueryResult, Error> {
        let mut words = query.split(' ');
        match (words.next().unwrap_or(""), words.next(), words.next()) {
            ("void" | "warn", ..) => Ok(QueryResult::Void),
            ("keyspace", ..) => Ok(self.row(&query, parameters.keyspace.unwrap_or_default())),
            ("columns", ..) => {
                let columns = self.columns(&query);
                let rows = vec![columns.iter().map(|_| None).collect()];
                Ok(rows_of(columns, rows))
            }
            ("rows", Some(rows), Some(bytes)) => {
                let value = vec![b'x'; bytes.parse().unwrap()];
                let rows = vec![vec![Some(value.into())]; rows.parse().unwrap()];
                Ok(rows_of(self.columns(&query), rows))
            }
            ("USE", Some(keyspace), _) => Ok(QueryResult::SetKeyspace(keyspace.to_owned())),
            ("CREATE", Some(table), _) => Ok(QueryResult::SchemaChange(created(table))),
            ("unprepared", ..) => Err(Error::new(
                ErrorKind::Unprepared { id: "gone".into() },
                "prepare it again",
            )),
            ("panic", ..) => panic!("as the test asked"),
            ("gate", ..) => {
                self.0.begun.fetch_add(1, Ordering::SeqCst);
                self.0.gate.acquire().await.unwrap().forget();
                self.0.finished.fetch_add(1, Ordering::SeqCst);
                Ok(QueryResult::Void)
            }
            _ => Err(Error::syntax(format!("no statement: {query}"))),
        }
    }

    fn row(&self, query: &str, text: String) -> QueryResult {
        rows_of(self.columns(query), vec![vec![Some(text.into())]])
    }
}

pub(super) fn created(table: &str) -> SchemaChange {
    SchemaChange {
        change: ChangeKind::Created,
        keyspace: "ks".to_owned(),
        target: SchemaTarget::Table(table.to_owned()),
    }
}

fn rows_of(columns: Vec<ColumnSpec>, rows: Vec<Vec<starling_cql::request::Value>>) -> QueryResult {
    QueryResult::Rows(Rows {
        columns: columns.into(),
        rows,
        paging_state: None,
    })
}

impl Backend for Fake {
    fn prepare(&self, query: &str, keyspace: Option<&str>) -> Result<PreparedMetadata, Error> {
        self.0
            .prepared
            .lock()
            .insert(query.to_owned(), keyspace.map(str::to_owned));
        Ok(PreparedMetadata {
            id: query.to_owned().into(),
            result_id: "of the node's own making".into(),
            markers: Vec::new(),
            partition_key: Vec::new(),
            columns: self.columns(query),
        })
    }

    fn execute(
        &self,
        statement: Statement,
        mut parameters: QueryParameters,
        tracing: bool,
        waited: Duration,
    ) -> impl Future<Output = Result<Executed, Error>> + Send + 'static {
        let fake = self.clone();
        *fake.0.waited.lock() = waited;
        async move {
            let query = match statement {
                Statement::Text(query) => query,
                Statement::Prepared(id) => {
                    let query = String::from_utf8(id.to_vec()).unwrap();
                    parameters.keyspace = fake.0.prepared.lock().get(&query).cloned().flatten();
                    query
                }
            };
            let warnings = if query == "warn" {
                vec!["careful".to_owned()]
            } else {
                Vec::new()
            };
            let result = fake.run(query, parameters).await?;
            Ok(Executed {
                result,
                trace: tracing.then_some(77),
                warnings,
            })
        }
    }

    fn batch(
        &self,
        request: BatchRequest,
        tracing: bool,
        waited: Duration,
    ) -> impl Future<Output = Result<Executed, Error>> + Send + 'static {
        let fake = self.clone();
        *fake.0.waited.lock() = waited;
        async move {
            let keyspace = request.parameters.keyspace.unwrap_or_default();
            let result = fake.row("batch", format!("{} in {keyspace}", request.entries.len()));
            Ok(Executed {
                result,
                trace: tracing.then_some(78),
                warnings: Vec::new(),
            })
        }
    }

    fn subscribe(&self, listener: Listener) {
        self.0.listeners.lock().push(listener);
    }
}

//! One request, carried out.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use bytes::Bytes;
use starling_cql::{
    BatchRequest, Error, QueryParameters, QueryResult, Statement,
    protocol::{Response, ResponseFrame, ResultBody, RowsBody, metadata_id},
};
use starling_replication::Executed;
use tokio::time::Instant;

use super::{admission::Permit, backend::Backend};

/// What is to be done.
#[derive(Debug)]
pub(super) enum Work {
    Prepare {
        query: String,
        keyspace: Option<String>,
    },
    Execute {
        statement: Statement,
        parameters: QueryParameters,
        /// The result metadata that the client knows (v5).
        known_metadata: Option<Bytes>,
    },
    Batch(BatchRequest),
}

/// A request that was accepted.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) stream: i16,
    pub(super) tracing: bool,
    pub(super) work: Work,
    /// When the last of it came in: its time counts from then.
    pub(super) arrived: Instant,
    /// Its place among the requests in flight, until it is answered.
    pub(super) permit: Permit,
}

/// A request that is done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) stream: i16,
    pub(super) reply: ResponseFrame,
    /// Given back when the reply is encoded.
    pub(super) _permit: Permit,
}

/// Carries a job out. Never fails: an error is a reply, and so is a panic, so that one bug does not cost
/// the client its connection.
pub(super) async fn run<B: Backend>(backend: B, job: Job) -> Done {
    let Job {
        stream,
        tracing,
        work,
        arrived,
        permit,
    } = job;
    // Pinned where it is made: it is large, and a wrapper would copy it.
    let mut work = pin!(carry_out(backend, work, tracing, arrived));
    let outcome = poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        },
    )
    .await;
    let reply = outcome.unwrap_or_else(|_| {
        tracing::error!(stream, "a CQL request panicked");
        let message = "A bug in the server ended this request; whether it changed anything is unknown.";
        Err(Error::server(message))
    });
    Done {
        stream,
        reply: reply.unwrap_or_else(Into::into),
        _permit: permit,
    }
}

async fn carry_out<B: Backend>(
    backend: B,
    work: Work,
    tracing: bool,
    arrived: Instant,
) -> Result<ResponseFrame, Error> {
    match work {
        Work::Prepare { query, keyspace } => prepare(&backend, &query, keyspace.as_deref()),
        Work::Execute {
            statement,
            parameters,
            known_metadata,
        } => {
            let skip = parameters.skip_metadata;
            let waited = arrived.elapsed();
            let executed = backend.execute(statement, parameters, tracing, waited).await?;
            Ok(executed_reply(executed, skip, known_metadata.as_ref()))
        }
        Work::Batch(request) => {
            let executed = backend.batch(request, tracing, arrived.elapsed()).await?;
            Ok(executed_reply(executed, false, None))
        }
    }
}

fn prepare(backend: &impl Backend, query: &str, keyspace: Option<&str>) -> Result<ResponseFrame, Error> {
    let mut prepared = backend.prepare(query, keyspace)?;
    // The id that EXECUTE is compared with later, whatever the node calls these columns.
    prepared.result_id = metadata_id(&prepared.columns);
    Ok(Response::Result(ResultBody::Prepared(prepared)).into())
}

fn executed_reply(executed: Executed, skip_metadata: bool, known_metadata: Option<&Bytes>) -> ResponseFrame {
    let result = match executed.result {
        QueryResult::Rows(rows) => {
            let new_metadata_id = known_metadata.and_then(|known| {
                let id = metadata_id(&rows.columns);
                (id != known).then_some(id)
            });
            ResultBody::Rows(RowsBody {
                rows,
                skip_metadata,
                new_metadata_id,
            })
        }
        other => other.into(),
    };
    ResponseFrame {
        trace: executed.trace,
        warnings: executed.warnings,
        custom_payload: Vec::new(),
        response: Response::Result(result),
    }
}

//! Carries one request out: chooses nodes, prepares again where a node forgot, retries what is safe.

use std::sync::Arc;

use starling_cql::{
    PreparedMetadata,
    native::{Request, Response as Wire},
};

use crate::{
    ExecutionOptions, Outcome, Response,
    cluster::{Cluster, Target},
    connection::{self, Connection},
    error::{Error, ErrorKind},
    prepared::Shared,
    retry::{Decision, Failure, MAX_ATTEMPTS},
};

/// A request to be carried out, but for the request itself.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) options: &'a ExecutionOptions,
    pub(crate) is_read: bool,
    pub(crate) target: Target<'a>,
}

/// Sends what `make` makes until it succeeds or the policy gives up. `known` are the prepared statements in
/// it; after one was prepared anew, `make` is called again.
pub(crate) async fn run(
    cluster: &Cluster,
    attempt: &Attempt<'_>,
    make: impl Fn() -> Request,
    known: Option<&[&Arc<Shared>]>,
) -> Result<Response, Error> {
    let idempotent = attempt.options.idempotent.unwrap_or(attempt.is_read);
    let connections = cluster.connections(attempt.target).await?;
    let mut next = 0;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let failed = match once(&connections[next], attempt, &make, known).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        if failed.kind() == ErrorKind::Connection {
            cluster.mark_stale();
        }
        // A read changes nothing, whatever became of it.
        let error = if attempt.is_read {
            failed.with_outcome(Outcome::NotApplied)
        } else {
            failed
        };
        let failure = Failure {
            error: &error,
            idempotent,
            attempts,
        };
        let decision = if failure.is_safe() && attempts < MAX_ATTEMPTS {
            attempt.options.retry.decide(&failure)
        } else {
            Decision::Fail
        };
        match decision {
            Decision::SameNode => {}
            Decision::NextNode if next + 1 < connections.len() => next += 1,
            Decision::NextNode | Decision::Fail => return Err(error),
        }
    }
}

/// One try at one node. If it does not know a prepared statement, that is prepared there and tried again.
async fn once(
    connection: &Connection,
    attempt: &Attempt<'_>,
    make: &impl Fn() -> Request,
    known: Option<&[&Arc<Shared>]>,
) -> Result<Response, Error> {
    let known = known.unwrap_or_default();
    let first = send(connection, attempt, &make()).await;
    match first {
        Err(error) if error.is_unprepared() && !known.is_empty() => {
            for shared in known {
                let metadata = prepare_at(
                    connection,
                    &shared.text,
                    shared.keyspace.as_deref(),
                    attempt.options,
                )
                .await?;
                shared.renew(metadata)?;
            }
            send(connection, attempt, &make()).await
        }
        other => other,
    }
}

async fn send(connection: &Connection, attempt: &Attempt<'_>, request: &Request) -> Result<Response, Error> {
    match connection.request(request, attempt.options.timeout).await? {
        Wire::Result {
            result,
            trace,
            warnings,
        } => Ok(Response::new(result, trace, warnings)),
        Wire::Error(error) => Err(error.into()),
        _ => Err(connection::unexpected(connection.address(), "a result")),
    }
}

/// Prepares a statement at the first node that can.
pub(crate) async fn prepare_anywhere(
    cluster: &Cluster,
    text: &str,
    keyspace: Option<&str>,
    options: &ExecutionOptions,
) -> Result<PreparedMetadata, Error> {
    let mut last = None;
    for connection in cluster.connections(Target::default()).await? {
        match prepare_at(&connection, text, keyspace, options).await {
            Ok(metadata) => return Ok(metadata),
            // Another node would say the same.
            Err(error) if error.kind() == ErrorKind::Invalid => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(Error::closed))
}

/// Preparing changes nothing, whatever becomes of it.
async fn prepare_at(
    connection: &Connection,
    text: &str,
    keyspace: Option<&str>,
    options: &ExecutionOptions,
) -> Result<PreparedMetadata, Error> {
    let request = Request::Prepare {
        query: text.to_owned(),
        keyspace: keyspace.map(str::to_owned),
    };
    let answer = connection.request(&request, options.timeout).await;
    match answer.map_err(|error| error.with_outcome(Outcome::NotApplied))? {
        Wire::Prepared(metadata) => Ok(metadata),
        Wire::Error(error) => Err(Error::from(error).with_outcome(Outcome::NotApplied)),
        _ => Err(
            connection::unexpected(connection.address(), "a prepared statement")
                .with_outcome(Outcome::NotApplied),
        ),
    }
}

//! Carries one request out: chooses nodes, prepares again where a node forgot, retries what is safe, and does not wait for silent nodes.

use std::sync::Arc;

use futures::{StreamExt, stream::FuturesUnordered};
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
    /// Whether carrying it out twice is the same as once.
    pub(crate) repeatable: bool,
    pub(crate) target: Target<'a>,
}

/// Sends what `make` makes until it succeeds or the policy gives up. `known` are the prepared statements in
/// it; after one was prepared anew, `make` is called again, and must make the same request.
///
/// While a node is silent, a repeatable request goes to the next one beside; the first answer counts.
pub(crate) async fn run(
    cluster: &Cluster,
    attempt: &Attempt<'_>,
    make: impl Fn() -> Request,
    known: Option<&[&Arc<Shared>]>,
) -> Result<Response, Error> {
    let connections = cluster.connections(attempt.target).await?;
    let send = async |at: usize| (at, once(&connections[at], attempt, &make, known).await);
    let leaves_silent = attempt.repeatable && attempt.options.retry.leaves_silent_nodes();
    let mut copies: FuturesUnordered<_> = [send(0)].into_iter().collect();
    let (mut latest, mut sent, mut failed) = (0, 1, 0);
    let mut known_outcome = true;
    loop {
        let more = sent < MAX_ATTEMPTS;
        let next = more && latest + 1 < connections.len();
        let done = tokio::select! {
            biased;
            done = copies.next() => done,
            () = connections[latest].silent(), if next && leaves_silent => None,
        };
        let Some((at, outcome)) = done else {
            (latest, sent) = (latest + 1, sent + 1);
            copies.push(send(latest));
            continue;
        };
        let error = match outcome {
            Ok(response) => return Ok(response),
            // A read changes nothing, whatever became of it.
            Err(error) if attempt.is_read => error.with_outcome(Outcome::NotApplied),
            Err(error) => error,
        };
        if error.kind() == ErrorKind::Connection {
            cluster.mark_stale();
        }
        known_outcome &= error.outcome() == Outcome::NotApplied;
        failed += 1;
        let again = match decide(attempt, &error, failed) {
            Decision::SameNode if more => Some(at),
            Decision::NextNode if next => Some(latest + 1),
            // Nobody else is left but who was silent and may speak yet.
            Decision::NextNode if !copies.is_empty() => None,
            _ if attempt.is_read || (known_outcome && copies.is_empty()) => return Err(error),
            // An earlier copy may have been carried out, or may be yet.
            _ => return Err(error.with_outcome(Outcome::Unknown)),
        };
        if let Some(at) = again {
            (latest, sent) = (latest.max(at), sent + 1);
            copies.push(send(at));
        }
    }
}

/// What the policy says, within what is safe.
fn decide(attempt: &Attempt<'_>, error: &Error, attempts: u32) -> Decision {
    let failure = Failure {
        error,
        idempotent: attempt.repeatable,
        attempts,
    };
    if failure.is_safe() {
        attempt.options.retry.decide(&failure)
    } else {
        Decision::Fail
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
    let connections = cluster.connections(Target::default()).await?;
    for (at, connection) in connections.iter().enumerate() {
        let answer = tokio::select! {
            answer = prepare_at(connection, text, keyspace, options) => answer,
            () = connection.silent(), if at + 1 < connections.len() => continue,
        };
        match answer {
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

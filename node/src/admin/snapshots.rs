//! `/snapshots`: those that there are, and orders to make one, to delete one, and to write back what one holds.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Json,
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use serde::{Deserialize, Serialize};

use super::{
    Admin,
    orders::from_no_browser,
    plan::{Refusal, refuse},
};
use crate::{
    restore::Restore,
    snapshots::{Selection, SnapshotError, SnapshotView, Tag},
};

/// Which snapshot is to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateQuery {
    /// Its name; `None`: when it is made.
    tag: Option<String>,
    keyspace: Option<String>,
    table: Option<String>,
}

/// Which one is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TagQuery {
    tag: String,
}

/// What is to be written back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestoreQuery {
    /// A directory on the node's machine.
    dir: PathBuf,
    keyspace: Option<String>,
    table: Option<String>,
}

pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Result<Json<Vec<SnapshotView>>, Refusal> {
    admin.snapshots.list().await.map(Json).map_err(refusal)
}

pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Query(query): Query<CreateQuery>,
) -> Result<Json<SnapshotView>, Refusal> {
    from_no_browser(&headers)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let tag = match query.tag {
        Some(text) => Tag::new(&text).map_err(refuse)?,
        None => Tag::at(now),
    };
    let selection = Selection {
        keyspace: query.keyspace,
        table: query.table,
    };
    to_its_end(async move {
        let schema = || admin.node.schema();
        admin.snapshots.create(&tag, &selection, now, schema).await
    })
    .await
}

pub(super) async fn delete(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Query(query): Query<TagQuery>,
) -> Result<Json<SnapshotView>, Refusal> {
    from_no_browser(&headers)?;
    let tag = Tag::new(&query.tag).map_err(refuse)?;
    to_its_end(async move { admin.snapshots.delete(&tag).await }).await
}

/// A JSON object a line. It ends when the connection does.
pub(super) async fn restore(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Query(query): Query<RestoreQuery>,
) -> Result<Response, Refusal> {
    from_no_browser(&headers)?;
    let selection = Selection {
        keyspace: query.keyspace,
        table: query.table,
    };
    let schema = admin.node.schema();
    let planned = tokio::task::spawn_blocking(move || Restore::plan(&query.dir, &selection, &schema));
    let restore = planned.await.unwrap_or_else(|panic| {
        let problem = format!("looking at the snapshot broke off: {panic}");
        Err(SnapshotError::Disk(problem))
    });
    let progress = restore.map_err(refusal)?.run(Arc::clone(&admin.node));
    let lines = stream::unfold(progress, |mut progress| async move {
        let next = progress.recv().await?;
        let line = serde_json::to_vec(&next).map(|mut line| {
            line.push(b'\n');
            Bytes::from(line)
        });
        Some((line, progress))
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// Carries an order out also if whoever gave it goes away.
async fn to_its_end(
    work: impl Future<Output = Result<SnapshotView, SnapshotError>> + Send + 'static,
) -> Result<Json<SnapshotView>, Refusal> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome.map(Json).map_err(refusal),
        Err(panic) => Err((
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the order broke off: {panic}"),
        )),
    }
}

pub(super) fn refusal(error: SnapshotError) -> Refusal {
    match error {
        SnapshotError::Wrong(problem) => refuse(problem),
        other => (StatusCode::INTERNAL_SERVER_ERROR, other.to_string()),
    }
}

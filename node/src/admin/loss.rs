//! `POST /repair/accept-loss`: what is damaged on this node and can't be given back, and the order to give it up.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    http::HeaderMap,
};
use serde::{Deserialize, Serialize};
use starling_replication::{Loss, LossRequest};

use super::{
    Admin,
    orders::from_no_browser,
    plan::{Refusal, find, refuse},
    repair::parse_range,
};

/// What is asked for, as the query of the address has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LossQuery {
    /// The keyspace.
    pub keyspace: String,
    /// The table.
    pub table: String,
    /// `START:END`: only what is damaged within the tokens after START up to END; may wrap around.
    #[serde(default)]
    pub range: Option<String>,
    /// Nodes that are dead for good: host ids or addresses, with commas.
    #[serde(default)]
    pub dead: Option<String>,
    /// Give it up; else it is only told.
    #[serde(default)]
    pub accept: bool,
}

pub(super) async fn accept(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Query(query): Query<LossQuery>,
) -> Result<Json<Vec<Loss>>, Refusal> {
    from_no_browser(&headers)?;
    let range = query.range.as_deref().map(parse_range).transpose();
    let dead = query
        .dead
        .as_deref()
        .map(|names| find(&admin.node.status(), names));
    let request = LossRequest {
        range: range.map_err(refuse)?,
        dead: dead.transpose()?.unwrap_or_default(),
        keyspace: query.keyspace,
        table: query.table,
        accepted: query.accept,
    };
    // To its end, also if whoever asked goes.
    let node = Arc::clone(&admin.node);
    let outcome = tokio::spawn(async move { node.accept_loss(&request).await });
    let outcome = outcome.await.map_err(|_| refuse("the order broke off"))?;
    outcome.map(Json).map_err(|error| refuse(error.message))
}

//! `POST /flush`, and `/compact`: what a node does with its tables by itself, at once.
//!
//! A compaction may take hours. So it is begun, and whoever asked for it asks how much is left.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
};
use serde::{Deserialize, Serialize};
use starling_model::TableId;
use starling_replication::StoreError;

use super::{
    Admin,
    orders::from_no_browser,
    plan::{Refusal, refuse},
};
use crate::snapshots::Selection;

/// How much is left of a compaction that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactView {
    /// How many tables (of the schema) are meant.
    pub tables: usize,
    /// Bytes that are still to be read.
    pub left_bytes: u64,
    /// What compactions of these tables wait for, in words; absent: for nothing.
    #[serde(default)]
    pub waits_for: Option<String>,
}

pub(super) async fn flush(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    from_no_browser(&headers)?;
    let flushed = admin.store.flush().await;
    flushed.map(|()| StatusCode::OK).map_err(|error| failed(&error))
}

pub(super) async fn compact(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Query(selection): Query<Selection>,
) -> Result<Json<CompactView>, Refusal> {
    from_no_browser(&headers)?;
    let tables = tables(&admin, &selection)?;
    // What is in memory belongs to it.
    admin.store.flush().await.map_err(|error| failed(&error))?;
    let begun = admin.store.compact(&tables).await;
    begun.map_err(|error| failed(&error))?;
    left(&admin, &tables).await
}

pub(super) async fn compacting(
    State(admin): State<Arc<Admin>>,
    Query(selection): Query<Selection>,
) -> Result<Json<CompactView>, Refusal> {
    let tables = tables(&admin, &selection)?;
    left(&admin, &tables).await
}

async fn left(admin: &Admin, tables: &[TableId]) -> Result<Json<CompactView>, Refusal> {
    let left = admin.store.left_to_compact(tables).await;
    let left = left.map_err(|error| failed(&error))?;
    Ok(Json(CompactView {
        tables: tables.len(),
        left_bytes: left.bytes,
        waits_for: left.waits_for,
    }))
}

fn tables(admin: &Admin, selection: &Selection) -> Result<Vec<TableId>, Refusal> {
    let tables = selection.tables(&admin.node.schema()).map_err(refuse)?;
    Ok(tables.into_iter().collect())
}

fn failed(error: &StoreError) -> Refusal {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

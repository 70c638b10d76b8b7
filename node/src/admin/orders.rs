//! `/topology`: what changes in the ring, and the orders to change it.
//!
//! An order may take hours. So it is begun, and whoever gave it asks how far it is. One order at a time is remembered;
//! the ring itself sees to it that there is one change at a time.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use starling_replication::{StreamStatus, topology::ChangeError};

use super::{
    Admin,
    plan::{Refusal, find, refuse},
};

/// What is refused at once is told within this time.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);

/// `/topology`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyView {
    /// The change that is under way.
    pub change: Option<ChangeView>,
    /// What every live node moves, by host id.
    pub nodes: Vec<NodeMoves>,
    /// The last order that was given to this node.
    pub order: Option<Order>,
}

/// A change of the ring that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// What it does.
    pub what: String,
    /// How far it is.
    pub phase: String,
    /// The host id of the node that carries it through.
    pub coordinator: String,
    /// When it was proposed, in seconds since the epoch.
    pub since: i64,
}

/// What a node moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeMoves {
    /// Its host id.
    pub node: String,
    /// What it moves.
    #[serde(flatten)]
    pub streams: StreamStatus,
}

/// An order that was given to this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What was ordered.
    pub what: String,
    /// Whether it is under way.
    pub running: bool,
    /// Why it did not work, if it is over and did not.
    pub error: Option<String>,
}

pub(super) async fn topology(State(admin): State<Arc<Admin>>) -> Json<TopologyView> {
    let change = admin.node.ring_change().map(|change| ChangeView {
        what: change.kind.to_string(),
        phase: change.phase.to_string(),
        coordinator: change.coordinator.to_string(),
        since: change.since.0.div_euclid(1_000_000),
    });
    let nodes = admin.node.stream_statuses().await.into_iter();
    Json(TopologyView {
        change,
        nodes: nodes
            .map(|(node, streams)| NodeMoves {
                node: node.to_string(),
                streams,
            })
            .collect(),
        order: admin.order.lock().clone(),
    })
}

pub(super) async fn decommission(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<(StatusCode, String), Refusal> {
    let node = Arc::clone(&admin.node);
    let force = is_forced(&query)?;
    give(&admin, &headers, "decommission", async move {
        node.decommission(force).await
    })
    .await
}

/// Whether an order is to be carried out although too few nodes would be left for the replicas.
fn is_forced(query: &BTreeMap<String, String>) -> Result<bool, Refusal> {
    let force = query.get("force").map_or(Ok(false), |text| text.parse());
    force.map_err(|_| refuse("force is true or false"))
}

pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<(StatusCode, String), Refusal> {
    let names = query.get("node").map(String::as_str).unwrap_or_default();
    let gone = find(&admin.node.status(), names)?;
    let node = Arc::clone(&admin.node);
    let force = is_forced(&query)?;
    give(&admin, &headers, "remove", async move {
        node.remove(&gone, force).await
    })
    .await
}

pub(super) async fn abort(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
) -> Result<(StatusCode, String), Refusal> {
    from_no_browser(&headers)?;
    match admin.node.abort_ring_change().await {
        Ok(()) => Ok((StatusCode::OK, String::new())),
        Err(error) => Err((StatusCode::CONFLICT, error.to_string())),
    }
}

/// A page of somebody else must not give orders by way of an operator's browser.
pub(super) fn from_no_browser(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(header::ORIGIN) {
        return Err(refuse("orders are not taken from web pages"));
    }
    Ok(())
}

/// Begins an order; answers with 200 if it is done, 202 if it is under way, 409 with the reason if it did not work.
async fn give(
    admin: &Arc<Admin>,
    headers: &HeaderMap,
    what: &str,
    work: impl Future<Output = Result<(), ChangeError>> + Send + 'static,
) -> Result<(StatusCode, String), Refusal> {
    from_no_browser(headers)?;
    {
        let mut order = admin.order.lock();
        if let Some(other) = order.as_ref().filter(|order| order.running) {
            let busy = format!(
                "an order is under way already: {}; see `starling topology`",
                other.what
            );
            return Err((StatusCode::CONFLICT, busy));
        }
        *order = Some(Order {
            what: what.to_owned(),
            running: true,
            error: None,
        });
    }
    let told = Arc::clone(admin);
    let over = tokio::spawn(async move {
        let outcome = work.await;
        if let Some(order) = &mut *told.order.lock() {
            order.running = false;
            order.error = outcome.as_ref().err().map(ToString::to_string);
        }
        outcome
    });
    match tokio::time::timeout(REFUSED_WITHIN, over).await {
        Ok(Ok(Ok(()))) => Ok((StatusCode::OK, String::new())),
        Ok(Ok(Err(error))) => Err((StatusCode::CONFLICT, error.to_string())),
        Ok(Err(_)) => Err((
            StatusCode::INTERNAL_SERVER_ERROR,
            "the order broke off".to_owned(),
        )),
        Err(_) => Ok((StatusCode::ACCEPTED, String::new())),
    }
}

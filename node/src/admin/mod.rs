//! What operators and their tools read, over HTTP: `/health`, `/status`, `/ring` (JSON), `/metrics`
//! (Prometheus text), `/topology`; and what they ask for by POST: `/repair`, `/repair/accept-loss`, and the orders that change the ring,
//! `/topology/decommission`, `/topology/remove`, `/topology/abort`; and those about its tables, `/flush`, `/compact`,
//! `/snapshots/create`, `/snapshots/delete`, `/snapshots/restore` (GET `/compact` tells how far that is, `/snapshots` those that there are).
//!
//! Bound to loopback unless the settings say otherwise: there is no authentication here, and whoever reaches the port
//! can give the orders. No page shows what clients store.

pub mod client;
mod loss;
mod metrics;
mod orders;
mod plan;
mod repair;
mod snapshots;
mod status;
mod upkeep;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use parking_lot::Mutex;
use starling_cql::native::Topology;
use starling_replication::{Budget, Node};
use tokio::{net::TcpListener, task::JoinHandle};

pub use orders::{ChangeView, NodeMoves, Order, TopologyView};
pub use repair::RepairQuery;
pub use status::{LargeRowsView, PoolView, RingEntry, ShardView, StatusView};
pub use upkeep::CompactView;

use crate::{cql_server, env::TokioEnv, snapshots::Snapshots, store::ShardedStore, transport::Traffic};

/// What the pages are about.
pub struct Admin {
    /// The node's name in its settings.
    pub name: String,
    /// The node.
    pub node: Arc<Node<TokioEnv>>,
    /// Its storage.
    pub store: ShardedStore,
    /// Its snapshots.
    pub snapshots: Snapshots,
    /// The bytes that it may hold for others.
    pub budget: Arc<Budget>,
    /// What its CQL listener has done.
    pub cql: Arc<cql_server::Counters>,
    /// What it and its peers have said to one another.
    pub traffic: Arc<Traffic>,
    /// When it was started.
    pub started: Instant,
    /// The last order to change the ring that was given to it.
    pub order: Mutex<Option<Order>>,
}

impl Admin {
    /// Serves the pages until the task is aborted.
    pub fn serve(self, listener: TcpListener) -> JoinHandle<()> {
        let router = Router::new()
            .route("/health", get(health))
            .route("/status", get(status))
            .route("/ring", get(ring))
            .route("/metrics", get(metrics))
            .route("/repair", post(repair::run))
            .route("/repair/accept-loss", post(loss::accept))
            .route("/topology", get(orders::topology))
            .route("/topology/plan", get(plan::plan))
            .route("/topology/decommission", post(orders::decommission))
            .route("/topology/remove", post(orders::remove))
            .route("/topology/abort", post(orders::abort))
            .route("/flush", post(upkeep::flush))
            .route("/compact", get(upkeep::compacting).post(upkeep::compact))
            .route("/snapshots", get(snapshots::list))
            .route("/snapshots/create", post(snapshots::create))
            .route("/snapshots/delete", post(snapshots::delete))
            .route("/snapshots/restore", post(snapshots::restore))
            .with_state(Arc::new(self));
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the admin pages are gone");
            }
        })
    }

    async fn view(&self) -> StatusView {
        StatusView::new(
            &self.name,
            self.started.elapsed(),
            self.node.status(),
            &self.budget,
            &self.store.stats().await,
            |table| self.node.table_name(table).unwrap_or_else(|| table.to_string()),
        )
    }
}

async fn health(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    if admin.node.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
    }
}

async fn status(State(admin): State<Arc<Admin>>) -> Json<StatusView> {
    Json(admin.view().await)
}

async fn ring(State(admin): State<Arc<Admin>>) -> Json<Vec<RingEntry>> {
    let topology: Topology = admin.node.topology();
    Json(status::ring(&topology))
}

async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let text = metrics::text(&admin.view().await, &admin.cql, &admin.traffic);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

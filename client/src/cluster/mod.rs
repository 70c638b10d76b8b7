//! All nodes of the cluster: which there are, and which to ask.

mod backoff;
mod node;
mod route;
mod snapshot;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use futures::{StreamExt, future::select_ok, stream::FuturesUnordered};
use starling_cql::native::{Event, Request, Response, Topology};
use tokio::{
    sync::{Mutex, Notify, broadcast},
    task::AbortHandle,
    time,
};

use crate::{
    connection::{self, Connection, Dialer},
    error::{Error, ErrorKind},
};
use node::Node;
pub(crate) use route::Target;
use snapshot::Snapshot;

/// Events come in bursts, one from each node: the ring is learnt anew at most this often.
const REFRESH_PAUSE: Duration = Duration::from_millis(100);

/// The nodes, and what is known of the ring.
#[derive(Debug)]
pub(crate) struct Cluster {
    dialer: Arc<Dialer>,
    contacts: Vec<Arc<Node>>,
    snapshot: ArcSwap<Snapshot>,
    datacenter: ArcSwap<Option<String>>,
    turn: AtomicUsize,
    timeout: Duration,
    stale: Notify,
    /// One refresh at a time.
    refreshing: Mutex<()>,
}

impl Cluster {
    /// Connects to the first contact that answers, and learns the ring from it.
    pub(crate) async fn connect(
        addresses: &[SocketAddr],
        dialer: Arc<Dialer>,
        datacenter: Option<String>,
        timeout: Duration,
    ) -> Result<Arc<Self>, Error> {
        let contacts: Vec<_> = addresses
            .iter()
            .map(|address| Node::start(*address, Arc::clone(&dialer)))
            .collect();
        let first = first_connected(&contacts).await?;
        let cluster = Arc::new(Self {
            dialer,
            snapshot: ArcSwap::from_pointee(Snapshot::unknown(contacts.clone())),
            contacts,
            datacenter: ArcSwap::from_pointee(datacenter),
            turn: AtomicUsize::new(0),
            timeout,
            stale: Notify::new(),
            refreshing: Mutex::new(()),
        });
        let topology = ask(&first, timeout).await?;
        cluster.install(topology);
        if cluster.datacenter.load().is_none() {
            let own = cluster
                .snapshot
                .load()
                .member(first.address())
                .map(|member| member.datacenter.clone());
            cluster.datacenter.store(Arc::new(own));
        }
        Ok(cluster)
    }

    /// The ring as last learnt.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The nodes to try for a request, best first.
    pub(crate) fn plan(&self, target: Target<'_>) -> Vec<Arc<Node>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let datacenter = self.datacenter.load();
        route::plan(&self.snapshot.load(), datacenter.as_deref(), target, turn)
    }

    /// Connections to the nodes of a plan, best first and silent ones last. If there is none at this moment, waits for the first
    /// that comes up.
    pub(crate) async fn connections(&self, target: Target<'_>) -> Result<Vec<Arc<Connection>>, Error> {
        let plan = self.plan(target);
        if plan.is_empty() {
            return Err(Error::closed());
        }
        let mut open: Vec<_> = plan.iter().filter_map(|node| node.connection()).collect();
        open.sort_by_key(|connection| connection.is_silent());
        if !open.is_empty() {
            return Ok(open);
        }
        for node in &plan {
            node.retry_now();
        }
        let ups = plan.iter().map(|node| Box::pin(node.up()));
        match time::timeout(self.timeout, select_ok(ups)).await {
            Ok(first) => Ok(vec![first?.0]),
            Err(_) => Err(self.unreachable(&plan)),
        }
    }

    /// No node could be reached: why, for each of them that is known to be down.
    fn unreachable(&self, plan: &[Arc<Node>]) -> Error {
        let reasons: Vec<String> = plan
            .iter()
            .filter_map(|node| node.failure())
            .map(|error| error.to_string())
            .collect();
        Error::new(
            ErrorKind::Connection,
            format!(
                "no node of the cluster could be reached within {:?}, and nothing was sent: {}",
                self.timeout,
                reasons.join("; ")
            ),
        )
    }

    /// Asks for the ring to be learnt anew, soon.
    pub(crate) fn mark_stale(&self) {
        self.stale.notify_one();
    }

    /// Learns the ring from any node.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        let _one = self.refreshing.lock().await;
        let mut last = None;
        let connections = self.connections(Target::default()).await?;
        for (at, connection) in connections.iter().enumerate() {
            let answer = tokio::select! {
                answer = ask(connection, self.timeout) => answer,
                () = connection.silent(), if at + 1 < connections.len() => continue,
            };
            match answer {
                Ok(topology) => {
                    self.install(topology);
                    return Ok(());
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(Error::closed))
    }

    /// Makes a topology the one to route by. Nodes that stay keep their connections.
    fn install(&self, topology: Topology) {
        let old = self.snapshot.load_full();
        let known: HashMap<SocketAddr, &Arc<Node>> = old
            .peers
            .iter()
            .map(|peer| &peer.node)
            .chain(&self.contacts)
            .map(|node| (node.address(), node))
            .collect();
        let new = Snapshot::new(topology, &self.contacts, |address| match known.get(&address) {
            Some(node) => Arc::clone(node),
            None => Node::start(address, Arc::clone(&self.dialer)),
        });
        for peer in new.peers.iter().filter(|peer| peer.up) {
            peer.node.retry_now();
        }
        self.snapshot.store(Arc::new(new));
    }

    /// Keeps the ring fresh: after events, after errors, and every `period`. Runs until it is aborted.
    pub(crate) fn keep_fresh(
        self: Arc<Self>,
        mut events: broadcast::Receiver<Event>,
        period: Duration,
    ) -> AbortHandle {
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = next_event(&mut events) => {}
                    () = self.stale.notified() => {}
                    () = time::sleep(period) => {}
                }
                if let Err(error) = self.refresh().await {
                    tracing::debug!(%error, "the ring could not be learnt anew");
                }
                time::sleep(REFRESH_PAUSE).await;
            }
        })
        .abort_handle()
    }
}

/// Waits for an event; every kind of them may change how requests are routed.
async fn next_event(events: &mut broadcast::Receiver<Event>) {
    match events.recv().await {
        // Lagged: what was missed may have been about the ring.
        Ok(Event::Topology | Event::Schema(_)) | Err(broadcast::error::RecvError::Lagged(_)) => {}
        Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
    }
}

async fn ask(connection: &Connection, timeout: Duration) -> Result<Topology, Error> {
    match connection.request(&Request::Topology, timeout).await? {
        Response::Topology(topology) => Ok(topology),
        Response::Error(error) => Err(error.into()),
        _ => Err(connection::unexpected(connection.address(), "the topology")),
    }
}

/// The first of `nodes` that is connected; if none can be, why.
async fn first_connected(nodes: &[Arc<Node>]) -> Result<Arc<Connection>, Error> {
    let mut attempts: FuturesUnordered<_> = nodes.iter().map(|node| node.connected()).collect();
    let mut reasons: Vec<Error> = Vec::new();
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(connection) => return Ok(connection),
            Err(error) => reasons.push(error),
        }
    }
    let Some(first) = reasons.first() else {
        return Err(Error::new(ErrorKind::Config, "no contact was given"));
    };
    let kind = first.kind();
    let told: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    Err(Error::new(kind, told.join("; ")))
}

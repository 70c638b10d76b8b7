//! Who alters the keyspace to fewer replicas and back, while everything else happens.
//!
//! Never to more than the clients reckon with: a level that is a number of replicas promises less of more of them.

use std::time::Duration;

use starling_cql::{QueryParameters, schema::Replication};
use starling_model::Consistency;
use starling_replication::topology::{ChangeKind, RingState};

use crate::{
    cluster::{Cluster, Request},
    executor::Handle,
    random::Random,
    trace::Place,
    workload::KEYSPACE,
};

/// How long it is waited for one statement.
const PATIENCE: Duration = Duration::from_secs(30);

/// Alters the keyspace, one time after the other.
pub struct Alterer {
    handle: Handle,
    cluster: Cluster,
    random: Random,
    /// How many replicas there are at the beginning, and at the end.
    usual: usize,
    fewest: usize,
    /// The longest pause between two alterations.
    pace: Duration,
}

impl Alterer {
    /// One who draws from his own randomness. What rots where there is one replica is lost: `rots` says that something may.
    pub fn new(handle: &Handle, cluster: &Cluster, mut random: Random, usual: usize, rots: bool) -> Self {
        let pace = Duration::from_millis(500 + random.below(12_000));
        Self {
            handle: handle.clone(),
            cluster: cluster.clone(),
            random,
            usual,
            fewest: if rots { usual.min(2) } else { 1 },
            pace,
        }
    }

    /// Never ends; drop it when there was enough of it.
    pub async fn run(mut self) {
        loop {
            let pause = self.random.between(Duration::from_millis(20), self.pace);
            self.handle.sleep(pause).await;
            let factor = self.fewest + self.random.index(self.usual - self.fewest + 1);
            let serving = self.cluster.serving();
            if serving.is_empty() {
                continue;
            }
            let through = serving[self.random.index(serving.len())].0;
            alter(&self.handle, &self.cluster, through, factor).await;
        }
    }

    /// Gives the keyspace the replicas that it had at the beginning; false if that can't be done.
    pub async fn finish(handle: &Handle, cluster: &Cluster, usual: usize, limit: Duration) -> bool {
        // What was asked for last may be about to begin.
        handle.sleep(PATIENCE).await;
        let end = handle.now() + limit;
        let is_usual =
            |state: &RingState| state.change().is_none() && factors(state).iter().all(|it| *it == usual);
        while handle.now() < end {
            let serving = cluster.serving();
            if !serving.is_empty() && serving.iter().all(|(_, node)| is_usual(&node.ring_state())) {
                return true;
            }
            if let Some((through, _)) = serving.first() {
                alter(handle, cluster, *through, usual).await;
            }
            handle.sleep(Duration::from_secs(1)).await;
        }
        false
    }
}

/// Whether a node may know of a time at which the keyspace has one replica: then nobody may die for good.
pub fn may_be_single(cluster: &Cluster) -> bool {
    let serving = cluster.serving();
    serving
        .iter()
        .any(|(_, node)| factors(&node.ring_state()).contains(&1))
}

/// How many replicas the keyspace has, and is about to have; nothing where it has what it was created with.
fn factors(state: &RingState) -> Vec<usize> {
    let known = state.replications();
    let altered = known.keyspaces().find(|(name, _)| *name == KEYSPACE);
    let altered = altered.and_then(|(name, created)| known.altered(name, created));
    let change = state.change().map(|change| &change.kind);
    let next = change.and_then(|kind| match kind {
        ChangeKind::Alter(alteration) => Some(&alteration.to),
        _ => None,
    });
    altered.into_iter().chain(next).map(factor).collect()
}

fn factor(replication: &Replication) -> usize {
    let factor = replication.options.get("replication_factor");
    factor.and_then(|factor| factor.parse().ok()).unwrap_or(0)
}

async fn alter(handle: &Handle, cluster: &Cluster, through: usize, factor: usize) {
    let text = format!(
        "ALTER KEYSPACE {KEYSPACE} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {factor}}}"
    );
    note(handle, "alter", || format!("to {factor} through n{through}"));
    let parameters = QueryParameters::with_consistency(Consistency::Quorum);
    let outcome = cluster
        .request(through, Request::Query(text, parameters), PATIENCE)
        .await;
    note(handle, "altered", || match outcome {
        Ok(executed) => format!("to {factor}: {:?}", executed.warnings),
        Err(refused) => format!("to {factor}: {refused:?}"),
    });
}

fn note(handle: &Handle, kind: &str, text: impl FnOnce() -> String) {
    handle.trace().event(handle.now(), Place::World, kind, &[], text);
}
